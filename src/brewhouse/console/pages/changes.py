"""Changes: what was added, closed, removed, reopened or changed, with filters, counts and a CSV file."""

from __future__ import annotations

import csv
import io
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from brewhouse.console import change_list, overview
from brewhouse.console.web import API, HTML, LakeStateDep, page

router = APIRouter(tags=["changes"])

_Query = Annotated[change_list.ChangeQuery, Query()]


@router.get("/changes", **HTML)
def show(request: Request, state: LakeStateDep, query: _Query) -> Response:
    """Show the matching changes."""
    found = change_list.list_changes(state, query)
    counts = overview.overview(state, overview.OverviewFilters(country=query.country))
    counts = overview.with_chosen(counts, overview.OverviewFilters(query.country, query.state, query.type))
    most = max((sum(month.counts.values()) for month in found.months), default=1)
    return page(request, "changes.html", found=found, query=query, kinds=change_list.KINDS, counts=counts, most=most)


@router.get("/changes.csv", include_in_schema=False)
def download(state: LakeStateDep, query: _Query) -> Response:
    """Download all matching changes."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(change_list.all_changes(state, query))
    headers = {"Content-Disposition": 'attachment; filename="brewhouse-changes.csv"'}
    return Response(text.getvalue(), media_type="text/csv", headers=headers)


@router.get(f"{API}/changes")
def list_changes(state: LakeStateDep, query: _Query) -> change_list.ChangeList:
    """List the changes of breweries, newest first, and count them by kind and month."""
    return change_list.list_changes(state, query)
