"""Explore: an SQL query becomes a table, a chart and files; errors show what to change."""

from __future__ import annotations

import json
import re
import time
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fastapi.testclient import TestClient

from brewhouse.console.language import texts
from brewhouse.lake.lake import Lake
from brewhouse.query.connection import connect
from brewhouse.query.connection import query as run_query
from brewhouse.query.saved_queries import saved_queries

if TYPE_CHECKING:
    from httpx2 import Response
    from playwright.sync_api import Page

ENDLESS = "SELECT count(*) FROM range(100000000) a, range(100000) b"
PORTUGUESE = {"Accept-Language": "pt-BR"}
STATUS_KEYS = {
    *(
        "id",
        "sql",
        "parameters",
        "at",
        "state",
        "asked_at",
        "seconds",
        "rows",
        "is_cut",
        "has_result",
        "columns",
        "error",
        "hint",
    )
}


def finished(client: TestClient, sql: str, at: str | None = None) -> dict[str, Any]:
    """Run a query through the API until it has finished."""
    started = client.post("/api/v1/queries", json={"sql": sql, "at": at})
    assert started.status_code == 201, started.text
    deadline = time.monotonic() + 60
    while True:
        status: dict[str, Any] = client.get(f"/api/v1/queries/{started.json()['id']}").json()
        if status["state"] not in {"waiting", "running"}:
            return status
        assert time.monotonic() < deadline
        time.sleep(0.02)


def submit(client: TestClient, sql: str, headers: dict[str, str] | None = None, **fields: str) -> Response:
    """Run a query through the form of the page, without scripts, until the result is shown."""
    answer = client.post("/explore", data={"sql": sql, **fields}, headers=headers)
    while "http-equiv" in answer.text.split("</head>")[0]:
        answer = client.get(answer.url.path + "?" + answer.url.query.decode(), headers=headers)
    return answer


def test_a_result_is_available_as_rows_and_files(client: TestClient) -> None:
    status = finished(client, "SELECT n, 'a' || n AS a, [n] AS l FROM range(250) t(n)")
    assert (status["state"], status["rows"], status["is_cut"]) == ("done", 250, False)
    assert [column["type"] for column in status["columns"]] == ["BIGINT", "VARCHAR", "BIGINT[]"]
    path = f"/api/v1/queries/{status['id']}"
    rows = client.get(f"{path}/rows", params={"page": 2, "size": 10, "sort": -1}).json()
    assert (rows["rows"][0], rows["page"], rows["pages"]) == ([239, "a239", [239]], 2, 25)
    csv = client.get(f"{path}/result.csv")
    assert csv.text.splitlines()[:2] == ["n,a,l", "0,a0,[0]"]
    assert csv.headers["content-type"].startswith("text/csv")
    assert re.fullmatch(r'attachment; filename="brewhouse-\w{26}\.csv"', csv.headers["content-disposition"])
    assert client.get(f"{path}/result.json").json()[1] == {"n": 1, "a": "a1", "l": [1]}
    assert client.get(f"{path}/result.parquet").content.startswith(b"PAR1")
    assert client.get("/api/v1/queries").json()[0] == status, "newest first"


def test_json_has_the_documented_keys(client: TestClient) -> None:
    started = client.post("/api/v1/queries", json={"sql": "SELECT 1 AS n"}).json()
    assert set(started) == STATUS_KEYS
    status = finished(client, "SELECT 1 AS n")
    assert set(status) == STATUS_KEYS
    assert status["columns"] == [{"name": "n", "type": "INTEGER"}]
    rows = client.get(f"/api/v1/queries/{status['id']}/rows").json()
    assert rows == {"columns": status["columns"], "rows": [[1]], "page": 1, "pages": 1}
    for saved in client.get("/api/v1/saved-queries").json():
        assert set(saved) == {"name", "title", "question", "sql"}


def test_the_states_of_a_query_are_documented(client: TestClient) -> None:
    schemas = client.get("/api/v1/openapi.json").json()["components"]["schemas"]
    assert schemas["QueryState"]["enum"] == ["waiting", "running", "done", "failed", "stopped"]
    assert set(schemas["QueryStatus"]["required"]) == STATUS_KEYS


