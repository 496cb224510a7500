"""What the jobs ask of an engine; nothing else in the code knows which one runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from brewhouse.errors import BrewhouseError
from brewhouse.iceberg.table_spec import Column, TableSpec
from brewhouse.models.model import Model

Row = dict[str, Any]


class EngineError(BrewhouseError):
    """SQL that the engine cannot run."""


class Engine(Protocol):
    """Makes raw snapshots and tables readable to SQL, runs models into Parquet files, answers small questions."""

    def attach_raw_snapshot(self, files: Sequence[str], run: str, fetched_at: str) -> None:
        """Make a raw snapshot readable as `bronze.breweries`, and its facts as `bronze.snapshot`.

        Args:
            files: Absolute paths of its pages.
            run: Its run id.
            fetched_at: When it was complete, ISO 8601 with offset.
        """

    def attach_table(self, spec: TableSpec, files: Sequence[str]) -> None:
        """Make Parquet files readable as the table they belong to.

        Args:
            spec: The table; its columns are what is read.
            files: Absolute paths; none gives an empty table.
        """

    def attach_rows(self, name: str, columns: Mapping[str, str], rows: Sequence[Sequence[Any]]) -> None:
        """Make a few rows of reference data readable as a table.

        Args:
            name: Schema and table, as `reference.places`.
            columns: Iceberg type of each column, by name, in order.
            rows: Their values.
        """

    def compute(self, model: Model) -> tuple[Column, ...]:
        """Run a model's SQL and keep its rows under the model's name, for the models that read it.

        Returns:
            Its columns, in order: names in small letters, Iceberg types (the engine's own word in capitals for a type
            that a table cannot hold), no descriptions.

        Raises:
            EngineError: The engine cannot run it.
        """

    def write(self, spec: TableSpec, field_ids: Mapping[str, int], folder: Path) -> tuple[str, ...]:
        """Write a computed model into Parquet files, one a partition, and read it from these from now on.

        Args:
            spec: The table they are for: column types, partition and sort order.
            field_ids: The Iceberg field id of each column.
            folder: Where the files go.

        Returns:
            Their absolute paths.
        """

    def rows(self, sql: str) -> list[Row]:
        """Answer a small question in Spark SQL.

        Raises:
            EngineError: The engine cannot run it.
        """

    def close(self) -> None:
        """Let go of memory and files."""
