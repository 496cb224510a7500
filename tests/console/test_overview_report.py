"""A report is one self-contained file: an HTML page, or its charts as PDF, PNG or SVG."""

from __future__ import annotations

import html
import re
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from brewhouse.cli.main import app as commands
from brewhouse.console.charts import line_chart
from brewhouse.console.lake_reader import LakeReader
from brewhouse.console.language import Translator
from brewhouse.console.overview import DayCount, OverviewFilters, overview
from brewhouse.console.overview_report import render, write_report
from brewhouse.errors import BrewhouseError, UsageError
from brewhouse.lake.lake import Lake

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ALL = OverviewFilters()


@pytest.fixture(scope="module", autouse=True)
def lakes(console_lake: Lake, varied_lake: Lake) -> None:
    """Build the lakes before the browser opens, since `asyncio.run` fails while it is open."""
    del console_lake, varied_lake


@pytest.fixture(scope="module")
def written(console_lake: Lake, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("report") / "report.html"
    write_report(console_lake, file, ALL)
    return file


def test_the_page_refers_to_no_other_resource(written: Path) -> None:
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
    problems: list[str] = []
    context = browser.new_context(offline=True, color_scheme="dark" if dark else "light")
    page = context.new_page()
    page.on("console", lambda message: problems.append(message.text))
    page.on("request", lambda request: problems.append(request.url) if not request.url.startswith("file:") else None)
    page.goto(written.as_uri())
    assert page.locator("h1").inner_text() == "Breweries of the world"
    assert page.locator(".tiles dd").first.inner_text() == "400"
    assert (page.locator(".map .land").get_attribute("d") or "").count("M") > 200
    assert (page.locator(".map .dots").get_attribute("d") or "").count("M") > 5
    assert page.locator(".line svg path").count() > 0
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(20, 18, 14)" if dark else "rgb(246, 244, 239)"), (
        "the policy admits the style sheet by its hash"
    )
    context.close()
    assert not problems


@pytest.mark.parametrize(
    ("name", "begin"),
    [("r.pdf", b"%PDF-"), ("r.png", b"\x89PNG"), ("r.svg", b"<svg ")],
)
def test_charts_are_rendered_without_a_browser(console_lake: Lake, tmp_path: Path, name: str, begin: bytes) -> None:
    write_report(console_lake, tmp_path / name, ALL, language="pt")
    content = (tmp_path / name).read_bytes()
    assert content.startswith(begin)
    if name.endswith("svg"):
        assert "Cervejarias do mundo" in content.decode()


def rendered_page(
    lake: Lake, file: Path, filters: OverviewFilters = ALL, *, at: str | None = None, language: str = "en"
) -> str:
    write_report(lake, file, filters, at=at, language=language)
    return html.unescape(file.read_text("utf-8"))


def test_filters_time_and_language_apply_to_the_page(console_lake: Lake, tmp_path: Path) -> None:
    filters = OverviewFilters(country="US", type="micro")
    text = rendered_page(console_lake, tmp_path / "r.html", filters, at="2999-01-01", language="pt-BR")
    assert "<h1>Microcervejarias: Estados Unidos</h1>" in text
    assert "em 2999-01-01" in text
    assert '<html lang="pt-BR">' in text
    expected = overview(LakeReader(console_lake).state(), filters).totals.breweries
    assert re.findall(r'<dd id="total">([\d.]+)<', text) == [str(expected)]


def test_a_report_of_an_earlier_run_has_its_counts(console_lake: Lake, tmp_path: Path) -> None:
    ((run,),) = (
        LakeReader(console_lake)
        .state()
        .cursor()
        .execute("SELECT run FROM monitoring.runs ORDER BY started_at LIMIT 1")
        .fetchall()
    )
    assert '<dd id="total">399<' in rendered_page(console_lake, tmp_path / "r.html", at=run)
    assert '<dd id="total">400<' in rendered_page(console_lake, tmp_path / "r.html")
    with pytest.raises(BrewhouseError, match="2001-01-01"):
        write_report(console_lake, tmp_path / "r.html", ALL, at="2001-01-01")


@pytest.mark.parametrize(
    ("filters", "title"),
    [
        (ALL, "Breweries of the world"),
        (OverviewFilters(country="US"), "Breweries in United States"),
        (OverviewFilters(country="US", state="US-CA"), "Breweries in California, United States"),
        (OverviewFilters(type="nano"), "Nanobreweries of the world"),
    ],
)
def test_the_title_names_the_filters(console_lake: Lake, tmp_path: Path, filters: OverviewFilters, title: str) -> None:
    assert f"<h1>{title}</h1>" in rendered_page(console_lake, tmp_path / "r.html", filters)


