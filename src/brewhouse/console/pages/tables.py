"""Tables: the published tables with their columns, snapshots, sample rows and lineage."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Form, HTTPException, Request
from fastapi.responses import RedirectResponse, Response
from markupsafe import Markup

from brewhouse.console import table_views
from brewhouse.console.pages.explore import DOWNLOADS
from brewhouse.console.run_views import view_run
from brewhouse.console.web import API, HTML, ConsoleContext, ConsoleDep, LakeStateDep, link, page, translator_of
from brewhouse.errors import BrewhouseError
from brewhouse.lake.duckdb_access import identifier
from brewhouse.models.lineage import lineage
from brewhouse.models.lineage_svg import draw_svg
from brewhouse.models.model import ZONES, Model
from brewhouse.models.project import models_of

router = APIRouter(tags=["tables"])

_CHECKED_RUNS = 50
_DOWNLOAD_S = 60.0


@router.get("/tables", **HTML)
def show(request: Request, console: ConsoleDep) -> Response:
    """Show the list of tables and their lineage."""
    tables = list_tables(console)
    names = {table.name for table in tables}
    translate = translator_of(request).message
    picture, problem = None, None
    try:
        models = models_of(*ZONES, folder=console.settings.models)
        names |= {model.name for model in models if names}
        svg = draw_svg(lineage(models), translate, lambda node: f"/tables/{node.name}" if node.name in names else None)
        picture = Markup(svg)  # noqa: S704 - draw_svg escapes
    except BrewhouseError as error:  # an invalid user-defined model
        problem = error
    return page(request, "tables.html", tables=tables, picture=picture, problem=problem)


@router.get("/tables/{name}", **HTML)
def show_table(request: Request, console: ConsoleDep, lake_state: LakeStateDep, name: str) -> Response:
    """Show a table, or a model that is not published but computed for others."""
    models, published = _models(console), {each.name for each in list_tables(console)}
    model = next((each for each in models if each.name == name), None)
    reads, read_by = table_views.neighbors(lineage(models), name)
    names = published | {each.name for each in models}
    sources: dict[str, Any] = {"model": model, "names": names, "reads": reads, "read_by": read_by}
    if model is not None and name not in published:
        return page(request, "model.html", **sources)
    table = get_table(console, name)
    reports = console.event_feed.reports(None)
    checks = [view_run(report, [], datetime.now(UTC)).checks for report in reports if report.checks][:_CHECKED_RUNS]
    return page(
        request,
        "table.html",
        table=table,
        sample=table_views.table_sample(lake_state, name),
        profile={each.name: each for each in table_views.profile(lake_state, table)},
        checks=next(filter(None, ([check for check in run if check.table == name] for run in checks)), []),
        formats=DOWNLOADS,
        **sources,
    )


@router.post("/tables/{name}/download", **HTML)
def download(console: ConsoleDep, name: str, kind: Annotated[str, Form()], at: Annotated[str, Form()] = "") -> Response:
    """Read a whole table as a query, and lead to its file."""
    get_table(console, name)
    query = console.queries.start(f"SELECT * FROM {identifier(name)}", at or None)
    status = console.queries.wait(query.id, _DOWNLOAD_S)
    if kind not in DOWNLOADS or not status.has_result:
        return RedirectResponse(link("/explore", {"result": query.id}), 303)
    return RedirectResponse(f"{API}/queries/{query.id}/result.{kind}", 303)


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


def _models(console: ConsoleContext) -> list[Model]:
    """Load the models; without those of the user if one of them is invalid, which the list of tables reports."""
    try:
        return models_of(*ZONES, folder=console.settings.models)
    except BrewhouseError:
        return models_of(*ZONES)
