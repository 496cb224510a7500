"""Tables: every table with what a row is, how many there are and since when."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from brewhouse.console import tables
from brewhouse.console.frame import API, HTML, ConsoleHere, Reading, page

router = APIRouter(tags=["tables"])


@router.get("/tables", **HTML)
def show(request: Request, console: ConsoleHere, reading: Reading) -> Response:
    """List the tables."""
    return page(request, "tables.html", tables=tables.summaries(console.lake, reading))


@router.get(f"{API}/tables")
def list_tables(console: ConsoleHere, reading: Reading) -> list[tables.TableSummary]:
    """List the published tables, by zone and name."""
    return tables.summaries(console.lake, reading)
