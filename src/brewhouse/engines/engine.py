"""The interface of the engines; no other code depends on which one runs."""

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
    """Exposes raw snapshots and tables to SQL, runs models into Parquet files, answers small queries.

    Attributes:
        verifies_pages: Whether a query fails if a page that it reads differs from the checksum in its name.
    """

    verifies_pages: bool

    def attach_raw_snapshot(self, files: Sequence[str], run: str, fetched_at: str) -> None:
        """Expose the records of a raw snapshot as `bronze.breweries` and its metadata as `bronze.snapshot`.

        The files are the absolute paths of its pages, and `fetched_at` is ISO 8601 with offset.
        """

    def attach_table(self, spec: TableSpec, files: Sequence[str]) -> None:
        """Expose Parquet files, by absolute paths, as a table with the columns of its spec, empty without files."""

    def attach_rows(self, name: str, columns: Mapping[str, str], rows: Sequence[Sequence[Any]]) -> None:
        """Expose a few rows as a table, as `reference.places`; the columns map names to Iceberg types."""

    def compute(self, model: Model) -> tuple[Column, ...]:
        """Run a model's SQL, expose the rows under the model's name, and return its columns, in lower case.

        A column has an Iceberg type, or the engine's if tables cannot store it, and no description.

        Raises:
            EngineError: The engine cannot run the SQL.
        """

    def write(self, spec: TableSpec, field_ids: Mapping[str, int], folder: Path) -> tuple[str, ...]:
        """Write a computed model to Parquet files in an existing folder, and read it from them afterwards.

        The files have Iceberg's field ids and rows of one partition each; returns their absolute paths.
        """

    def rows(self, sql: str) -> list[Row]:
        """Run a small query in Spark SQL.

        Raises:
            EngineError: The engine cannot run it.
        """

    def close(self) -> None:
        """Release memory and temporary files."""