def test_a_failed_query_reports_its_error(client: TestClient) -> None:
    status = finished(client, "COPY silver.breweries TO 'x.csv'")
    assert (status["state"], status["has_result"], status["columns"]) == ("failed", False, [])
    assert "Only one SELECT" in status["error"]
    for path in ("rows", "result.csv"):
        answer = client.get(f"/api/v1/queries/{status['id']}/{path}")
        assert answer.status_code == 400
        assert answer.json() == {
            "error": "This query has no result, or its result has expired.",
            "hint": "Run it again.",
        }


def test_a_query_is_stopped(client: TestClient) -> None:
    started = client.post("/api/v1/queries", json={"sql": ENDLESS}).json()
    stopped = client.delete(f"/api/v1/queries/{started['id']}").json()
    assert (stopped["state"], stopped["error"]) == ("stopped", None)
    assert "Query stopped" in client.get("/explore", params={"result": started["id"]}).text


def test_a_query_reads_as_of_an_earlier_snapshot(client: TestClient) -> None:
    snapshot = client.get("/api/v1/tables/silver.breweries").json()["snapshots"][1]["snapshot"]
    status = finished(client, "SELECT count(*) FROM silver.breweries", snapshot)
    assert status["at"] == snapshot
    assert client.get(f"/api/v1/queries/{status['id']}/rows").json()["rows"] == [[399]]
    page = client.get("/explore", params={"result": status["id"]}).text
    assert f'<option value="{snapshot}" selected>' in page, "the editor keeps the time of the query"
    assert "'x' is neither a time" in finished(client, "SELECT 1", "x")["error"]


@pytest.mark.parametrize("value", ["micro", "' OR true --", "{{other}}", "$kind", "1; SELECT 2"])
def test_a_placeholder_is_bound_as_a_parameter(client: TestClient, value: str) -> None:
    sql = "SELECT {{kind}} AS whole, '<{{ kind }}>' AS part, '$kind' AS text /* {{no}} */"
    started = client.post("/api/v1/queries", json={"sql": sql, "parameters": {"kind": value, "unused": "x"}}).json()
    assert (started["sql"], started["parameters"]) == (sql, {"kind": value})
    result = f"/api/v1/queries/{started['id']}"
    while client.get(result).json()["state"] in {"waiting", "running"}:
        time.sleep(0.02)
    assert client.get(f"{result}/rows").json()["rows"] == [[value, f"<{value}>", "$kind"]]
    page = client.get("/explore", params={"result": started["id"]}).text
    assert f'name="p.kind" value="{value}"' in unescape(page)
    (share,) = re.findall(r'id="share" href="([^"]*)"', page)
    assert f'name="p.kind" value="{value}"' in unescape(client.get(unescape(share)).text)


def test_a_placeholder_without_a_value_gets_a_field_first(client: TestClient) -> None:
    sql = "SELECT {{n}}::INTEGER + 1 AS more"
    answer = client.post("/api/v1/queries", json={"sql": sql})
    assert (answer.status_code, answer.json()["error"]) == (400, "The query has no value for `n`.")
    page = client.post("/explore", data={"sql": sql})
    assert 'name="p.n" value=""' in page.text
    assert "result=" not in str(page.url)
    assert '<td class="right">42</td>' in submit(client, sql, None, **{"p.n": "41"}).text


def test_a_query_is_formatted_with_its_placeholders(client: TestClient) -> None:
    answer = client.post("/api/v1/format", json={"sql": "select a from t where b={{ b }} and c like '{{c}}%'"})
    assert answer.json() == {"sql": "SELECT\n  a\nFROM t\nWHERE\n  b = {{b}} AND c LIKE '{{c}}%'"}
    answer = client.post("/api/v1/format", json={"sql": "selec x frm"})
    assert (answer.status_code, answer.json()["hint"]) == (400, "Run it to see where.")