def test_the_page_lists_what_the_overview_counts(varied_lake: Lake, tmp_path: Path) -> None:
    text = rendered_page(varied_lake, tmp_path / "r.html")
    shown = overview(LakeReader(varied_lake).state(), ALL)
    entries = re.findall(r'<span class="value">([\d,]+)</span>', text)
    lists = (shown.by_type, shown.by_country, shown.by_state)
    assert [int(value) for value in entries] == [count.breweries for counts in lists for count in counts]
    assert text.count('<td><span class="badge ') == len(shown.changes)
    assert "<a " not in text


NOTHING = OverviewFilters(country="BE", state="US-OR")


def test_a_report_that_matches_nothing_is_still_complete(console_lake: Lake, tmp_path: Path) -> None:
    text = rendered_page(console_lake, tmp_path / "r.html", NOTHING)
    for empty in ("No matching breweries in any snapshot.", "No changes.", "No breweries."):
        assert empty in text
    for suffix in (".svg", ".png", ".pdf"):
        write_report(console_lake, tmp_path / f"r{suffix}", NOTHING)


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        (OverviewFilters(country="XX"), r"No brewery of the lake has the country 'XX'\. Known: .*BE, .*US"),
        (OverviewFilters(type="mirco"), r"the type 'mirco'\. Known: .*micro"),
        (OverviewFilters(country="<b>", type="</title>"), "the country '<b>'"),
    ],
)
def test_a_filter_that_nothing_has_is_an_error(
    console_lake: Lake, tmp_path: Path, filters: OverviewFilters, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        write_report(console_lake, tmp_path / "r.html", filters)
    assert not list(tmp_path.iterdir())


def test_hostile_names_and_filters_are_escaped(console_lake: Lake, varied_lake: Lake, tmp_path: Path) -> None:
    file = tmp_path / "r.html"
    for lake, filters in (
        (console_lake, ALL),
        (varied_lake, ALL),
    ):
        write_report(lake, file, filters)
        text = file.read_text("utf-8")
        assert "<script" not in text
        assert "<b" not in text.replace("<body", "")
        assert text.count("</title>") == 1 + text.count("<g><title>")


@pytest.mark.parametrize("name", ["R.HTML", "r.Svg"])
def test_the_suffix_may_be_in_upper_case(console_lake: Lake, tmp_path: Path, name: str) -> None:
    write_report(console_lake, tmp_path / name, ALL)
    assert (tmp_path / name).stat().st_size > 1000


@pytest.mark.parametrize("name", ["r.docx", "r", ".html", "r.html.gz"])
def test_another_suffix_is_an_error(console_lake: Lake, tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"Cannot write a report as .*: unknown format") as failed:
        write_report(console_lake, tmp_path / name, ALL)
    assert ".html, .pdf, .png, .svg" in failed.value.hint
    assert not list(tmp_path.iterdir())


def test_a_lake_without_breweries_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BrewhouseError, match="no published tables"):
        write_report(Lake(tmp_path), tmp_path / "r.html", ALL)
    Lake(tmp_path).events.mkdir()
    with pytest.raises(BrewhouseError, match="No breweries are published yet"):
        write_report(Lake(tmp_path), tmp_path / "r.html", ALL)
    assert not (tmp_path / "r.html").exists()


@pytest.mark.parametrize(("language", "month", "count"), [("en", "Feb", "1,000"), ("pt-BR", "fev", "1.000")])
def test_the_dates_and_numbers_of_charts_are_in_the_language(language: str, month: str, count: str) -> None:
    days = [DayCount(date(2026, 2, day), 500 * day) for day in (1, 2)]
    chart = render({**line_chart(days, Translator(language)), "width": 400}, ".svg", language).decode()
    assert [f">{day} {month} 2026</text>" in chart for day in ("01", "02")] == [True, True]
    assert f">{count}</text>" in chart


def test_the_command_prints_the_path_of_the_report(
    console_lake: Lake, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "r.html"
    commands(["report", "--lake", str(console_lake.root), "--output", str(file)], standalone_mode=False)
    assert capsys.readouterr().out.strip() == str(file)
    assert file.stat().st_size > 10_000
