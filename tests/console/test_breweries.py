"""Breweries: search by words and facets, and everything that is known of one."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from fastapi.testclient import TestClient
from tests.console.conftest import HOSTILE_NAME

from brewhouse.console.lake_reader import LakeReader, LakeState
from brewhouse.console.pages.breweries import BreweryFilters, list_breweries
from brewhouse.lake.lake import Lake


@pytest.fixture(scope="module")
def state(varied_lake: Lake) -> LakeState:
    return LakeReader(varied_lake).state()


def rows(state: LakeState, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
    return state.cursor().execute(sql, list(parameters)).fetchall()


def test_without_words_all_breweries_are_listed_by_name(state: LakeState) -> None:
    found = list_breweries(state, BreweryFilters())
    [(total,)] = rows(state, "SELECT count(*) FROM silver.breweries")
    assert (found.total, found.pages, len(found.breweries)) == (total, 3, 50)
    assert [each.name.lower() for each in found.breweries] == sorted(each.name.lower() for each in found.breweries)
    last = list_breweries(state, BreweryFilters(page=99))
    assert (last.page, len(last.breweries)) == (3, total - 100)


@pytest.mark.parametrize("query", ["o'brien", "O'BRIEN", "brien  o'", "Ö'Brîen", '"&"'])
def test_words_are_found_in_any_order_whatever_their_case_and_accents(state: LakeState, query: str) -> None:
    assert [each.name for each in list_breweries(state, BreweryFilters(q=query)).breweries] == [HOSTILE_NAME]


def test_words_are_found_in_names_addresses_and_cities(state: LakeState) -> None:
    [(id_, name, address, city)] = rows(
        state, "SELECT id, name, address_1, city FROM silver.breweries WHERE address_1 IS NOT NULL ORDER BY id LIMIT 1"
    )
    found = list_breweries(state, BreweryFilters(q=f"{name} {address} {city}"))
    assert id_ in [each.id for each in found.breweries]
    assert list_breweries(state, BreweryFilters(q="no such brewery anywhere")).total == 0


@pytest.mark.parametrize("query", ["%", "_", "'; DROP TABLE x", "\\", "{table}"])
def test_words_have_no_special_characters(state: LakeState, query: str) -> None:
    assert list_breweries(state, BreweryFilters(q=query)).total == 0


def test_facets_count_the_matching_breweries_without_their_own_filter(state: LakeState) -> None:
    country = list_breweries(state, BreweryFilters()).facets["country"][0]
    found = list_breweries(state, BreweryFilters(country=country.key))
    assert found.total == country.breweries
    assert found.facets["country"] == list_breweries(state, BreweryFilters()).facets["country"]
    for facet in ("state", "city", "type"):
        assert sum(count.breweries for count in found.facets[facet]) == country.breweries
    kind = found.facets["type"][0]
    assert list_breweries(state, BreweryFilters(country=country.key, type=kind.key)).total == kind.breweries


def test_a_page_lists_the_results_escaped_and_with_facets(varied_client: TestClient) -> None:
    html = varied_client.get("/breweries", params={"q": "o'brien"}).text
    assert "1 brewery" in html
    assert "&lt;b onclick=x&gt;" in html
    assert "<b onclick" not in html
    assert 'class="facets"' in html
    assert "No breweries." in varied_client.get("/breweries?q=nothing+like+it").text
    part = varied_client.get("/breweries", headers={"HX-Request": "true", "HX-Target": "found"}).text
    assert part.strip().startswith('<div id="found"')


def test_a_brewery_has_its_fields_place_history_and_record(varied_client: TestClient) -> None:
    changed = next(
        each
        for each in varied_client.get("/api/v1/changes?kind=changed").json()["changes"]
        if "phone" in each["changed_fields"]
    )
    detail = varied_client.get(f"/api/v1/breweries/{changed['id']}").json()
    assert detail["fields"]["phone"] == "5035550100"
    assert [entry["kind"] for entry in detail["history"]] == ["changed", "first"]
    assert detail["history"][0]["fields"][-1]["field"] == "phone"
    assert changed["id"] in detail["record"]
    html = varied_client.get(f"/breweries/{changed['id']}").text
    assert '<a href="tel:5035550100">' in html
    (place,) = re.findall(r'<script type="application/json" id="map-data">(.*?)</script>', html)
    located = {name: detail["fields"][name] for name in ("id", "name", "city", "longitude", "latitude")}
    assert json.loads(place)["place"] == located
    assert re.search(r'<a href="https?://[^"]+" rel="noopener', html)
    assert "in the first snapshot" in html
    assert "&#34;id&#34;" in html, "the record as received"


def test_a_removed_brewery_keeps_its_page(varied_client: TestClient) -> None:
    removed = varied_client.get("/api/v1/changes?kind=removed").json()["changes"][0]["id"]
    html = varied_client.get(f"/breweries/{removed}").text
    assert '<span class="badge bad">removed</span>' in html
    assert varied_client.get(f"/api/v1/breweries/{removed}").json()["record"] is None


def test_a_suspect_brewery_shows_the_finding(varied_client: TestClient) -> None:
    suspect = varied_client.get("/api/v1/quality/suspects").json()["rows"][0]
    assert suspect["detail"] in varied_client.get(f"/breweries/{suspect['id']}").text


def test_a_facet_that_matches_nothing_can_be_cleared(varied_client: TestClient) -> None:
    page = varied_client.get("/breweries?q=nothing&country=BR").text
    assert re.search(r'href="/breweries\?q=nothing"[^>]* aria-current="true"><span class="name">Brazil</span>', page)


@pytest.mark.parametrize("path", ["/breweries/nothing", "/api/v1/breweries/nothing"])
def test_an_unknown_brewery_is_not_found(varied_client: TestClient, path: str) -> None:
    assert varied_client.get(path).status_code == 404


def test_names_of_countries_and_types_are_in_the_language_of_the_page(varied_client: TestClient) -> None:
    html = varied_client.get("/breweries", headers={"Accept-Language": "pt-BR"}).text
    assert "Estados Unidos" in html
    assert "United States" not in html
    assert "fechada" in html
