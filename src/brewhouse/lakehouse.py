"""Brewhouse as a library: `brewhouse.Lake`, over the same jobs, tables and queries as the command line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from brewhouse.errors import UsageError, install_command
from brewhouse.lake.lake import lake_of
from brewhouse.settings import Settings, load

if TYPE_CHECKING:
    from datetime import date

    import duckdb
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from brewhouse.events.event import Listener
    from brewhouse.events.run_reports import RunReport

Read = TypeVar("Read")
_SHOWN_ROWS = 50


class Rows(list[dict[str, Any]]):
    """Rows by column name; a notebook shows them as a table."""

    def df(self) -> pd.DataFrame:
        """Return the rows as a pandas DataFrame."""
        _require("pandas")
        import pandas as pd

        return pd.DataFrame(self)

    def _repr_html_(self) -> str:
        shown = [list(row.values()) for row in self[:_SHOWN_ROWS]]
        return _html(list(self[0]) if self else [], shown, len(self) - len(shown))


class Result:
    """The result of a query, computed whenever it is read; a notebook shows its first rows as a table."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, sql: str, parameters: Mapping[str, object]) -> None:
        self._connection, self._sql, self._parameters = connection, sql, parameters
        self.columns: list[str] = self.read(lambda relation: relation.columns)

    def read(self, read: Callable[[duckdb.DuckDBPyRelation], Read]) -> Read:
        """Read the result with a function of DuckDB's relation.

        Raises:
            UsageError: The query cannot be run.
        """
        from brewhouse.query.connection import query

        result: Read = query(self._connection, self._sql, read, self._parameters)
        return result

    def df(self) -> pd.DataFrame:
        """Return the result as a pandas DataFrame."""
        _require("pandas")
        return self.read(lambda relation: relation.df())

    def arrow(self) -> pa.Table:
        """Return the result as a PyArrow table."""
        _require("pyarrow")
        table: pa.Table = self.read(lambda relation: relation.to_arrow_table())
        return table

    def pl(self) -> pl.DataFrame:
        """Return the result as a Polars DataFrame."""
        _require("polars", "pyarrow")
        frame: pl.DataFrame = self.read(lambda relation: relation.pl())
        return frame

    def fetchall(self) -> list[tuple[Any, ...]]:
        """Return all rows as tuples."""
        return self.read(lambda relation: relation.fetchall())

    def rows(self) -> Rows:
        """Return all rows as dictionaries."""
        return Rows(dict(zip(self.columns, row, strict=True)) for row in self.fetchall())

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return iter(self.fetchall())

    def __repr__(self) -> str:
        return self.read(str)

    def _repr_html_(self) -> str:
        rows = self.read(lambda relation: relation.limit(_SHOWN_ROWS).fetchall())
        more = self.read(lambda relation: relation.aggregate("count(*)").fetchall())[0][0] - len(rows)
        return _html(self.columns, rows, more)


