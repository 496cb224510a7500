"""Breweries: search as you type, and a page for each."""

from __future__ import annotations

import json
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from brewhouse.console import breweries
from brewhouse.console.overview import counts_with
from brewhouse.console.web import API, HTML, LakeStateDep, PageNumber, page

router = APIRouter(tags=["breweries"])

_Key = Annotated[str, Query(max_length=200)]
_SHOWN_BY_FACET = 8


def filters_of(
    q: _Key = "",
    country: _Key = "",
    state: _Key = "",
    city: _Key = "",
    type: _Key = "",  # noqa: A002 - name of the URL parameter
) -> breweries.BreweryFilters:
    """Read the filters from the query string."""
    return breweries.BreweryFilters(q, country, state, city, type)


Filters = Annotated[breweries.BreweryFilters, Depends(filters_of)]


@router.get("/breweries", **HTML)
def show(request: Request, state: LakeStateDep, filters: Filters, number: PageNumber = 1) -> Response:
    """Show the matching breweries and the facets."""
    found = breweries.search(state, filters, number)
    facets = {name: counts_with(counts, getattr(filters, name)) for name, counts in found.facets.items()}
    return page(request, "breweries.html", found=found, facets=facets, filters=filters, shown=_SHOWN_BY_FACET)


@router.get("/breweries/{brewery}", **HTML)
def show_brewery(request: Request, state: LakeStateDep, brewery: str) -> Response:
    """Show a brewery."""
    detail = breweries.brewery_detail(state, brewery)
    place = {name: detail.fields.get(name) for name in ("id", "name", "city", "longitude", "latitude")}
    is_located = place["longitude"] is not None and place["latitude"] is not None
    map_data = {"place": place, "countries": {}, "states": [], "words": {}} if is_located else None
    record = json.dumps(json.loads(detail.record), indent=2, ensure_ascii=False) if detail.record else ""
    return page(request, "brewery.html", detail=detail, map_data=map_data, record=record)


@router.get(f"{API}/breweries")
def list_breweries(state: LakeStateDep, filters: Filters, number: PageNumber = 1) -> breweries.BreweryList:
    """Search breweries by words of their name, address or place, and count them by country, state, city and type."""
    return breweries.search(state, filters, number)


@router.get(f"{API}/breweries/{{brewery}}")
def get_brewery(state: LakeStateDep, brewery: str) -> breweries.BreweryDetail:
    """Return all that is known of a brewery."""
    return breweries.brewery_detail(state, brewery)
