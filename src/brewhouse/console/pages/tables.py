"""Tables: every table with what a row is, its columns, its snapshots, some rows, and what it is made of."""

from __future__ import annotations

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response
from markupsafe import Markup

from brewhouse.console import table_views
from brewhouse.console.web import API, HTML, ConsoleContext, ConsoleDep, LakeStateDep, page, translator_of
from brewhouse.errors import BrewhouseError
from brewhouse.models.lineage import Node, lineage
from brewhouse.models.lineage_svg import draw_svg
from brewhouse.models.model import ZONES
from brewhouse.models.project import models_of

router = APIRouter(tags=["tables"])


@router.get("/tables", **HTML)
def show(request: Request, console: ConsoleDep) -> Response:
    """List the tables, and draw what they are made of."""
    found = table_views.summaries(console.lake, console.lake_reader.state())
    names = {table.name for table in found}
    words = translator_of(request)
    try:
        picture = draw_svg(
            _lineage(console),
            words("Lineage of the tables"),
            lambda node: f"/tables/{node.name}" if node.name in names else None,
        )
    except BrewhouseError as error:  # a model of the user's own that cannot be read
        return page(request, "tables.html", tables=found, picture=None, problem=error)
    return page(request, "tables.html", tables=found, picture=Markup(picture), problem=None)  # noqa: S704 - it escapes


@router.get("/tables/{name}", **HTML)
def show_table(request: Request, console: ConsoleDep, reading: LakeStateDep, name: str) -> Response:
    """Show all about a table."""
    found = table_views.detail(console.lake, console.lake_reader.state(), name)
    if found is None:
        raise HTTPException(404)
    try:
        made_of, used_by = table_views.neighbours(_lineage(console), name)
    except BrewhouseError:  # the list of tables says what is wrong
        made_of, used_by = [], []
    return page(
        request,
        "table.html",
        table=found,
        sample=table_views.sample(reading, name),
        names={table.name for table in table_views.summaries(console.lake, console.lake_reader.state())},
        made_of=made_of,
        used_by=used_by,
    )


@router.get(f"{API}/tables")
def list_tables(console: ConsoleDep) -> list[table_views.TableSummary]:
    """List the published tables, by zone and name."""
    return table_views.summaries(console.lake, console.lake_reader.state())


@router.get(f"{API}/tables/{{name}}")
def get_table(console: ConsoleDep, name: str) -> table_views.TableDetail:
    """Describe a table: its columns, its order, its snapshots."""
    found = table_views.detail(console.lake, console.lake_reader.state(), name)
    if found is None:
        raise HTTPException(404)
    return found


@router.get(f"{API}/tables/{{name}}/sample")
def get_sample(reading: LakeStateDep, name: str) -> table_views.Sample:
    """Read the first rows of a table."""
    found = table_views.sample(reading, name)
    if found is None:
        raise HTTPException(404)
    return found


def _lineage(console: ConsoleContext) -> list[Node]:
    return lineage(models_of(*ZONES, folder=console.settings.models))
