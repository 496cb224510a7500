"""Changes: filtered, counted by kind and month, summarised; the first snapshot is the baseline."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta

import pytest
from fastapi.testclient import TestClient
from tests.console.conftest import HOSTILE_NAME

from brewhouse.console.lake_reader import LakeReader, LakeState
from brewhouse.console.overview import OverviewFilters, latest_changes
from brewhouse.console.pages.changes import ChangeQuery, list_changes
from brewhouse.lake.lake import Lake

COUNTS = {"added": 1, "closed": 1, "removed": 1, "reopened": 1, "changed": 1}


@pytest.fixture(scope="module")
def state(varied_lake: Lake) -> LakeState:
    return LakeReader(varied_lake).state()


def test_the_first_snapshot_is_no_change(state: LakeState) -> None:
    [(first,)] = (
        state.cursor().execute("SELECT count(*) FROM silver.brewery_changes WHERE previous_run IS NULL").fetchall()
    )
    assert first > 100
    found = list_changes(state, ChangeQuery())
    assert (found.kinds, found.total, len(found.changes)) == (COUNTS, 5, 5)


@pytest.mark.parametrize("kind", COUNTS)
def test_changes_are_filtered_by_kind_and_still_counted(state: LakeState, kind: str) -> None:
    found = list_changes(state, ChangeQuery(kind=kind))  # type: ignore[arg-type]
    assert [change.kind for change in found.changes] == [kind]
    assert found.kinds == COUNTS
    assert [sum(month.counts.values()) for month in found.months] == [1]


def test_changes_are_filtered_by_day_place_and_type(state: LakeState) -> None:
    today, tomorrow = datetime.now(UTC).date(), datetime.now(UTC).date() + timedelta(days=1)
    assert list_changes(state, ChangeQuery(since=today - timedelta(days=1), until=tomorrow)).total == 5
    assert list_changes(state, ChangeQuery(since=tomorrow)).total == 0
    assert list_changes(state, ChangeQuery(until=today - timedelta(days=2))).total == 0
    one = list_changes(state, ChangeQuery(kind="added")).changes[0]
    assert one.city
    assert one in list_changes(state, ChangeQuery(city=one.city, type=one.type)).changes
    assert list_changes(state, ChangeQuery(country="XX")).total == 0


def test_the_latest_changes_are_summarised_with_the_day_before(state: LakeState) -> None:
    latest = latest_changes(state, OverviewFilters())
    assert latest is not None
    assert latest["kinds"] == COUNTS
    assert list(latest["kinds"]) == list(COUNTS)
    assert latest["since"] is not None
    assert latest["since"] <= latest["day"]
    assert latest_changes(state, OverviewFilters(country="XX")) is None


def test_the_page_has_counts_a_link_for_each_filter_and_a_file(varied_client: TestClient) -> None:
    html = varied_client.get("/changes?kind=closed").text
    assert "1 change" in html
    assert 'href="/changes.csv?kind=closed"' in html
    assert '<option value="closed" selected>' in html
    rows = list(csv.DictReader(io.StringIO(varied_client.get("/changes.csv?kind=closed").text)))
    assert [row["kind"] for row in rows] == ["closed"]
    assert f'href="/breweries/{rows[0]["id"]}"' in html


def test_the_file_has_all_changes(varied_client: TestClient) -> None:
    answer = varied_client.get("/changes.csv")
    assert "attachment" in answer.headers["content-disposition"]
    rows = list(csv.reader(io.StringIO(answer.text)))
    assert rows[0] == ["detected", "kind", "id", "name", "type", "city", "state", "country", "changed_fields"]
    assert len(rows) == 6
    assert HOSTILE_NAME not in answer.text, "it did not change"


def test_the_overview_summarises_them_and_the_baseline_is_not_listed(varied_client: TestClient) -> None:
    html = varied_client.get("/").text
    assert "<strong>1 closed</strong></a>" in "".join(html.split("\n"))
    assert "kind=closed&amp;since=" in html
    assert {change["kind"] for change in varied_client.get("/api/v1/overview").json()["changes"]} == set(COUNTS)


@pytest.mark.parametrize("query", ["kind=born", "since=yesterday", "page=0"])
def test_an_invalid_filter_is_an_error(varied_client: TestClient, query: str) -> None:
    assert varied_client.get(f"/changes?{query}").status_code == 422


def test_a_lake_without_tables_offers_the_first_run(empty_client: TestClient) -> None:
    for path in ("/changes", "/breweries", "/"):
        assert "Run now" in empty_client.get(path).text
