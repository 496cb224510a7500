"""Quality: checks over time, rejected records with their reasons, unmatched places, doubtful breweries."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response

from brewhouse.console import quality
from brewhouse.console.web import API, HTML, ConsoleDep, LakeStateDep, page
from brewhouse.errors import BrewhouseError
from brewhouse.lake.run_lock import holder

router = APIRouter(tags=["quality"])

Kind = Literal["rejected", "places", "suspects"]
PageNumber = Annotated[int, Query(alias="page", ge=1, le=1_000_000)]


@router.get("/quality", **HTML)
def show_checks(request: Request, console: ConsoleDep) -> Response:
    """Show the checks over time."""
    checks = quality.checks_over_time(console.event_feed.reports(holder(console.lake)))
    return page(request, "quality.html", kind="checks", checks=checks, found=None, nothing="")


@router.get("/quality/{kind}", **HTML)
def show_doubtful(request: Request, console: ConsoleDep, kind: Kind, number: PageNumber = 1) -> Response:
    """Show what was rejected, could not be matched, or is doubtful."""
    found, nothing = None, ""
    try:
        found = quality.doubtful(console.lake_reader.state(), kind, number)
    except BrewhouseError as error:  # nothing is published yet
        nothing = error.what
    return page(request, "quality.html", kind=kind, checks=None, found=found, nothing=nothing)


@router.get(f"{API}/quality/checks")
def list_checks(console: ConsoleDep) -> quality.ChecksOverTime:
    """Give what the checks of the newest runs found."""
    return quality.checks_over_time(console.event_feed.reports(holder(console.lake)))


@router.get(f"{API}/quality/{{kind}}")
def list_doubtful(
    reading: LakeStateDep,
    kind: Annotated[Kind, Path(description="Rejected records, unmatched places, doubtful breweries")],
    number: PageNumber = 1,
) -> quality.SuspectRows:
    """List what was rejected, could not be matched, or is doubtful."""
    return quality.doubtful(reading, kind, number)
