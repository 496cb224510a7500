"""A report is one file: a page that needs nothing else, or its charts."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from brewhouse.cli.main import app as commands
from brewhouse.console.overview import OverviewFilters
from brewhouse.console.overview_report import write_report
from brewhouse.errors import BrewhouseError, UsageError
from brewhouse.lake.lake import Lake

if TYPE_CHECKING:
    from playwright.sync_api import Browser

EVERYTHING = OverviewFilters()


@pytest.fixture(scope="module")
def written(console_lake: Lake, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("report") / "report.html"
    write_report(console_lake, file, EVERYTHING)
    return file


def test_the_page_names_no_other_place(written: Path) -> None:
    text = written.read_text("utf-8")
    addresses = set(re.findall(r"(?:src|href|url|action)\s*[=(]\s*['\"]?([^'\"\s)>]+)", text))
    assert not {address for address in addresses if not address.startswith(("#", "url(#"))}
    assert set(re.findall(r"https?://[^\s\"'<]+", text)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert "<script" not in text
    assert "default-src &#39;none&#39;" in text


@pytest.mark.parametrize("dark", [False, True])
def test_a_browser_without_a_network_shows_it_from_disk(written: Path, browser: Browser, dark: bool) -> None:
    said: list[str] = []
    context = browser.new_context(offline=True, color_scheme="dark" if dark else "light")
    page = context.new_page()
    page.on("console", lambda message: said.append(message.text))
    page.on("request", lambda request: said.append(request.url) if not request.url.startswith("file:") else None)
    page.goto(written.as_uri())
    assert page.locator("h1").inner_text() == "Breweries: the world"
    assert page.locator(".tiles dd").first.inner_text() == "400"
    assert page.locator("#map .points path").count() > 5
    assert page.locator(".chart svg path").count() > 0
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(20, 18, 14)" if dark else "rgb(246, 244, 239)"), "the style sheet is let in by its checksum"
    context.close()
    assert not said


@pytest.mark.parametrize(
    ("name", "begin"),
    [("r.pdf", b"%PDF-"), ("r.png", b"\x89PNG"), ("r.svg", b"<svg ")],
)
def test_the_charts_are_drawn_without_a_browser(console_lake: Lake, tmp_path: Path, name: str, begin: bytes) -> None:
    write_report(console_lake, tmp_path / name, EVERYTHING, language="pt")
    content = (tmp_path / name).read_bytes()
    assert content.startswith(begin)
    if name.endswith("svg"):
        assert "Cervejarias: o mundo" in content.decode()


def test_filters_and_time_are_kept_to(console_lake: Lake, tmp_path: Path) -> None:
    file = tmp_path / "r.html"
    write_report(console_lake, file, OverviewFilters(country="US", type="micro"), at="2999-01-01", language="pt")
    text = html.unescape(file.read_text("utf-8"))
    assert "<h1>Cervejarias: United States · micro</h1>" in text
    assert "em 2999-01-01" in text
    write_report(console_lake, file, OverviewFilters(country="<b>", type="</title>"))
    assert "<b>" not in file.read_text("utf-8")


def test_names_of_breweries_stay_text(console_lake: Lake, tmp_path: Path) -> None:
    write_report(console_lake, tmp_path / "r.html", EVERYTHING)
    assert "<script>alert" not in (tmp_path / "r.html").read_text("utf-8")


def test_what_cannot_be_written_is_said_in_words(console_lake: Lake, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot be written as r\.docx"):
        write_report(console_lake, tmp_path / "r.docx", EVERYTHING)
    with pytest.raises(UsageError, match="No such file or directory"):
        write_report(console_lake, tmp_path / "nowhere" / "r.html", EVERYTHING)
    with pytest.raises(BrewhouseError, match="no published tables"):
        write_report(Lake(tmp_path), tmp_path / "r.html", EVERYTHING)


def test_the_command_writes_it(console_lake: Lake, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "r.html"
    commands(["report", "--lake", str(console_lake.root), "--output", str(file)], standalone_mode=False)
    assert capsys.readouterr().out.strip() == str(file)
    assert file.stat().st_size > 10_000
