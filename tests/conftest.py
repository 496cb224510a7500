"""What several tests begin with: an engine, raw pages, small tables."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from brewhouse.engines.duckdb import DuckDBEngine
from brewhouse.jobs.inputs import attach_nothing_previous, attach_places
from brewhouse.models.model import parse
from brewhouse.models.project import models_of

Transform = Callable[..., DuckDBEngine]
Given = Callable[[str, Mapping[str, str], Sequence[Sequence[Any]]], DuckDBEngine]


@pytest.fixture(scope="module")
def engine() -> Iterator[DuckDBEngine]:
    engine = DuckDBEngine(512)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def transform(engine: DuckDBEngine, tmp_path_factory: pytest.TempPathFactory) -> Transform:
    """Write each argument, a list of records (objects, or lines as sent), as a page, and run the silver models.

    `before` are the records of the snapshot before, on one page.
    """
    folder: Path = tmp_path_factory.mktemp("pages")
    silver = models_of("silver")
    breweries = next(model for model in silver if model.name == "silver.breweries")

    def attach(pages: Sequence[Sequence[Mapping[str, Any] | str]], snapshot_run: str, taken_at: str) -> None:
        files = []
        for number, records in enumerate(pages, start=1):
            file = folder / f"page-{number:05}.abcdef123456.jsonl.gz"
            lines = [record if isinstance(record, str) else json.dumps(record) for record in records]
            file.write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode(), 1))
            files.append(str(file))
        engine.attach_raw_snapshot(files, snapshot_run, taken_at)
        for model in models_of("staging"):
            engine.compute(model)
        attach_places(engine)

    def run(
        *pages: Sequence[Mapping[str, Any] | str], before: Sequence[Mapping[str, Any] | str] | None = None
    ) -> DuckDBEngine:
        if before is not None:
            engine.attach_rows("previous.snapshot", {"run": "string"}, [("RUN0",)])
            attach([before], "RUN0", "2026-07-02T12:00:00+00:00")
            engine.compute(replace(breweries, name="previous.breweries"))
        attach(pages, "RUN1", "2026-08-02T12:00:00+00:00")
        if before is None:
            attach_nothing_previous(engine, breweries)
        for model in silver:
            engine.compute(model)
        return engine

    return run


@pytest.fixture(scope="module")
def given(engine: DuckDBEngine) -> Given:
    """Make a small table: its name, its columns with their SQL types, its rows."""

    def make(name: str, columns: Mapping[str, str], rows: Sequence[Sequence[Any]]) -> DuckDBEngine:
        def select(row: Sequence[Any], condition: str = "") -> str:
            values = ("NULL" if value is None else _quoted(str(value)) for value in row)
            cells = (f"CAST({v} AS {t}) AS {c}" for v, (c, t) in zip(values, columns.items(), strict=True))
            return f"SELECT {', '.join(cells)}{condition}"

        nothing = select([None] * len(columns), " WHERE false")
        engine.compute(parse(name, " UNION ALL ".join([*(select(row) for row in rows), nothing])))
        return engine

    return make


def _quoted(text: str) -> str:
    """Quote a text as Spark SQL does."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
