"""Tables: the published tables with their columns, snapshots, sample rows and lineage."""

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
    """Show the list of tables and their lineage."""
    tables = list_tables(console)
    names = {table.name for table in tables}
    title = translator_of(request)("Table lineage")
    picture, problem = None, None
    try:
        svg = draw_svg(_lineage(console), title, lambda node: f"/tables/{node.name}" if node.name in names else None)
        picture = Markup(svg)  # noqa: S704 - draw_svg escapes
    except BrewhouseError as error:  # an invalid user-defined model
        problem = error
    return page(request, "tables.html", tables=tables, picture=picture, problem=problem)


@router.get("/tables/{name}", **HTML)
def show_table(request: Request, console: ConsoleDep, lake_state: LakeStateDep, name: str) -> Response:
    """Show a table."""
    table = get_table(console, name)
    try:
        reads, read_by = table_views.neighbors(_lineage(console), name)
    except BrewhouseError:  # an invalid user-defined model, reported by the list of tables
        reads, read_by = [], []
    return page(
        request,
        "table.html",
        table=table,
        sample=table_views.table_sample(lake_state, name),
        names={each.name for each in list_tables(console)},
        reads=reads,
        read_by=read_by,
    )


@router.get(f"{API}/tables")
def list_tables(console: ConsoleDep) -> list[table_views.TableSummary]:
    """List the published tables by zone and name."""
    details = table_views.table_details(console.lake, console.lake_reader.state())
    return [detail.summary for detail in details.values()]


@router.get(f"{API}/tables/{{name}}", response_model_exclude={"columns": {"__all__": {"field_id"}}})
def get_table(console: ConsoleDep, name: str) -> table_views.TableDetail:
    """Describe a table: columns, partitioning, sort order and snapshots."""
    table = table_views.table_details(console.lake, console.lake_reader.state()).get(name)
    if table is None:
        raise HTTPException(404)
    return table


@router.get(f"{API}/tables/{{name}}/sample")
def get_sample(lake_state: LakeStateDep, name: str) -> table_views.TableSample:
    """Read the first rows of a table."""
    sample = table_views.table_sample(lake_state, name)
    if sample is None:
        raise HTTPException(404)
    return sample


def _lineage(console: ConsoleContext) -> list[Node]:
    return lineage(models_of(*ZONES, folder=console.settings.models))
