"""Overview: counts of breweries by type and place, the map, counts over time and the newest changes."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from brewhouse.console import overview
from brewhouse.console.language import Translator
from brewhouse.console.overview_report import overview_values, write_report
from brewhouse.console.pages.tables import snapshot_options
from brewhouse.console.web import API, HTML, ConsoleDep, LakeStateDep, page, translator_of

router = APIRouter(tags=["overview"])

_Filters = Annotated[overview.OverviewFilters, Query()]


@router.get("/", **HTML)
def show(request: Request, console: ConsoleDep, lake_state: LakeStateDep, filters: _Filters) -> Response:
    """Show the overview."""
    overview.require_breweries(lake_state)
    values = overview_values(lake_state, filters, translator_of(request))
    return page(
        request,
        "overview.html",
        **values,
        map_data=_map_data(values["shown"], translator_of(request)),
        snapshots=snapshot_options(console.lake, console.lake_reader.state()),
    )


def _map_data(shown: overview.Overview, translate: Translator) -> dict[str, Any]:
    """Return what `static/map.js` shows apart from the locations: filters, counts and texts."""
    return {
        **vars(shown.filters),
        "located": shown.totals.with_coordinates,
        "countries": {count.key: count.breweries for count in shown.by_country},
        "states": [{**vars(count), "title": translate.label("state", count)} for count in shown.by_state],
        "words": {
            "breweries": translate("{count} breweries"),
            "one": translate("one brewery"),
            "several": translate("several, a click zooms in"),
        },
    }


@router.get("/report.{extension}", **HTML)
def download_report(
    request: Request,
    console: ConsoleDep,
    _state: LakeStateDep,  # is 404 if there is none at that time
    filters: _Filters,
    extension: Literal["html", "pdf"],
) -> Response:
    """Download what the overview shows as one file."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / f"report.{extension}"
        language, at = translator_of(request).language, request.query_params.get("at") or None
        write_report(console.lake, file, filters, at=at, language=language, strict=False)
        content = file.read_bytes()
    headers = {"Content-Disposition": f'attachment; filename="breweries.{extension}"'}
    return Response(content, media_type={"html": "text/html", "pdf": "application/pdf"}[extension], headers=headers)


@router.get(f"{API}/overview")
def get_overview(lake_state: LakeStateDep, filters: _Filters) -> overview.Overview:
    """Count the filtered breweries: in total, by type, country and state, and over time, with their newest changes."""
    overview.require_breweries(lake_state)
    return overview.overview(lake_state, filters)


@router.get(f"{API}/overview/spots")
def list_locations(lake_state: LakeStateDep, filters: _Filters) -> list[overview.BreweryLocation]:
    """List the filtered breweries that have coordinates."""
    overview.require_breweries(lake_state)
    return overview.brewery_locations(lake_state, filters)
