"""The counts of the overview agree with SQL over the published tables, for every filter and time."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.mock_api.server import MockApiServer

from brewhouse.backfill.backfill_job import run_backfill
from brewhouse.backfill.version_sources import DatasetVersion
from brewhouse.console.lake_reader import LakeReader, LakeState
from brewhouse.console.overview import (
    UNKNOWN,
    OverviewFilters,
    brewery_locations,
    figures_over_time,
    has_breweries,
    overview,
    require_breweries,
)
from brewhouse.errors import BrewhouseError
from brewhouse.lake.lake import Lake
from brewhouse.mock_api.dataset import generate
from brewhouse.pipeline.workflow import run_workflow
from brewhouse.settings import load

ALL = OverviewFilters()
KEY_SQL = {
    "country": f"coalesce(country_code, country_name, '{UNKNOWN}')",
    "state": f"coalesce(state_code, state_name, '{UNKNOWN}')",
    "type": f"coalesce(brewery_type, '{UNKNOWN}')",
}


@pytest.fixture(scope="module")
def state(varied_lake: Lake) -> LakeState:
    return LakeReader(varied_lake).state()


def where(filters: OverviewFilters) -> str:
    parts = [f"{KEY_SQL[name]} = '{value}'" for name, value in vars(filters).items() if value]
    return " AND ".join(["true", *parts])


def select(state: LakeState, sql: str) -> list[tuple[Any, ...]]:
    return state.cursor().execute(sql).fetchall()


def filter_values(state: LakeState, name: str) -> list[str]:
    return [value for (value,) in select(state, f"SELECT DISTINCT {KEY_SQL[name]} FROM silver.breweries ORDER BY 1")]


FILTERS = [
    ALL,
    OverviewFilters(country="US"),
    OverviewFilters(country="US", state="US-CA"),
    OverviewFilters(type="micro"),
    OverviewFilters(country="DE", type="micro"),
    OverviewFilters(country="Atlantis", state="Deep"),
    OverviewFilters(state=UNKNOWN),
    OverviewFilters(country="XX", state="XX-1", type="xx"),
]


@pytest.mark.parametrize("filters", FILTERS, ids=str)
def test_totals_are_what_sql_counts(state: LakeState, filters: OverviewFilters) -> None:
    (expected,) = select(
        state,
        "SELECT count(*), count(*) FILTER (brewery_type IS DISTINCT FROM 'closed' AND brewery_type IS DISTINCT FROM "
        "'planning'), count(*) FILTER (brewery_type = 'planning'), count(*) FILTER (brewery_type = 'closed'), "
        f"count(DISTINCT {KEY_SQL['country']}), count(DISTINCT ({KEY_SQL['country']}, {KEY_SQL['state']}, city_name)), "
        f"count(longitude) FROM silver.breweries WHERE {where(filters)}",
    )
    assert tuple(asdict(overview(state, filters).totals).values()) == expected


@pytest.mark.parametrize("filters", FILTERS, ids=str)
def test_lists_ignore_their_own_filter_and_keep_the_others(state: LakeState, filters: OverviewFilters) -> None:
    shown = overview(state, filters)
    for counts, key, others in (
        (shown.by_type, "type", filters.model_copy(update={"type": ""})),
        (shown.by_country, "country", filters.model_copy(update={"country": "", "state": ""})),
        (shown.by_state, "state", filters.model_copy(update={"state": ""})),
    ):
        group = f"{KEY_SQL['country']}, {KEY_SQL['state']}" if key == "state" else KEY_SQL[key]
        expected = select(state, f"SELECT count(*) FROM silver.breweries WHERE {where(others)} GROUP BY {group}")
        assert sorted(count.breweries for count in counts) == sorted(number for (number,) in expected)
        assert [c.breweries for c in counts] == sorted((c.breweries for c in counts), reverse=True)


@given(data=st.data())
@settings(max_examples=60)
def test_every_combination_of_filters_is_consistent(state: LakeState, data: st.DataObject) -> None:
    filters = OverviewFilters(
        **{name: data.draw(st.sampled_from(["", *filter_values(state, name)])) for name in OverviewFilters.model_fields}
    )
    shown = overview(state, filters)
    totals = shown.totals
    assert totals.operating + totals.planned + totals.closed == totals.breweries
    for counts, key in ((shown.by_type, "type"), (shown.by_country, "country"), (shown.by_state, "state")):
        if getattr(filters, key) == "" and not (key == "country" and filters.state):
            assert sum(count.breweries for count in counts) == totals.breweries
    locations = brewery_locations(state, filters)
    assert len(locations) == totals.with_coordinates
    for name in ("country", "state", "type"):
        assert {getattr(location, name) for location in locations} <= {getattr(filters, name)} or not getattr(
            filters, name
        )
    assert sum(day.breweries for day in shown.over_time[-1:]) == totals.breweries


def test_choosing_an_entry_of_a_list_shows_its_count(state: LakeState) -> None:
    shown = overview(state, ALL)
    choices = [
        *((OverviewFilters(type=count.key), count) for count in shown.by_type),
        *((OverviewFilters(country=count.key), count) for count in shown.by_country),
        *((OverviewFilters(country=count.country, state=count.key), count) for count in shown.by_state),
    ]
    for filters, count in choices:
        assert overview(state, filters).totals.breweries == count.breweries, filters


def test_types_partition_the_breweries_of_every_country(state: LakeState) -> None:
    countries, types = filter_values(state, "country"), filter_values(state, "type")
    filters = [OverviewFilters(country=country, type=kind) for country, kind in product(countries, types)]
    cells = sum(overview(state, each).totals.breweries for each in filters)
    assert cells == overview(state, ALL).totals.breweries


def test_a_country_without_a_code_is_filtered_by_its_name(state: LakeState) -> None:
    shown = overview(state, OverviewFilters(country="Atlantis"))
    assert shown.totals.breweries == 1
    assert [(count.key, count.name, count.country) for count in shown.by_state] == [("Deep", "Deep", "Atlantis")]
    assert {"Atlantis"} == {
        location.country for location in brewery_locations(state, OverviewFilters(country="Atlantis"))
    }


def test_a_missing_state_has_a_key_of_its_own(state: LakeState) -> None:
    unknown = [count for count in overview(state, ALL).by_state if count.key == UNKNOWN]
    assert unknown
    (expected,) = select(state, "SELECT count(*) FROM silver.breweries WHERE coalesce(state_code, state_name) IS NULL")
    assert sum(count.breweries for count in unknown) == expected[0]


@pytest.mark.parametrize("filters", [OverviewFilters(country="XX"), OverviewFilters(type="' OR true --")], ids=str)
def test_filters_that_match_nothing_show_zeros(state: LakeState, filters: OverviewFilters) -> None:
    shown = overview(state, filters)
    assert set(asdict(shown.totals).values()) == {0}
    assert (shown.over_time, shown.changes, brewery_locations(state, filters)) == ([], [], [])


def test_changes_are_the_newest_ones_of_the_filtered_breweries(state: LakeState) -> None:
    changes = overview(state, ALL).changes
    assert {change.kind for change in changes} == {"added", "removed", "closed", "reopened", "changed"}
    assert [change.seen_at for change in changes] == sorted((change.seen_at for change in changes), reverse=True)
    newest = [change for change in changes if change.seen_at == changes[0].seen_at]
    assert {change.kind for change in newest} == {"added", "removed", "closed", "reopened", "changed"}
    (phone,) = [change for change in newest if change.kind == "changed"]
    assert phone.changed_fields == "phone"
    for kind in {change.type for change in changes}:
        assert {change.type for change in overview(state, OverviewFilters(type=kind)).changes} == {kind}


def test_counts_over_time_end_with_the_current_count(state: LakeState) -> None:
    for filters in (ALL, OverviewFilters(country="US"), OverviewFilters(type="micro")):
        shown = overview(state, filters)
        assert shown.over_time[-1].breweries == shown.totals.breweries
        assert [day.day for day in shown.over_time] == sorted({day.day for day in shown.over_time})


def test_a_lake_with_one_brewery_is_one_everywhere(tmp_path_factory: pytest.TempPathFactory) -> None:
    lake = Lake(tmp_path_factory.mktemp("one") / "lake")
    with MockApiServer(generate(1)) as source:
        run_workflow(lake, load({"source_url": source.url}, environ={}))
    state = LakeReader(lake).state()
    shown = overview(state, ALL)
    assert asdict(shown.totals) == {
        **dict.fromkeys(("breweries", "operating", "countries", "cities", "with_coordinates"), 1),
        **dict.fromkeys(("planned", "closed"), 0),
    }
    assert [len(counts) for counts in (shown.by_type, shown.by_country, shown.by_state, shown.over_time)] == [1] * 4
    assert overview(state, OverviewFilters(country="US", state="US-NC", type="brewpub")).totals == shown.totals


def test_a_lake_without_counts_over_time_and_changes_shows_the_other_numbers(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    with MockApiServer(generate(20)) as source:
        run_workflow(lake, load({"source_url": source.url}, environ={}), jobs=("extract", "transform"))
    state = LakeReader(lake).state()
    assert "gold.brewery_counts_over_time" not in state.tables
    shown = overview(state, ALL)
    assert (shown.totals.breweries, shown.over_time) == (20, [])
    assert sum(count.breweries for count in shown.by_country) == 20


def test_nothing_is_counted_before_breweries_are_published(empty_client: TestClient) -> None:
    state = LakeReader(empty_client.app.state.console.lake).state()  # type: ignore[attr-defined]
    assert not has_breweries(state)
    with pytest.raises(BrewhouseError, match="No breweries are published yet"):
        require_breweries(state)
    assert "Nothing is published yet" in empty_client.get("/").text
    for path in ("/api/v1/overview", "/api/v1/overview/spots"):
        answer = empty_client.get(path)
        assert (answer.status_code, answer.json()["hint"]) == (503, "Run `brewhouse run` first.")


def test_json_has_the_documented_keys(client: TestClient) -> None:
    shown = client.get("/api/v1/overview", params={"country": "US"}).json()
    assert list(shown) == ["filters", "totals", "by_type", "by_country", "by_state", "over_time", "changes"]
    assert shown["filters"] == {"country": "US", "state": "", "type": ""}
    assert set(shown["totals"]) == {
        *("breweries", "operating", "planned", "closed", "countries", "cities", "with_coordinates")
    }
    assert set(shown["by_state"][0]) == {"key", "name", "breweries", "country"}
    assert set(shown["over_time"][0]) == {"day", "breweries"}
    assert set(shown["changes"][0]) == {*("seen_at", "kind", "id", "name", "type", "city", "country", "changed_fields")}
    (spot, *_) = client.get("/api/v1/overview/spots", params={"country": "US"}).json()
    assert set(spot) == {"id", "name", "type", "country", "state", "city", "longitude", "latitude"}


def test_an_earlier_snapshot_is_read_by_run_id_or_time(client: TestClient) -> None:
    snapshots = client.get("/api/v1/tables/silver.breweries").json()["snapshots"]
    assert [snapshot["rows"] for snapshot in snapshots] == [400, 399]
    for at in (snapshots[1]["raw_snapshot"], snapshots[1]["committed_at"], snapshots[1]["snapshot"]):
        assert client.get("/api/v1/overview", params={"at": at}).json()["totals"]["breweries"] == 399
        assert '<dd id="total">399</dd>' in client.get("/", params={"at": at}).text
    assert client.get("/api/v1/overview", params={"at": ""}).json()["totals"]["breweries"] == 400


@pytest.mark.parametrize("at", ["2001-01-01", "01GW8EMG00PRMNFNQMVA3G9AMH", "not a time"])
def test_a_time_without_tables_is_not_found(client: TestClient, at: str) -> None:
    for path in ("/", "/api/v1/overview"):
        answer = client.get(path, params={"at": at})
        assert answer.status_code == 404
        assert at in answer.text


def test_the_page_offers_every_snapshot_and_keeps_an_unknown_time(client: TestClient) -> None:
    page = client.get("/").text
    assert page.count("<option") > 10
    assert '<option value="">Now</option>' in page
    run = client.get("/api/v1/tables/silver.breweries").json()["snapshots"][1]["raw_snapshot"]
    assert f'<option value="{run}" selected' in client.get("/", params={"at": run}).text
    assert '<option value="2999-01-01" selected>2999-01-01' in client.get("/", params={"at": "2999-01-01"}).text


def test_the_page_shows_the_counts_in_the_notation_of_the_reader(varied_client: TestClient) -> None:
    english = varied_client.get("/").text
    portuguese = varied_client.get("/", headers={"Accept-Language": "pt-BR"}).text
    assert "Breweries of the world" in english
    assert "Cervejarias do mundo" in portuguese
    assert "Atlantis" in english
    assert '<a href="/?country=Atlantis&amp;state=Deep"' in english


def test_a_chosen_entry_links_to_the_page_without_its_filter(client: TestClient) -> None:
    page = client.get("/", params={"country": "US", "type": "micro"}).text
    assert re.search(r'<a href="/\?country=US"[^>]* aria-current="true">', page)
    assert re.search(r'<a href="/\?type=micro"[^>]* aria-current="true">', page)
    assert '<option value="US" selected>' in page
    assert '<option value="micro" selected>' in page


@pytest.mark.parametrize("path", ["/", "/changes"])
def test_a_filter_that_matches_nothing_stays_chosen_by_its_name(client: TestClient, path: str) -> None:
    page = client.get(path, params={"country": "BR", "state": "BR-MG", "type": "cidery"}).text
    for key, name in (("BR", "Brazil"), ("BR-MG", "Minas Gerais"), ("cidery", "cidery")):
        assert f'<option value="{key}" selected>{name}</option>' in page


def test_hostile_names_and_filters_are_escaped(client: TestClient, varied_client: TestClient) -> None:
    script = "<script>alert('x')</script>"
    assert any(row["name"] == script for row in client.get("/api/v1/overview/spots").json())
    assert script not in client.get("/").text
    assert "<b onclick" not in varied_client.get("/").text
    for text in ("<script>", "</script><script>", "'\"><svg onload=x>", "{{ 7919*7927 }}"):
        answer = client.get("/", params={"country": text, "state": text, "type": text})
        assert answer.status_code == 200
        assert text not in answer.text or text == "{{ 7919*7927 }}"
        assert str(7919 * 7927) not in answer.text


@pytest.mark.parametrize("name", ["country", "state", "type", "at"])
def test_a_parameter_that_is_too_long_is_rejected(client: TestClient, name: str) -> None:
    assert client.get("/api/v1/overview", params={name: "x" * 201}).status_code == 422


def test_htmx_receives_only_the_block_that_it_requests(client: TestClient) -> None:
    block = client.get("/?type=micro", headers={"HX-Request": "true", "HX-Target": "results"}).text
    assert "<html" not in block
    assert 'id="map"' in block
    unknown = client.get("/?type=micro", headers={"HX-Request": "true", "HX-Target": "nothing"}).text
    assert "<html" in unknown


def test_figures_over_time_end_with_the_totals(state: LakeState) -> None:
    for filters in FILTERS:
        figures = figures_over_time(state, filters)
        assert {name: values[-1] for name, values in figures.items()} == {
            name: value for name, value in asdict(overview(state, filters).totals).items() if name in figures
        }, filters
        assert "cities" in figures


def test_figures_over_time_are_the_totals_of_each_day(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    records = [{name: str(value or "") for name, value in record.items()} for record in generate(40)]
    days = [records[:30], records[5:], [{**records[5], "city": "Elsewhere"}, *records[6:38]], records[6:38]]
    days[3][2] = {**days[3][2], "brewery_type": "closed"}
    versions = []
    for day, breweries in enumerate(days, 1):
        text = io.StringIO()
        writer = csv.DictWriter(text, records[0])
        writer.writeheader()
        writer.writerows(breweries)
        time = datetime(2026, 1, day, tzinfo=UTC)
        versions.append(DatasetVersion(f"{day}.csv", time, partial(bytes, text.getvalue().encode())))
    run_backfill(lake, load({}, environ={}), versions)
    reader = LakeReader(lake)
    for filters in (ALL, OverviewFilters(country="US"), OverviewFilters(type="closed"), OverviewFilters(country="XX")):
        figures = figures_over_time(reader.state(), filters)
        for day in range(len(days)):
            totals = asdict(overview(reader.state(f"2026-01-0{day + 1}"), filters).totals)
            assert {name: values[day] for name, values in figures.items()} == {name: totals[name] for name in figures}


@pytest.mark.parametrize(
    ("query", "language", "title"),
    [
        ("", "en", "Breweries of the world"),
        ("country=IE&type=brewpub", "en", "Brewpubs in Ireland"),
        ("country=IE&type=brewpub", "pt", "Brewpubs: Irlanda"),
        ("country=US", "pt", "Cervejarias: Estados Unidos"),
        ("type=closed", "en", "Closed breweries of the world"),
        ("type=none", "en", "Breweries of type unknown of the world"),
        ("country=none&type=tea", "pt-BR", "Cervejarias do tipo tea: país desconhecido"),
        ("country=BR&type=cidery", "en", "Cideries in Brazil"),  # none of the lake
        ("country=BR&state=BR-MG", "pt", "Cervejarias: Minas Gerais, Brasil"),
        ("country=XX", "en", "Breweries in XX"),
    ],
)
def test_the_headline_names_the_filters(client: TestClient, query: str, language: str, title: str) -> None:
    html = client.get(f"/?{query}", headers={"Accept-Language": language}).text
    assert title in " ".join(html.split("<h1>")[1].split("</h1>")[0].split())


def test_an_earlier_state_is_marked_and_reports_cover_the_filters_only(client: TestClient) -> None:
    snapshot = client.get("/api/v1/tables/silver.breweries").json()["snapshots"][-1]["snapshot"]
    assert re.search(r'role="status"><strong>Data of \d+ \w{3,4} 20\d\d\.<', client.get(f"/?at={snapshot}").text)
    assert 'class="past"' not in client.get("/").text
    assert 'href="/report.html?country=US"' in client.get("/?country=US").text
    report = client.get("/report.html?country=US")
    assert "attachment" in report.headers["content-disposition"]
    assert "United States" in report.text
    assert "Germany" not in report.text
    assert client.get("/report.exe").status_code == 404


@pytest.mark.parametrize("extension", ["html", "pdf"])
def test_the_page_and_its_report_show_filters_that_match_nothing(client: TestClient, extension: str) -> None:
    for path in ("/", f"/report.{extension}"):
        answer = client.get(path, params={"country": "IS"})
        assert answer.status_code == 200
        if extension == "html":
            assert "Breweries in Iceland" in answer.text
            assert "No matching breweries in any snapshot." in answer.text
            assert "±0" not in answer.text
            assert 'class="spark"' not in answer.text


def test_lists_are_cut_and_say_how_many_there_are(client: TestClient) -> None:
    html = client.get("/").text
    states = len(client.get("/api/v1/overview").json()["by_state"])
    assert states > 10
    assert f"<summary>all {states}</summary>" in html
