"""Rendering of pages: blocks for htmx, addresses and pages of lists."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlsplit

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from brewhouse.console.web import STATIC, link, paginate, prose


@given(st.integers(0, 200), st.integers(1, 50), st.integers(1, 60))
def test_the_pages_of_a_list_contain_every_item_once(total: int, page: int, page_rows: int) -> None:
    part, numbers = paginate(total, page, page_rows)
    assert numbers == {"total": total, "page": min(page, numbers["pages"]), "pages": max(1, -(-total // page_rows))}
    assert len(range(total)[part]) <= page_rows
    every = range(1, numbers["pages"] + 1)
    assert [item for each in every for item in range(total)[paginate(total, each, page_rows)[0]]] == list(range(total))


@given(
    st.text(alphabet="/\\abé?.", max_size=10),
    st.dictionaries(st.text(min_size=1, max_size=5), st.text(max_size=5), max_size=4),
)
def test_a_link_stays_on_this_site_and_keeps_the_query(path: str, query: dict[str, str]) -> None:
    address = link(path.replace("?", ""), query)
    assert address.startswith("/")
    assert not address.startswith("//")
    assert dict(parse_qsl(urlsplit(address).query, strict_parsing=bool(urlsplit(address).query))) == {
        name: value for name, value in query.items() if value
    }


def test_a_link_changes_and_drops_values() -> None:
    query = {"state": "FAILED", "page": "3"}
    assert link("/runs", query, page=None) == "/runs?state=FAILED"
    assert link("/runs", query, page="4", seen="x y&z") == "/runs?state=FAILED&page=4&seen=x+y%26z"
    assert link("/runs", query, page="", state=None) == "/runs"


@given(st.text())
def test_prose_escapes_everything_but_its_own_code_tags(text: str) -> None:
    html = str(prose(text)).replace("<code>", "").replace("</code>", "")
    assert "<" not in html
    assert ">" not in html


@pytest.mark.parametrize("path", ["/runs", "/events"])
def test_htmx_gets_the_block_that_it_asks_for(client: TestClient, path: str) -> None:
    part = client.get(path, headers={"HX-Request": "true", "HX-Target": "list"})
    assert part.text.lstrip().startswith('<div id="list"')
    assert "<html" not in part.text
    whole = client.get(path)
    assert whole.text.lstrip().startswith("<!doctype html>")
    assert part.text.strip().splitlines()[-2].strip() in whole.text
    assert {"HX-Request", "HX-Target", "Cookie", "Accept-Language"} == set(whole.headers["vary"].split(", ")) - {
        "Accept-Encoding"
    }


@pytest.mark.parametrize(
    "headers",
    [{"HX-Request": "true"}, {"HX-Request": "true", "HX-Target": "nothing"}, {"HX-Target": "list"}],
)
def test_other_requests_get_the_whole_page(client: TestClient, headers: dict[str, str]) -> None:
    assert client.get("/runs", headers=headers).text.lstrip().startswith("<!doctype html>")


def test_an_error_is_a_whole_page_for_htmx_too(client: TestClient) -> None:
    answer = client.get("/runs/nothing", headers={"HX-Request": "true", "HX-Target": "live"})
    assert answer.status_code == 404
    assert "<html" in answer.text
    assert "Run nothing not found." in answer.text


@pytest.mark.parametrize(
    "title", ["Overview", "Breweries", "Changes", "Explore", "Tables", "Runs", "Quality", "Events"]
)
def test_the_navigation_marks_the_current_page(client: TestClient, title: str) -> None:
    path = "/" if title == "Overview" else f"/{title.lower()}"
    navigation = client.get(path).text.partition('<nav class="navigation"')[2].partition("</nav>")[0]
    assert f'<a href="{path}" aria-current="page">{title}</a>' in navigation
    assert navigation.count("aria-current") == 1


def test_each_bundled_script_has_its_licence() -> None:
    scripts = [file.name for file in STATIC.glob("*.min.js")]
    for name in scripts:
        notice = STATIC / f"{name.partition('.')[0].partition('-')[0]}.LICENSE"
        assert re.search("permission to use, copy|redistribution and use", notice.read_text("utf-8"), re.IGNORECASE), (
            name
        )
    assert "public domain" in (STATIC / "geo.LICENSE").read_text("utf-8"), "borders and cities"
