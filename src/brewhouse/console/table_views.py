"""The published tables as the console shows them: what there is, what it is made of, and every snapshot of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from brewhouse.console.lake_reader import LakeState
from brewhouse.ids import day_of
from brewhouse.lake.duckdb_access import identifier
from brewhouse.lake.lake import Lake
from brewhouse.models.lineage import Node

if TYPE_CHECKING:
    from brewhouse.iceberg.tables import Tables

SAMPLE_ROWS = 20
_BREWERIES = "silver.breweries"


@dataclass(frozen=True)
class TableSummary:
    """A published table.

    Attributes:
        name: Zone and table.
        description: What a row is.
        rows: How many there are.
        files: How many data files hold them.
        size_bytes: What these take.
        published_at: When its current snapshot was committed.
    """

    name: str
    description: str
    rows: int
    files: int
    size_bytes: int
    published_at: datetime | None


@dataclass(frozen=True)
class ColumnDetail:
    """A column.

    Attributes:
        name: Its name.
        type: Its Iceberg type.
        description: What a value means.
    """

    name: str
    type: str
    description: str


@dataclass(frozen=True)
class SnapshotDetail:
    """A table as one commit left it.

    Attributes:
        snapshot: Iceberg's id, as text since it has more digits than JavaScript keeps.
        committed_at: When.
        operation: Iceberg's word for what the commit did.
        rows: How many rows it has.
        files: How many data files it has.
        run: The run that committed.
        raw_snapshot: The raw snapshot it was made from, by the run that took it.
        current: Whether readers see this one now.
    """

    snapshot: str
    committed_at: datetime
    operation: str
    rows: int
    files: int
    run: str
    raw_snapshot: str
    current: bool


@dataclass(frozen=True)
class TableDetail:
    """All about a table but its rows.

    Attributes:
        summary: Its name, description and size.
        columns: In order.
        partition: Columns by whose values the files are separated.
        sort: Columns by which the rows of a file are ordered.
        snapshots: Newest first.
    """

    summary: TableSummary
    columns: list[ColumnDetail]
    partition: list[str]
    sort: list[str]
    snapshots: list[SnapshotDetail]


@dataclass(frozen=True)
class Sample:
    """Some rows of a table.

    Attributes:
        columns: Names.
        rows: Values in the order of the columns.
    """

    columns: list[str]
    rows: list[list[Any]]


@dataclass(frozen=True)
class Moment:
    """A snapshot of the breweries that the lake can be read as of.

    Attributes:
        at: What `?at=` takes.
        taken_on: The day its raw snapshot was taken; long before it was published after a backfill.
        committed_at: When it was published.
        rows: How many breweries it has.
        current: Whether it is what readers see now.
    """

    at: str
    taken_on: date
    committed_at: datetime
    rows: int
    current: bool


def summaries(lake: Lake, state: LakeState) -> list[TableSummary]:
    """List the tables, by zone and name.

    Args:
        lake: Whose.
        state: What the lake shows now.
    """
    return [detail.summary for detail in _details(lake, state).values()]


def detail(lake: Lake, state: LakeState, name: str) -> TableDetail | None:
    """Describe a table; None when there is none of that name.

    Args:
        lake: Whose.
        state: What the lake shows now.
        name: Zone and table.
    """
    return _details(lake, state).get(name)


def moments(lake: Lake, state: LakeState) -> list[Moment]:
    """List the snapshots of the breweries, newest first; of those from one raw snapshot the newest.

    Args:
        lake: Whose.
        state: What the lake shows now.
    """
    breweries = _details(lake, state).get(_BREWERIES)
    found: dict[str, Moment] = {}
    for snapshot in breweries.snapshots if breweries else []:
        at = snapshot.raw_snapshot or snapshot.snapshot
        day = day_of(snapshot.raw_snapshot)
        taken_on = date.fromisoformat(day) if day else snapshot.committed_at.date()
        found.setdefault(at, Moment(at, taken_on, snapshot.committed_at, snapshot.rows, snapshot.current))
    return list(found.values())


def sample(state: LakeState, name: str) -> Sample | None:
    """Read the first rows of a table, or None when there is none of that name.

    Args:
        state: What the lake shows, or showed.
        name: Zone and table.
    """
    if name not in state.tables:
        return None
    result = state.cursor().execute(f"SELECT * FROM {identifier(name)} LIMIT {SAMPLE_ROWS}")
    return Sample([column[0] for column in result.description or []], [list(row) for row in result.fetchall()])


def neighbours(nodes: list[Node], name: str) -> tuple[list[str], list[str]]:
    """Name what a table is made of, and what is made of it.

    Args:
        nodes: Of `brewhouse.models.lineage.lineage`.
        name: Zone and table.
    """
    reads = next((list(node.reads) for node in nodes if node.name == name), [])
    return reads, [node.name for node in nodes if name in node.reads]


def _details(lake: Lake, state: LakeState) -> Mapping[str, TableDetail]:
    return state.once("table details", lambda: _read_details(lake))


def _read_details(lake: Lake) -> dict[str, TableDetail]:
    from brewhouse.iceberg.tables import Tables

    if lake.is_local and not lake.catalog_file.exists():
        return {}
    tables = Tables(lake)
    with tables.reading():
        return {name: _read_detail(tables, name) for name in tables.names()}


def _read_detail(tables: Tables, name: str) -> TableDetail:
    spec, files, history = tables.describe(name), tables.current_files(name), tables.history(name)
    now = next((snapshot for snapshot in history if snapshot.current), None)
    return TableDetail(
        summary=TableSummary(
            name=name,
            description=spec.description,
            rows=now.rows if now else 0,
            files=len(files),
            size_bytes=sum(file.size_bytes for file in files),
            published_at=now.committed_at if now else None,
        ),
        columns=[ColumnDetail(column.name, column.type, column.description) for column in spec.columns],
        partition=list(spec.partition),
        sort=list(spec.sort),
        snapshots=[
            SnapshotDetail(
                snapshot=str(snapshot.snapshot_id),
                committed_at=snapshot.committed_at,
                operation=snapshot.operation,
                rows=snapshot.rows,
                files=snapshot.files,
                run=snapshot.properties.get("brewhouse.run", ""),
                raw_snapshot=snapshot.properties.get("brewhouse.raw-snapshot", ""),
                current=snapshot.current,
            )
            for snapshot in reversed(history)
        ],
    )