@pytest.mark.parametrize("path", ["", "/rows", "/result.csv"], ids=["status", "rows", "file"])
def test_an_unknown_query_is_an_error(client: TestClient, path: str) -> None:
    answer = client.get(f"/api/v1/queries/nothing{path}")
    assert answer.status_code == 404
    assert "unknown" in answer.json()["error"]
    page = client.get("/explore", params={"result": "nothing"})
    assert (page.status_code, "Unknown query" in page.text) == (404, True)


@pytest.mark.parametrize("body", [{}, {"sql": 1}, {"sql": "SELECT 1", "at": 2}, [], "SELECT 1"])
def test_a_body_of_another_shape_is_rejected(client: TestClient, body: object) -> None:
    answer = client.post("/api/v1/queries", json=body)
    assert answer.status_code == 422
    assert set(answer.json()) == {"error", "hint"}


@pytest.mark.parametrize("query", ["page=0", "size=0", "size=10001", "sort=x", "page=x"])
def test_a_parameter_out_of_range_is_rejected(client: TestClient, query: str) -> None:
    status = finished(client, "SELECT 1")
    assert client.get(f"/api/v1/queries/{status['id']}/rows?{query}").status_code == 422
    assert client.get(f"/api/v1/queries/{status['id']}/result.exe").status_code == 404


def test_every_saved_query_runs_as_it_is_displayed(client: TestClient, console_lake: Lake) -> None:
    with connect(console_lake) as connection:
        for saved in client.get("/api/v1/saved-queries").json():
            assert run_query(connection, saved["sql"], lambda result: result.columns), saved
            assert not saved["sql"].startswith("--")


def test_a_saved_query_or_a_link_fills_the_editor_and_runs_nothing(client: TestClient) -> None:
    before = len(client.get("/api/v1/queries").json())
    assert "FROM gold.breweries_by_location" in client.get("/explore", params={"saved": "top_cities"}).text
    shared = client.get("/explore", params={"sql": "SELECT '</textarea><script>'", "at": "2100-01-01"}).text
    assert "SELECT &#39;&lt;/textarea&gt;&lt;script&gt;&#39;" in shared
    assert '<option value="2100-01-01" selected>' in shared
    assert len(client.get("/api/v1/queries").json()) == before
    assert client.get("/explore", params={"saved": "nothing"}).status_code == 404


def test_the_page_lists_the_readable_tables_without_the_cache_of_the_overview(client: TestClient) -> None:
    assert client.get("/").status_code == 200  # creates the cache tables
    text = client.get("/explore").text
    assert all(name in text for name in ("silver.breweries", "bronze.breweries", "monitoring.runs"))
    assert "console_breweries" not in text
    (tables,) = re.findall(r'<script type="application/json" id="tables">(.*?)</script>', text)
    assert ["longitude", "DOUBLE"] in json.loads(tables)["silver.breweries"]


def test_a_lake_without_tables_has_an_editor(empty_client: TestClient) -> None:
    text = empty_client.get("/explore").text
    assert '<textarea id="sql"' in text
    status = finished(empty_client, "SELECT count(*) FROM silver.breweries")
    assert "breweries does not exist" in status["error"]


@pytest.mark.parametrize("path", ["/explore", "/explore?sql=SELECT+1", "/explore?saved=top_cities"])
def test_a_link_as_of_a_time_without_tables_is_an_error(client: TestClient, path: str) -> None:
    answer = client.get(path, params={"at": "g4rbage"})
    assert answer.status_code == 404
    assert "<h1>Error 404</h1>" in answer.text
    assert "sql" not in answer.text.split("<main")[1]


def test_the_page_works_without_scripts(client: TestClient) -> None:
    page = submit(client, "SELECT 1 AS um", PORTUGUESE).text
    assert "1 linha" in page
    assert "Mostrar como gráfico" in page
    numbers = "12345 AS big, [true] AS l, 2026 AS year, 1234.5 AS part, 1e-9::DOUBLE AS tiny"
    page = submit(client, f"SELECT 1 AS one, NULL AS nothing, {numbers}").text
    assert "1 row," in page
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", page)
    assert cells == ["1", "—", "12,345", "[true]", "2026", "1,234.5", "1e-09"]
    assert page.count('<th scope="col" class="right">') == 5


