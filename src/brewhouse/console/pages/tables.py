"""Tables: the published tables with their columns, snapshots, sample rows and lineage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Form, HTTPException, Request
from fastapi.responses import RedirectResponse, Response
from markupsafe import Markup

from brewhouse.console.downloads import FileKind
from brewhouse.console.lake_reader import LakeState
from brewhouse.console.pages.runs import view_run
from brewhouse.console.web import API, HTML, ConsoleContext, ConsoleDep, LakeStateDep, link, page, translator_of
from brewhouse.errors import BrewhouseError
from brewhouse.iceberg.table_spec import Column
from brewhouse.ids import day_of
from brewhouse.lake.duckdb_access import identifier
from brewhouse.lake.lake import Lake
from brewhouse.models.lineage import lineage
from brewhouse.models.lineage_svg import draw_svg
from brewhouse.models.model import ZONES, Model
from brewhouse.models.project import models_of

if TYPE_CHECKING:
    from brewhouse.iceberg.tables import Tables

router = APIRouter(tags=["tables"])

SAMPLE_ROWS = 20
_PROFILE = (
    "{{'nulls': count(*) - count({0}), 'distinct': count(DISTINCT {0}), 'least': min({0})::VARCHAR, "
    "'greatest': max({0})::VARCHAR, 'top': coalesce(approx_top_k({0}::VARCHAR, 3), [])}}"
)
_CHECKED_RUNS = 50
_DOWNLOAD_S = 60.0
_SNAPSHOT = ("committed_at", "operation", "rows", "files", "run", "raw_snapshot", "current")


@dataclass(frozen=True)
class TableSummary:
    """A published table; `published_at` is when its current snapshot was committed, null without any."""

    name: str
    description: str
    rows: int
    files: int
    size_bytes: int
    published_at: datetime | None


@dataclass(frozen=True)
class SnapshotDetail:
    """A table snapshot for JSON; its id is a string, since it exceeds the integers of JavaScript."""

    snapshot: str
    committed_at: datetime
    operation: str
    rows: int
    files: int
    run: str
    raw_snapshot: str
    current: bool

    @property
    def at(self) -> str:
        """Its value for `?at=`."""
        return self.raw_snapshot or self.snapshot

    @property
    def data_day(self) -> date | None:
        """The day on which the source was read."""
        day = day_of(self.raw_snapshot)
        return date.fromisoformat(day) if day else None


@dataclass(frozen=True)
class TableDetail:
    """A published table with its columns, partition columns, sort columns, and snapshots, newest first."""

    summary: TableSummary
    columns: list[Column]
    partition: list[str]
    sort: list[str]
    snapshots: list[SnapshotDetail]


@dataclass(frozen=True)
class TableSample:
    """The first rows of a table; values are in the order of the columns."""

    columns: list[str]
    rows: list[list[Any]]


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
    nodes = lineage(models)
    reads = next((list(node.reads) for node in nodes if node.name == name), [])
    read_by = [node.name for node in nodes if name in node.reads]
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
        sample=get_sample(lake_state, name) if name in lake_state.tables else None,
        profile=profile(lake_state, table),
        checks=next(filter(None, ([check for check in run if check.table == name] for run in checks)), []),
        **sources,
    )


@router.post("/tables/{name}/download", **HTML)
def download(
    console: ConsoleDep, name: str, kind: Annotated[FileKind, Form()], at: Annotated[str, Form()] = ""
) -> Response:
    """Read a whole table as a query, and lead to its file."""
    get_table(console, name)
    query = console.queries.start(f"SELECT * FROM {identifier(name)}", at or None)
    status = console.queries.wait(query.id, _DOWNLOAD_S)
    if not status.has_result:
        return RedirectResponse(link("/explore", {"result": query.id}), 303)
    return RedirectResponse(f"{API}/queries/{query.id}/result.{kind}", 303)


@router.get(f"{API}/tables")
def list_tables(console: ConsoleDep) -> list[TableSummary]:
    """List the published tables by zone and name."""
    details = table_details(console.lake, console.lake_reader.state())
    return [detail.summary for detail in details.values()]


@router.get(f"{API}/tables/{{name}}", response_model_exclude={"columns": {"__all__": {"field_id"}}})
def get_table(console: ConsoleDep, name: str) -> TableDetail:
    """Describe a table: columns, partitioning, sort order and snapshots."""
    table = table_details(console.lake, console.lake_reader.state()).get(name)
    if table is None:
        raise HTTPException(404)
    return table


@router.get(f"{API}/tables/{{name}}/sample")
def get_sample(lake_state: LakeStateDep, name: str) -> TableSample:
    """Read the first rows of a table."""
    if name not in lake_state.tables:
        raise HTTPException(404)
    result = lake_state.cursor().execute(f"SELECT * FROM {identifier(name)} LIMIT {SAMPLE_ROWS}")
    return TableSample([column[0] for column in result.description or []], [list(row) for row in result.fetchall()])


def _models(console: ConsoleContext) -> list[Model]:
    """Load the models; without those of the user if one of them is invalid, which the list of tables reports."""
    try:
        return models_of(*ZONES, folder=console.settings.models)
    except BrewhouseError:
        return models_of(*ZONES)


def table_details(lake: Lake, state: LakeState) -> Mapping[str, TableDetail]:
    """Describe the published tables, ordered by zone and name."""

    def read() -> dict[str, TableDetail]:
        from brewhouse.iceberg.tables import Tables

        if lake.is_local and not lake.catalog_file.exists():
            return {}
        tables = Tables(lake)
        with tables.reading():
            return {name: _read_detail(tables, name) for name in tables.names()}

    return state.cached("table details", read)


def snapshot_options(lake: Lake, state: LakeState) -> list[SnapshotDetail]:
    """List the snapshots of the breweries, newest first, and only the newest of each raw snapshot."""
    breweries = table_details(lake, state).get("silver.breweries")
    newest: dict[str, SnapshotDetail] = {}
    for snapshot in breweries.snapshots if breweries else []:
        newest.setdefault(snapshot.at, snapshot)
    return list(newest.values())


def profile(state: LakeState, table: TableDetail) -> dict[str, dict[str, Any]]:
    """Describe what each column of a table contains, once for each state; its most frequent values approximately."""
    name = table.summary.name
    if name not in state.tables:
        return {}

    def read() -> dict[str, dict[str, Any]]:
        facts = ", ".join(_PROFILE.format(identifier(column.name)) for column in table.columns)
        [row] = state.cursor().execute(f"SELECT {facts} FROM {identifier(name)}").fetchall()
        return {column.name: found for column, found in zip(table.columns, row, strict=True)}

    return state.cached(("profile", name), read)


def _read_detail(tables: Tables, name: str) -> TableDetail:
    spec, files, history = tables.describe(name), tables.current_files(name), tables.history(name)
    current = next((snapshot for snapshot in history if snapshot.current), None)
    return TableDetail(
        TableSummary(
            name,
            spec.description,
            rows=current.rows if current else 0,
            files=len(files),
            size_bytes=sum(file.size_bytes for file in files),
            published_at=current.committed_at if current else None,
        ),
        columns=list(spec.columns),
        partition=list(spec.partition),
        sort=list(spec.sort),
        snapshots=[
            SnapshotDetail(str(snapshot.snapshot_id), **{name: getattr(snapshot, name) for name in _SNAPSHOT})
            for snapshot in reversed(history)
        ],
    )
