"""Explore: a question in SQL becomes a table, a chart and files, and shows when it does not work."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi.testclient import TestClient

from brewhouse.console.language import texts
from brewhouse.console.pages.explore import QueryState
from brewhouse.console.query_service import QueryPhase
from brewhouse.lake.lake import Lake
from brewhouse.query.connection import connect
from brewhouse.query.connection import query as run_query
from brewhouse.query.saved_queries import saved_queries

if TYPE_CHECKING:
    from playwright.sync_api import Page

ENDLESS = "SELECT count(*) FROM range(100000000) a, range(100000) b"


def ended(client: TestClient, sql: str, **asked: str) -> dict[str, Any]:
    """Run a query by the API until it has ended."""
    started = client.post("/api/v1/queries", json={"sql": sql, **asked})
    assert started.status_code == 201, started.text
    deadline = time.monotonic() + 60
    while True:
        report: dict[str, Any] = client.get(f"/api/v1/queries/{started.json()['id']}").json()
        if report["state"] not in {"waiting", "running"}:
            return report
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_query_gives_its_rows_as_json_and_as_files(client: TestClient) -> None:
    report = ended(client, "SELECT n, 'a' || n AS a, [n] AS l FROM range(250) t(n)")
    assert (report["state"], report["rows"], report["is_cut"]) == ("done", 250, False)
    assert [column["type"] for column in report["columns"]] == ["BIGINT", "VARCHAR", "BIGINT[]"]
    path = f"/api/v1/queries/{report['id']}"
    rows = client.get(f"{path}/rows", params={"page": 2, "size": 10, "sort": -1}).json()
    assert (rows["rows"][0], rows["pages"]) == ([239, "a239", [239]], 25)
    csv = client.get(f"{path}/result.csv")
    assert csv.text.splitlines()[:2] == ["n,a,l", "0,a0,[0]"]
    assert "attachment" in csv.headers["content-disposition"]
    assert client.get(f"{path}/result.json").json()[1] == {"n": 1, "a": "a1", "l": [1]}
    assert client.get(f"{path}/result.parquet").content.startswith(b"PAR1")
    assert report["id"] in {query["id"] for query in client.get("/api/v1/queries").json()}


def test_a_query_that_cannot_be_run_tells_why(client: TestClient) -> None:
    report = ended(client, "COPY silver.breweries TO 'x.csv'")
    assert report["state"] == "failed"
    assert "Only one SELECT" in report["error"]
    answer = client.get(f"/api/v1/queries/{report['id']}/rows")
    assert (answer.status_code, answer.json()["error"]) == (400, "This query has no result, or none any more.")


def test_a_query_is_stopped(client: TestClient) -> None:
    started = client.post("/api/v1/queries", json={"sql": ENDLESS}).json()
    assert client.delete(f"/api/v1/queries/{started['id']}").json()["state"] == "stopped"


def test_what_is_not_known_is_said_in_words(client: TestClient) -> None:
    assert client.get("/api/v1/queries/nothing").status_code == 400
    html = client.get("/explore", params={"result": "nothing"}).text
    assert "not known any more" in html


def test_every_saved_query_runs_as_the_page_shows_it(client: TestClient, console_lake: Lake) -> None:
    with connect(console_lake) as connection:
        for saved in client.get("/api/v1/saved-queries").json():
            assert run_query(connection, saved["sql"]).description, saved


def test_a_saved_query_and_a_link_fill_the_editor_and_run_nothing(client: TestClient) -> None:
    before = len(client.get("/api/v1/queries").json())
    assert "approx_count_distinct" not in client.get("/explore").text.lower()
    assert "FROM gold.breweries_by_location" in client.get("/explore", params={"saved": "top_cities"}).text
    shared = client.get("/explore", params={"sql": "SELECT '</textarea><script>'", "at": "2026-08-02"}).text
    assert "SELECT &#39;&lt;/textarea&gt;&lt;script&gt;&#39;" in shared
    assert 'value="2026-08-02"' in shared
    assert len(client.get("/api/v1/queries").json()) == before


def test_the_page_lists_what_can_be_asked_and_nothing_of_the_console_s_own(client: TestClient) -> None:
    assert client.get("/").status_code == 200  # makes the console's own tables
    text = client.get("/explore").text
    assert all(name in text for name in ("silver.breweries", "bronze.breweries", "monitoring.runs"))
    assert "console_breweries" not in text


def test_the_page_works_without_scripts_and_speaks_portuguese(client: TestClient) -> None:
    answer = client.post("/explore", data={"sql": "SELECT 1 AS um"}, headers={"Accept-Language": "pt"})
    while "http-equiv" in answer.text:
        answer = client.get(answer.url.path + "?" + answer.url.query.decode(), headers={"Accept-Language": "pt"})
    assert "1 linha" in answer.text
    assert "Como gráfico" in answer.text


def test_a_query_that_is_too_long_is_refused_in_words(client: TestClient) -> None:
    answer = client.post("/explore", data={"sql": "x" * 100_001}, headers={"HX-Request": "true", "HX-Target": "result"})
    assert answer.status_code == 400
    assert '<section class="notice bad"' in answer.text
    assert "up to 100,000 characters" in answer.text


def test_the_states_of_the_api_are_those_of_the_queries() -> None:
    assert {state.value for state in QueryState} == {state.value for state in QueryPhase}


def test_saved_queries_have_portuguese_titles() -> None:
    portuguese = texts("pt-BR")
    assert {query.title for query in saved_queries()} | {query.question for query in saved_queries()} <= set(portuguese)


def test_explore_in_a_browser(console_url: str, page: Page, tmp_path: Path) -> None:
    page.goto(f"{console_url}/explore")
    editor = page.locator("#sql")
    editor.fill("SELECT id, name, length(name) AS letters FROM silver.brew")
    editor.press_sequentially("er")
    page.wait_for_selector("#completions li >> text=silver.breweries")
    editor.press("Escape")
    assert page.locator("#completions").is_hidden()
    editor.press("Control+Space")
    editor.press("Enter")
    assert editor.input_value().endswith("FROM silver.breweries")
    editor.press("Control+Enter")

    table = page.locator("#rows table")
    table.wait_for()
    assert table.locator("tbody tr").count() == 100
    assert "result=" in page.url
    table.locator("th a >> text=name").click()
    page.wait_for_selector("th[aria-sort=ascending]")
    assert table.locator("td >> text=<script>alert('x')</script>").count() == 1, "the script is a text"
    page.locator(".pages >> text=Last").click()
    page.wait_for_selector("text=Rows 301 to 400 of 400")

    page.locator(".charting > summary").click()
    page.wait_for_selector("figure[data-drawn] svg")
    page.locator("#chart-kind").select_option("point")
    page.wait_for_selector("figure[data-drawn] .mark-symbol")
    with page.expect_download() as download:
        page.locator("#rows a >> text=CSV").click()
    download.value.save_as(tmp_path / "result.csv")
    assert len((tmp_path / "result.csv").read_text("utf-8").splitlines()) == 401

    editor.fill("SELECT nowhere FROM silver.breweries")
    page.locator("#ask button.primary").click()
    page.wait_for_selector("#result .notice.bad pre >> text=LINE 1")
    editor.fill(ENDLESS)
    editor.press("Control+Enter")
    page.locator("#result button >> text=Stop").click()
    page.wait_for_selector("text=The query was stopped")
    page.goto(f"{console_url}/explore")
    assert page.locator("ol a").count() >= 3, "the history"