def test_a_failed_query_is_shown_with_the_position_of_its_error(client: TestClient) -> None:
    page = submit(client, "SELECT nowhere\nFROM silver.breweries").text
    assert "Query failed" in page
    assert ">LINE 1: SELECT nowhere" in page
    assert "<textarea" in page
    assert "SELECT nowhere\nFROM silver.breweries</textarea>" in page, "the editor keeps the text"
    assert "A consulta falhou" in submit(client, "SELECT nowhere", PORTUGUESE).text


def test_a_result_without_rows_or_with_more_than_one_page(client: TestClient) -> None:
    assert "No rows." in submit(client, "SELECT 1 AS n WHERE false").text
    answer = submit(client, 'SELECT n AS "<b>" FROM range(250) t(n)')
    assert "Rows 1 to 100 of 250" in answer.text
    assert "<b>" not in answer.text
    result = dict(answer.url.params)["result"]
    last = client.get("/explore", params={"result": result, "page": "3", "sort": "-1"}).text
    assert "Rows 201 to 250 of 250" in last
    assert 'aria-sort="descending"' in last
    assert re.findall(r'<td class="right">(\d+)</td>', last)[0] == "49"
    assert "Page 3 of 3" in last
    assert ">Next</a>" not in last
    beyond = client.get("/explore", params={"result": result, "page": "99"}).text
    assert "Rows 201 to 250 of 250" in beyond
    assert client.get("/explore", params={"result": result, "sort": "9"}).status_code == 400


@pytest.mark.parametrize("value", ["<img src=x onerror=y>", "{{ 7*7 }}", "</td><script>", "x" * 1000])
def test_values_are_escaped_and_truncated(varied_client: TestClient, value: str) -> None:
    page = submit(varied_client, f"SELECT '{value}' || '' AS v").text
    cells = page[page.index("<tbody>") : page.index("</tbody>")]
    assert value not in cells or value == "{{ 7*7 }}"
    assert "49" not in re.findall(r"<td[^>]*>([^<]*)</td>", cells)
    assert ("x" * 300 + "…" in cells) == (len(value) == 1000)


def test_the_heading_of_an_error_is_not_repeated(client: TestClient) -> None:
    page = submit(client, "SELECT CAST('x' AS INT)", PORTUGUESE).text
    assert page.count("onsulta falhou") == 1


def test_a_result_of_many_columns_says_how_many_are_shown(client: TestClient) -> None:
    page = submit(client, f"SELECT {', '.join('1' * 1001)}").text
    assert "The first 1,000 of 1,001 columns are shown; downloads have all." in page
    assert page.count('<span class="kind">') == 1000


def test_a_query_that_is_too_long_is_an_error_in_the_result(client: TestClient) -> None:
    answer = client.post("/explore", data={"sql": "x" * 100_001}, headers={"HX-Request": "true", "HX-Target": "result"})
    assert answer.status_code == 400
    assert '<section class="notice bad"' in answer.text
    assert "up to 100,000 characters" in answer.text


def test_the_page_opens_with_a_query_of_a_published_table_and_links_that_run(client: TestClient) -> None:
    page = client.get("/explore").text
    assert "data-default" in page
    assert "FROM gold.breweries_by_location" in page
    assert 'href="/explore?saved=top_cities&amp;run=1"' in page
    assert page.split('<select id="at" name="at">')[1].split("</select>")[0].count("<option") == 2
    status = finished(client, "SELECT 1")
    assert 'id="share" href="/explore?sql=SELECT+1&amp;run=1"' in client.get(f"/explore?result={status['id']}").text


def test_a_result_updates_the_history_of_the_page(client: TestClient) -> None:
    status = finished(client, "SELECT 4711")
    part = client.get(f"/explore?result={status['id']}", headers={"HX-Request": "true", "HX-Target": "result"}).text
    history = part.split('id="history" hx-swap-oob="true"')[1].split("</section>")[0]
    assert "SELECT 4711" in history


