"""Published tables with their columns, snapshots and sample rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from brewhouse.console.lake_reader import LakeState
from brewhouse.iceberg.table_spec import Column
from brewhouse.ids import day_of
from brewhouse.lake.duckdb_access import identifier
from brewhouse.lake.lake import Lake
from brewhouse.models.lineage import Node

if TYPE_CHECKING:
    from brewhouse.iceberg.tables import Tables

SAMPLE_ROWS = 20
_TOP_VALUES = 3
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


@dataclass(frozen=True)
class ColumnProfile:
    """What a column contains; `top` has its most frequent values, approximately."""

    name: str
    nulls: int
    distinct: int
    least: str | None
    greatest: str | None
    top: list[str]


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


def table_sample(state: LakeState, name: str) -> TableSample | None:
    """Read the first rows of a table; None if it does not exist in this state."""
    if name not in state.tables:
        return None
    result = state.cursor().execute(f"SELECT * FROM {identifier(name)} LIMIT {SAMPLE_ROWS}")
    return TableSample([column[0] for column in result.description or []], [list(row) for row in result.fetchall()])


def profile(state: LakeState, table: TableDetail) -> list[ColumnProfile]:
    """Profile the columns of a table, once for each state."""
    name, columns = table.summary.name, [column.name for column in table.columns]
    if name not in state.tables:
        return []

    def read() -> list[ColumnProfile]:
        column = "count(*) - count({0}), count(DISTINCT {0}), CAST(min({0}) AS VARCHAR), CAST(max({0}) AS VARCHAR), "
        column += f"approx_top_k(CAST({{0}} AS VARCHAR), {_TOP_VALUES})"
        facts = ", ".join(column.format(identifier(each)) for each in columns)
        [row] = state.cursor().execute(f"SELECT {facts} FROM {identifier(name)}").fetchall()
        found = []
        for number, each in enumerate(columns):
            nulls, distinct, least, greatest, top = row[number * 5 : number * 5 + 5]
            found.append(ColumnProfile(each, nulls, distinct, least, greatest, [str(value) for value in top or []]))
        return found

    return state.cached(("profile", name), read)


def neighbors(nodes: list[Node], name: str) -> tuple[list[str], list[str]]:
    """Name the tables that a table reads, and those that read it."""
    reads = next((list(node.reads) for node in nodes if node.name == name), [])
    return reads, [node.name for node in nodes if name in node.reads]


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
