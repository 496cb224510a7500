"""The embedded engine: DuckDB, in process."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb

from brewhouse.engines.dialect import duckdb_macros, to_duckdb
from brewhouse.engines.engine import EngineError, Row
from brewhouse.iceberg.table_spec import DUCKDB_TYPES, Column, TableSpec
from brewhouse.lake.duckdb_access import enable_s3, identifier, literal
from brewhouse.lake.error_translation import translate_error
from brewhouse.lake.lake import add_checksum
from brewhouse.lake.s3_path import S3Path
from brewhouse.lake.temp_dir import TempDir
from brewhouse.models.model import Model
from brewhouse.query.views import raw_records_sql, table_sql

_CONCURRENT_FILES = 2
_PYTHON_MB = 500  # libraries, metadata, and DuckDB's memory beyond its limit
_SCHEMAS = ("bronze", "staging", "silver", "gold", "reference", "previous", "published", "computed")
_ICEBERG_TYPES = {
    **dict.fromkeys(("VARCHAR", "UUID", "ENUM"), "string"),
    **dict.fromkeys(("FLOAT", "DOUBLE", "DECIMAL"), "double"),
    **dict.fromkeys(("TINYINT", "SMALLINT", "INTEGER", "UTINYINT", "USMALLINT"), "int"),
    **dict.fromkeys(("BIGINT", "HUGEINT", "UINTEGER", "UBIGINT", "UHUGEINT"), "long"),  # a sum is a HUGEINT
    "BOOLEAN": "boolean",
    "DATE": "date",
    "TIMESTAMP WITH TIME ZONE": "timestamptz",
}


class DuckDBEngine:
    """The engine on one machine.

    Args:
        memory_limit_mb: Memory of this process; DuckDB uses what Python does not need and spills to a temporary folder.
    """

    verifies_pages = False

    def __init__(self, memory_limit_mb: int = 2048) -> None:
        self._spill = TempDir()
        self._orders: dict[str, tuple[str, ...]] = {}
        self._connection = duckdb.connect(
            config={
                "memory_limit": f"{max(memory_limit_mb - _PYTHON_MB, memory_limit_mb // 2)}MB",
                "temp_directory": str(self._spill.path),
            }
        )
        self._run("SET GLOBAL TimeZone = 'UTC'")  # otherwise dates of times depend on the machine
        for schema in _SCHEMAS:
            self._run(f"CREATE SCHEMA {schema}")
        self._run(duckdb_macros())

    def attach_raw_snapshot(self, files: Sequence[str], run: str, fetched_at: str) -> None:
        """See `Engine.attach_raw_snapshot`."""
        enable_s3(self._connection, files, prefetch=True)
        self._run(f"CREATE OR REPLACE VIEW bronze.breweries AS {raw_records_sql(files)}")
        metadata = {"run": "string", "taken_at": "timestamptz"}
        self.attach_rows("bronze.snapshot", metadata, [(run, datetime.fromisoformat(fetched_at))])

    def attach_table(self, spec: TableSpec, files: Sequence[str]) -> None:
        """See `Engine.attach_table`."""
        enable_s3(self._connection, files, prefetch=True)
        self._run(f"DROP TABLE IF EXISTS {_computed(spec.name)}")
        self._run(f"CREATE OR REPLACE VIEW {identifier(spec.name)} AS {table_sql(spec, files)}")

    def attach_rows(self, name: str, columns: Mapping[str, str], rows: Sequence[Sequence[Any]]) -> None:
        """See `Engine.attach_rows`."""
        values = [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in columns]
        select = ", ".join(f"unnest(?::{DUCKDB_TYPES[kind]}[]) AS {identifier(c)}" for c, kind in columns.items())
        self._store(name, f"SELECT {select}", values)

    def compute(self, model: Model) -> tuple[Column, ...]:
        """See `Engine.compute`."""
        # Preserving the order doubles time and memory of a million records, since each raw page is buffered.
        self._run(f"SET GLOBAL preserve_insertion_order = {not model.ephemeral}")
        try:
            with _translated(f"{model.file}: {model.name} cannot be computed"):
                if model.ephemeral == "view" or (model.incremental_by and not model.partition):  # it is written once
                    self._run(f"CREATE OR REPLACE VIEW {identifier(model.name)} AS {to_duckdb(model.sql)}")
                else:
                    self._store_in_order(model)
        finally:
            self._run("RESET GLOBAL preserve_insertion_order")
        described = self._run(f"DESCRIBE {identifier(model.name)}").fetchall()
        return tuple(
            Column(name.lower(), _ICEBERG_TYPES.get(kind.partition("(")[0], kind), "") for name, kind, *_ in described
        )

    def write(self, spec: TableSpec, field_ids: Mapping[str, int], folder: Path) -> tuple[str, ...]:
        """See `Engine.write`."""
        enable_s3(self._connection, [str(folder)])
        columns = ", ".join(
            f"CAST({identifier(column.name)} AS {DUCKDB_TYPES[column.type]}) AS {identifier(column.name)}"
            for column in spec.columns
        )
        ids = ", ".join(f"{identifier(column.name)}: {field_ids[column.name]}" for column in spec.columns)
        is_ordered = self._orders.get(spec.name) == (*spec.partition, *spec.sort)
        order = "" if is_ordered else _order_by(spec.sort)

        def copy(condition: str) -> str:
            file = folder / f"{uuid.uuid4()}.parquet"
            select = f"SELECT {columns} FROM {identifier(spec.name)} WHERE {condition}{order}"
            with self._connection.cursor() as cursor, _translated(f"{spec.name} cannot be computed"):
                (rows,) = cursor.execute(
                    f"COPY ({select}) TO {literal(str(file))} "
                    f"(FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1, FIELD_IDS {{{ids}}})"
                ).fetchall()[0]
            if not rows:
                file.unlink()
                return ""
            return str(file if isinstance(folder, S3Path) else add_checksum(file))

        with ThreadPoolExecutor(_CONCURRENT_FILES) as threads:  # a COPY of a small partition uses one core
            files = tuple(filter(None, threads.map(copy, self._partitions(spec))))
        self.attach_table(spec, files)
        return files

    def rows(self, sql: str) -> list[Row]:
        """See `Engine.rows`."""
        with _translated("The query cannot be run"):
            result = self._run(to_duckdb(sql))
            names = [column[0] for column in result.description or ()]
            return [dict(zip(names, row, strict=True)) for row in result.fetchall()]

    def close(self) -> None:
        """See `Engine.close`."""
        self._connection.close()
        self._spill.delete()

    def _store_in_order(self, model: Model) -> None:
        """Compute a sorted model with the rows of each partition together, since a COPY of one skips all others then.

        Without a sort column, the order of its SELECT holds.
        """
        select, order = to_duckdb(model.sql), (*model.partition, *model.sort) if model.sort else ()
        try:
            self._store(model.name, f"FROM ({select}){_order_by(order)}" if order else select, order=order)
        except duckdb.BinderException:  # a column of the order is missing, which the model's specification reports
            self._store(model.name, select)

    def _store(self, name: str, select: str, values: Sequence[Any] = (), *, order: tuple[str, ...] = ()) -> None:
        """Compute a SELECT once and expose its rows, which have an order, by a name."""
        self._run(f"CREATE OR REPLACE TABLE {_computed(name)} AS {select}", values)
        self._orders[name] = order
        self._run(f"CREATE OR REPLACE VIEW {identifier(name)} AS SELECT * FROM {_computed(name)}")

    def _partitions(self, spec: TableSpec) -> list[str]:
        """List the condition of each partition, largest first so that the longest COPY does not start last."""
        if not spec.partition:
            return ["true"]
        names = ", ".join(map(identifier, spec.partition))
        source = f"SELECT {names} FROM {identifier(spec.name)} GROUP BY {names} ORDER BY count(*) DESC, {names}"
        return [
            " AND ".join(
                f"{identifier(name)} IS NOT DISTINCT FROM {'NULL' if value is None else literal(str(value))}"
                for name, value in zip(spec.partition, row, strict=True)
            )
            for row in self._run(source).fetchall()
        ]

    def _run(self, sql: str, values: Sequence[Any] = ()) -> Any:  # noqa: ANN401 - DuckDB's own result
        return self._connection.execute(sql, values)


@contextmanager
def _translated(what: str) -> Iterator[None]:
    try:
        yield
    except duckdb.Error as error:
        raise translate_error(error) or EngineError(f"{what}: {error}") from error


def _order_by(columns: Sequence[str]) -> str:
    return f" ORDER BY {', '.join(f'{identifier(name)} NULLS FIRST' for name in columns)}" if columns else ""


def _computed(name: str) -> str:
    return f"computed.{identifier(name.replace('.', '__'))}"