def test_the_history_links_to_earlier_results(client: TestClient) -> None:
    status = finished(client, "SELECT 'in the history' AS \"<i>\"")
    page = client.get("/explore").text
    history = page[page.index('<ol class="items">') :]
    assert f'href="/explore?result={status["id"]}"' in history
    assert "SELECT &#39;in the history&#39;" in history
    assert "<i>" not in history


def test_saved_queries_are_translated() -> None:
    portuguese = texts("pt-BR")
    assert {query.title for query in saved_queries()} | {query.question for query in saved_queries()} <= set(portuguese)


def test_a_query_is_written_run_sorted_charted_and_downloaded_in_a_browser(
    console_url: str, page: Page, tmp_path: Path
) -> None:
    from playwright.sync_api import expect

    page.goto(f"{console_url}/explore")
    editor = page.locator("#sql")
    editor.fill("SELECT id, name, length(name) AS letters FROM silver.brew")
    editor.press_sequentially("er")
    page.wait_for_selector("#completions li >> text=silver.breweries")
    editor.press("Escape")
    expect(page.locator("#completions")).to_be_hidden()
    editor.press("Control+Space")
    page.wait_for_selector("#completions li >> text=silver.breweries")
    editor.press("Enter")
    expect(editor).to_have_value(re.compile(r"FROM silver\.breweries$"))
    editor.press("Control+Enter")

    table = page.locator("#rows table")
    expect(table.locator("tbody tr")).to_have_count(100)
    expect(page).to_have_url(re.compile("result="))
    table.locator("th a >> text=name").click()
    page.wait_for_selector("th[aria-sort=ascending]")
    expect(table.locator("td >> text=<script>alert('x')</script>"), "the script is only text").to_have_count(1)
    page.locator(".pages >> text=Last").click()
    page.wait_for_selector("text=Rows 301 to 400 of 400")

    page.locator(".result-chart > summary").click()
    page.wait_for_selector("figure[data-drawn] svg")
    page.locator("#chart-kind").select_option("point")
    page.wait_for_selector("figure[data-drawn] .mark-symbol")
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV", exact=True).click()
    download.value.save_as(tmp_path / "result.csv")
    assert len((tmp_path / "result.csv").read_text("utf-8").splitlines()) == 401

    editor.fill("SELECT nowhere FROM silver.breweries")
    page.locator("#query-form button.primary").click()
    page.wait_for_selector("#result .notice.bad pre >> text=LINE 1")
    editor.fill(ENDLESS)
    editor.press("Control+Enter")
    page.locator("#result button >> text=Stop").click()
    page.wait_for_selector("text=Query stopped")
    page.goto(f"{console_url}/explore")
    expect(page.locator("ol a").nth(2), "the history").to_be_attached()


def test_an_editor_has_fields_for_placeholders_and_keeps_a_draft(console_url: str, page: Page) -> None:
    from playwright.sync_api import expect

    page.goto(f"{console_url}/explore")
    editor = page.locator("#sql")
    editor.fill("select name from silver.breweries where brewery_type={{type}} -- {{not}}")
    page.get_by_label("type", exact=True).fill("micro")
    expect(page.locator("#parameters input")).to_have_count(1)
    page.get_by_role("button", name="Format").click()
    expect(editor).to_have_value(re.compile(r"^SELECT\n  name"))
    expect(page.get_by_label("type", exact=True)).to_have_value("micro")
    page.goto(f"{console_url}/explore")
    expect(editor, "the draft is kept").to_have_value(re.compile(r"brewery_type = \{\{type\}\}"))
    page.locator("summary >> text=silver.breweries").click()
    page.get_by_role("button", name="city_name").click()
    expect(editor).to_have_value(re.compile(" city_name$"))
    editor.fill("SELECT {{type}} AS kind")
    page.get_by_label("type", exact=True).fill("brewpub")
    editor.press("Control+Enter")
    page.wait_for_selector("#rows td >> text=brewpub")
    link = page.locator("#share").get_attribute("href") or ""
    page.goto(console_url + link)
    page.wait_for_selector("#rows td >> text=brewpub")
    expect(page.get_by_label("type", exact=True)).to_have_value("brewpub")
