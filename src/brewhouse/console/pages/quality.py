"""Quality: check results over time, rejected records, unmatched places and suspect breweries."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response

from brewhouse.console.quality import ChecksOverTime, SuspectRows, checks_over_time, suspect_rows
from brewhouse.console.web import API, HTML, ConsoleDep, LakeStateDep, PageNumber, page
from brewhouse.lake.run_lock import holder

router = APIRouter(tags=["quality"])

Kind = Literal["rejected", "places", "suspects"]


@router.get("/quality", **HTML)
def show_checks(request: Request, console: ConsoleDep) -> Response:
    """Show the check results over time."""
    checks = list_checks(console)
    return page(request, "quality.html", kind="checks", checks=checks, suspects=None)


@router.get("/quality/{kind}", **HTML)
def show_suspect_rows(request: Request, lake_state: LakeStateDep, kind: Kind, number: PageNumber = 1) -> Response:
    """Show rejected records, unmatched places or suspect breweries."""
    return page(request, "quality.html", kind=kind, checks=None, suspects=suspect_rows(lake_state, kind, number))


@router.get(f"{API}/quality/checks")
def list_checks(console: ConsoleDep) -> ChecksOverTime:
    """List the check results of the newest runs."""
    return checks_over_time(console.event_feed.reports(holder(console.lake)))


@router.get(f"{API}/quality/{{kind}}")
def list_suspect_rows(
    lake_state: LakeStateDep,
    kind: Annotated[Kind, Path(description="Rejected records, unmatched places or suspect breweries")],
    number: PageNumber = 1,
) -> SuspectRows:
    """List rejected records, unmatched places or suspect breweries."""
    return suspect_rows(lake_state, kind, number)
