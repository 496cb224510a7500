"""Overview: how many breweries there are, where, of which type, since when, and what changed."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from brewhouse.console import charts, map_drawing, overview, table_views
from brewhouse.console.web import API, HTML, ConsoleDep, LakeStateDep, page, translator_of

router = APIRouter(tags=["overview"])

_Key = Annotated[str, Query(max_length=200)]


def filters_of(country: _Key = "", state: _Key = "", type: _Key = "") -> overview.OverviewFilters:  # noqa: A002 - its name in addresses
    """Read the filters from an address: codes as in `country_code` and `state_code`, or names where there is none."""
    return overview.OverviewFilters(country, state, type)


_Filters = Annotated[overview.OverviewFilters, Depends(filters_of)]


@router.get("/", **HTML)
def show(request: Request, console: ConsoleDep, reading: LakeStateDep, filters: _Filters) -> Response:
    """Show the overview; its map alone, which is asked for when a reader looks closer, in every detail."""
    if not overview.is_there(reading):
        return page(request, "empty.html", here="overview")
    words = translator_of(request)
    shown = overview.overview(reading, filters)
    return page(
        request,
        "overview.html",
        shown=shown,
        drawing=map_drawing.draw(reading, shown, finely=request.headers.get("hx-target") == "map"),
        moments=table_views.moments(console.lake, console.lake_reader.state()),
        chart=charts.over_time(shown.over_time, words("Day"), words("Breweries")),
    )


@router.get(f"{API}/overview")
def get_overview(reading: LakeStateDep, filters: _Filters) -> overview.Overview:
    """Count the breweries that the filters leave: in all, by type, country and state, over time, and what changed."""
    overview.require(reading)
    return overview.overview(reading, filters)


@router.get(f"{API}/overview/spots")
def get_spots(reading: LakeStateDep, filters: _Filters) -> list[overview.Spot]:
    """List the breweries with coordinates that the filters leave."""
    overview.require(reading)
    return overview.spots(reading, filters)
