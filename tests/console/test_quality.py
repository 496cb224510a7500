"""The quality page: check results over time, rejected records, unmatched places and suspect breweries."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from tests.mock_api.server import MockApiServer

from brewhouse.console.lake_reader import LakeReader, LakeState
from brewhouse.console.pages.quality import (
    MAX_RUNS,
    PAGE_ROWS,
    SUSPECT_QUERIES,
    Kind,
    checks_over_time,
    list_suspect_rows,
)
from brewhouse.events.run_reports import RunReport
from brewhouse.lake.lake import Lake
from brewhouse.mock_api.dataset import generate
from brewhouse.pipeline.workflow import run_workflow
from brewhouse.settings import load

KINDS = sorted(SUSPECT_QUERIES)
SUSPECT_SOURCES = {
    "rejected": "SELECT id FROM silver.rejected_breweries",
    "places": "SELECT DISTINCT country, state_province FROM silver.breweries WHERE place_match = 'none'",
    "suspects": "SELECT id FROM silver.suspect_breweries",
}


@pytest.fixture(scope="module")
def state(varied_lake: Lake) -> LakeState:
    return LakeReader(varied_lake).state()


@pytest.fixture(scope="module")
def rejecting_state(tmp_path_factory: pytest.TempPathFactory) -> LakeState:
    """A lake whose rejected records fill more than two pages."""
    lake = Lake(tmp_path_factory.mktemp("rejecting") / "lake")
    with MockApiServer(generate(3000, unusable=2 * PAGE_ROWS + 7)) as source:
        run_workflow(lake, load({"source_url": source.url}, environ={}))
    return LakeReader(lake).state()


def report(number: int, *checks: dict[str, Any]) -> RunReport:
    started_at = datetime(2026, 8, 2, tzinfo=UTC) + timedelta(hours=number)
    return RunReport(run=f"run-{number}", state="SUCCEEDED", started_at=started_at.isoformat(), checks=list(checks))


def check(name: str, found: int, *, severity: str = "error", example: str = "", table: str = "t") -> dict[str, Any]:
    return {"table": table, "name": name, "severity": severity, "found": found, "example": example}


def test_runs_are_shown_oldest_first_with_a_gap_where_a_check_was_not_made() -> None:
    history = checks_over_time([report(3, check("a", 0), check("b", 2)), report(2), report(1, check("a", 5))])
    assert [run.run for run in history.runs] == ["run-1", "run-3"], "a run without checks is left out"
    assert {each.name: each.found for each in history.checks} == {"a": [5, 0], "b": [None, 2]}


def test_checks_with_violations_come_first_and_errors_before_warnings() -> None:
    checks = [
        check("passed", 0),
        check("warned", 1, severity="warning"),
        check("failed", 1, table="z"),
        check("failed", 1, table="b"),
        check("passed warning", 0, severity="warning"),
    ]
    history = checks_over_time([report(1, *checks)])
    assert [(each.table, each.name) for each in history.checks] == [
        *(("b", "failed"), ("z", "failed"), ("t", "warned"), ("t", "passed"), ("t", "passed warning"))
    ]


def test_severity_and_example_are_those_of_the_newest_run_that_has_one() -> None:
    history = checks_over_time(
        [
            report(3, check("a", 1, severity="warning")),
            report(2, check("a", 1, example="newer")),
            report(1, check("a", 1, example="older")),
        ]
    )
    (only,) = history.checks
    assert (only.severity, only.example, only.found) == ("warning", "newer", [1, 1, 1])


def test_only_the_newest_runs_are_shown() -> None:
    history = checks_over_time(report(number, check("a", number)) for number in range(50, 0, -1))
    assert [run.run for run in history.runs] == [f"run-{number}" for number in range(51 - MAX_RUNS, 51)]
    assert history.checks[0].found == list(range(51 - MAX_RUNS, 51))


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.integers(0, 3), max_size=3), max_size=25))
def test_every_result_is_found_in_its_run(results: list[dict[str, int]]) -> None:
    reports = [report(n, *(check(name, found) for name, found in each.items())) for n, each in enumerate(results)]
    history = checks_over_time(reversed(reports))
    shown = [each for each in results if each][-MAX_RUNS:]
    assert len(history.runs) == len(shown)
    for each in history.checks:
        assert each.found == [result.get(each.name) for result in shown]


def test_incomplete_details_of_an_event_do_not_break_the_page() -> None:
    (only,) = checks_over_time([report(1, {"found": None})]).checks
    assert (only.table, only.name, only.severity, only.found, only.example) == ("", "", "", [0], "")


@pytest.mark.parametrize("kind", KINDS)
def test_suspect_rows_are_those_of_the_table(state: LakeState, kind: Kind) -> None:
    suspects = list_suspect_rows(state, kind, 1)
    expected = state.cursor().execute(SUSPECT_SOURCES[kind]).fetchall()
    assert suspects.total == len(suspects.rows) == len(expected) > 0
    assert (suspects.page, suspects.pages) == (1, 1)
    if kind != "places":
        assert {row["id"] for row in suspects.rows} == {row[0] for row in expected}


def test_groups_count_the_rows_of_each_category(state: LakeState) -> None:
    rejected, suspects = list_suspect_rows(state, "rejected", 1), list_suspect_rows(state, "suspects", 1)
    assert [(group.name, group.count) for group in rejected.groups] == [("name is missing", 1)]
    assert {group.name: group.count for group in suspects.groups} == {
        "coordinates outside the country": 1,
        "probable duplicate": 2,
    }
    assert [group.count for group in suspects.groups] == [2, 1], "largest group first"


def test_groups_of_places_count_breweries(state: LakeState) -> None:
    places = list_suspect_rows(state, "places", 1)
    assert places.rows == [{"country": "Atlantis", "state_province": "Deep", "breweries": 1}]
    assert [(group.name, group.count) for group in places.groups] == [("Atlantis", 1)]


def test_pages_contain_every_row_once_in_order(rejecting_state: LakeState) -> None:
    first = list_suspect_rows(rejecting_state, "rejected", 1)
    assert (first.total, first.pages, len(first.rows)) == (2 * PAGE_ROWS + 7, 3, PAGE_ROWS)
    pages = [list_suspect_rows(rejecting_state, "rejected", number) for number in (1, 2, 3)]
    assert [page.page for page in pages] == [1, 2, 3]
    rows = [(row["page"], row["id"]) for page in pages for row in page.rows]
    assert rows == sorted(rows)
    assert len(set(rows)) == first.total
    assert sum(group.count for group in first.groups) == first.total


@pytest.mark.parametrize(("number", "page"), [(3, 3), (4, 3), (10**6, 3)])
def test_a_page_number_out_of_range_selects_the_nearest_page(
    rejecting_state: LakeState, number: int, page: int
) -> None:
    assert list_suspect_rows(rejecting_state, "rejected", number).page == page


def test_a_kind_without_rows_has_one_empty_page(rejecting_state: LakeState) -> None:
    places = list_suspect_rows(rejecting_state, "places", 7)
    assert (places.groups, places.rows, places.total, places.page, places.pages) == ([], [], 0, 1, 1)


def test_json_has_the_documented_keys(varied_client: TestClient) -> None:
    checks = varied_client.get("/api/v1/quality/checks").json()
    assert set(checks) == {"runs", "checks"}
    assert set(checks["runs"][0]) == {"run", "started_at"}
    assert set(checks["checks"][0]) == {"table", "name", "severity", "found", "example"}
    columns = {
        "rejected": {"reasons", "id", "name", "country", "page", "record"},
        "places": {"country", "state_province", "breweries"},
        "suspects": {"doubt", "id", "name", "city_name", "country_name", "detail"},
    }
    for kind in KINDS:
        rows = varied_client.get(f"/api/v1/quality/{kind}").json()
        assert set(rows) == {"groups", "rows", "total", "page", "pages"}
        assert set(rows["groups"][0]) == {"name", "count"}
        assert set(rows["rows"][0]) == columns[kind]


def test_the_checks_of_both_runs_are_shown_next_to_each_other(client: TestClient) -> None:
    checks = client.get("/api/v1/quality/checks").json()
    assert len(checks["runs"]) == 2
    assert {len(each["found"]) for each in checks["checks"]} == {2}
    unique = next(c for c in checks["checks"] if (c["table"], c["name"]) == ("silver.breweries", "(id) is unique"))
    assert (unique["severity"], unique["found"]) == ("error", [0, 0])
    assert "(id) is unique" in client.get("/quality").text


def test_the_page_marks_violations_with_their_number_and_links_to_the_runs(varied_client: TestClient) -> None:
    page = varied_client.get("/quality").text
    duplicates = re.search(r"no two breweries have the same name.*?</tr>", page, re.DOTALL)
    assert duplicates
    assert duplicates[0].count('<span class="mark warn">2</span>') == 2
    newest, oldest = (run["run"] for run in reversed(varied_client.get("/api/v1/quality/checks").json()["runs"]))
    assert page.index(f'<th scope="col"><a href="/runs/{newest}">') < page.index(f'<a href="/runs/{oldest}">')
    assert re.search(r'Example: <a href="/breweries/[0-9a-f-]{36}">[^{<]+ · same name', page), "in words, with a link"
    folded = page.split("<details")[1]
    assert "(id) is unique" in folded
    assert "no two breweries" not in folded


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_has_a_page_with_its_groups_and_rows(varied_client: TestClient, kind: str) -> None:
    rows = varied_client.get(f"/api/v1/quality/{kind}").json()
    page = varied_client.get(f"/quality/{kind}?page=9").text
    assert page.count("<dt>") == len(rows["groups"])
    assert page.split("<tbody>")[1].count("<tr>") == rows["total"]


def test_a_rejected_record_is_shown_as_received_and_escaped(varied_client: TestClient) -> None:
    page = varied_client.get("/quality/rejected").text
    assert '<pre class="text">{&#34;id&#34;:' in page
    assert "name is missing" in page


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("rejected", "Nenhum registro foi rejeitado."),
        ("places", "O país e o estado de todas as cervejarias constam na ISO 3166."),
        ("suspects", "Cervejarias suspeitas"),
    ],
)
def test_a_page_without_findings_says_so_in_portuguese(client: TestClient, kind: str, text: str) -> None:
    assert text in client.get(f"/quality/{kind}", headers={"Accept-Language": "pt-BR"}).text


def test_a_lake_without_runs_has_no_results(empty_client: TestClient) -> None:
    assert "No check results yet" in empty_client.get("/quality").text
    assert empty_client.get("/api/v1/quality/checks").json() == {"runs": [], "checks": []}


@pytest.mark.parametrize("kind", KINDS)
def test_a_lake_whose_tables_are_not_published_yet_has_a_page(empty_client: TestClient, kind: str) -> None:
    assert "Nothing is published yet" in empty_client.get(f"/quality/{kind}").text
    answer = empty_client.get(f"/api/v1/quality/{kind}")
    assert answer.status_code == 503
    assert "is not published" in answer.json()["error"]


@pytest.mark.parametrize(
    ("path", "status"),
    [("/quality/nothing", 404), ("/api/v1/quality/nothing", 404), ("/api/v1/quality/rejected?page=0", 422)],
)
def test_an_unknown_kind_or_page_is_an_error(client: TestClient, path: str, status: int) -> None:
    assert client.get(path).status_code == status


def test_a_suspect_brewery_links_to_its_page_and_to_its_duplicate(varied_client: TestClient) -> None:
    rows = varied_client.get("/api/v1/quality/suspects").json()["rows"]
    page = varied_client.get("/quality/suspects").text
    assert all(f'<a href="/breweries/{row["id"]}">{row["name"]}</a>' in page for row in rows)
    (duplicate,) = {match for row in rows for match in re.findall(r"[0-9a-f-]{36}", row["detail"])}
    assert f'<a href="/breweries/{duplicate}">{duplicate}</a>' in page