class Lakehouse:
    """A lake with its jobs, tables and queries; `brewhouse.Lake` is its public name.

    Settings that are not given are those of the environment and of `brewhouse.toml`, as for the command line.

    Args:
        place: Root of the lake: a folder, or `s3://bucket/prefix`.
        settings: Settings by name, such as `source_url` or `models`; docs/settings.md lists them.

    Raises:
        UsageError: A setting is unknown or invalid.

    Example:
        >>> Lakehouse("/data/lake", engine="duckdb")
        Lake('/data/lake')
    """

    def __init__(self, place: str | Path | None = None, **settings: Any) -> None:  # noqa: ANN401 - of many types
        self.settings: Settings = load({"lake": None if place is None else str(place), **settings})
        self._lake = lake_of(self.settings)

    @classmethod
    def of(cls, settings: Settings) -> Lakehouse:
        """Open the lake that settings name."""
        made = cls.__new__(cls)
        made.settings, made._lake = settings, lake_of(settings)
        return made

    def __repr__(self) -> str:
        return f"Lake({str(self._lake.root)!r})"

    def run(self, snapshot: str | None = None, listeners: Sequence[Listener] = ()) -> RunReport:
        """Run extract, transform and aggregate; or publish the raw snapshot of a run again.

        Raises:
            BrewhouseError: A job failed, or another run holds the lake.
            ChecksFailed: A check failed; nothing was published.
        """
        return self._run(("extract", "transform", "aggregate")[snapshot is not None :], snapshot, listeners)

    def extract(self, listeners: Sequence[Listener] = ()) -> RunReport:
        """Fetch every brewery into a raw snapshot; raises as `run` does."""
        return self._run(("extract",), None, listeners)

    def transform(self, snapshot: str | None = None, listeners: Sequence[Listener] = ()) -> RunReport:
        """Build the silver tables from the newest raw snapshot, or that of a run; raises as `run` does."""
        return self._run(("transform",), snapshot, listeners)

    def aggregate(self, listeners: Sequence[Listener] = ()) -> RunReport:
        """Build the gold tables; raises as `run` does."""
        return self._run(("aggregate",), None, listeners)

    def rollback(self, target: str, snapshot: int | None = None, listeners: Sequence[Listener] = ()) -> RunReport:
        """Roll back all tables to the state as of a run, or one table to one of its snapshots.

        Raises:
            BrewhouseError: There is no such run, table or snapshot.
        """
        from brewhouse.pipeline.rollback import run_rollback

        return self._report(run_rollback, target, snapshot, listeners=listeners)

    def query(
        self,
        sql: str,
        parameters: Mapping[str, object] = MappingProxyType({}),
        *,
        at: str | None = None,
        output: Path | None = None,
    ) -> Result:
        """Query the published tables with a SELECT; nothing outside of the lake is read.

        Args:
            parameters: Values of `$name` in the SQL.
            at: A date, a time, a table snapshot id or a run id to read as of; None is the current state.
            output: Folder that the reader of the result may write to.

        Raises:
            UsageError: The query cannot be run.
            BrewhouseError: Nothing is published.
        """
        from brewhouse.query.connection import connect

        return Result(connect(self._lake, at, output), sql, parameters)

    @property
    def tables(self) -> Rows:
        """The published tables: name, number of rows, time of publication, description.

        Raises:
            BrewhouseError: Nothing is published.
        """
        from brewhouse.query.connection import nothing_published, published_tables

        published = published_tables(self._lake)
        rows = Rows()
        for name in published.names():
            current, description = published.current(name), published.describe(name).description
            published_at = current.committed_at.isoformat(timespec="milliseconds") if current else None
            count = current.rows if current else 0
            rows.append({"table": name, "rows": count, "published": published_at, "description": description})
        if not rows:
            raise nothing_published(self._lake)
        return rows

    def history(self, table: str) -> Rows:
        """List the snapshots of a table, oldest first.

        Raises:
            BrewhouseError: There is no such table.
        """
        from brewhouse.query.connection import published_tables

        return Rows(
            {
                "snapshot": snapshot.snapshot_id,
                "committed": snapshot.committed_at.isoformat(timespec="milliseconds"),
                "run": snapshot.run or None,
                "raw_snapshot": snapshot.raw_snapshot or None,
                "rows": snapshot.rows,
                "current": snapshot.current,
                "rolled_back": snapshot.rolled_back and not snapshot.branch,
                "branch": snapshot.branch or None,
            }
            for snapshot in published_tables(self._lake).history(table)
        )

    def changes(
        self, since: date | None = None, country: str | None = None, kinds: Sequence[str] | None = None
    ) -> Rows:
        """List the changes of breweries between consecutive snapshots, newest first.

        Args:
            since: First snapshot date.
            country: ISO 3166 code, such as `BE`.
            kinds: Of added, changed, removed, closed and reopened.

        Raises:
            BrewhouseError: Nothing is published.
        """
        conditions = {
            "since": ("snapshot_time >= CAST($since AS DATE)", since),
            "country": ("country_code = $country", country),
            "kinds": ("list_contains($kinds, kind)", list(map(str, kinds)) if kinds else None),
        }
        values = {name: value for name, (_, value) in conditions.items() if value is not None}
        where = " AND ".join(["true", *(conditions[name][0] for name in values)])
        return self.query(
            f"SELECT * FROM silver.brewery_changes WHERE {where} ORDER BY snapshot_run DESC, kind, id", values
        ).rows()

    def _run(self, jobs: Sequence[str], snapshot: str | None, listeners: Sequence[Listener]) -> RunReport:
        from brewhouse.pipeline.workflow import run_workflow

        return self._report(run_workflow, jobs, snapshot, listeners=listeners)

    def _report(self, run: Callable[..., str], *arguments: object, listeners: Sequence[Listener]) -> RunReport:
        from brewhouse.events.run_reports import RunRecorder

        recorder = RunRecorder()
        run(self._lake, self.settings, *arguments, listeners=(*listeners, recorder.listen))
        return recorder.report


def _require(*modules: str) -> None:
    """Raise a usage error that names how to install what a result is converted with."""
    for module in modules:
        try:
            import_module(module)
        except ImportError as error:
            hint = f"Run `{install_command('dataframes')}`."
            raise UsageError(f"The result needs {module}, which is not installed.", hint=hint) from error


def _html(names: Sequence[str], rows: Sequence[Sequence[object]], more: int) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    cells = (["" if value is None else escape(str(value)) for value in row] for row in rows)
    body = "".join(f"<tr><td>{'</td><td>'.join(row)}</td></tr>" for row in cells)
    tail = f"<p>… {more:,} more</p>" if more else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{tail}"
