"""What several tests begin with: an engine, raw pages, small tables."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from brewhouse.engines.duckdb import DuckDBEngine
from brewhouse.engines.spark import SparkEngine
from brewhouse.engines.spark_session import open_session
from brewhouse.jobs.inputs import attach_nothing_previous, attach_places
from brewhouse.models.model import models_of, parse

Transform = Callable[..., DuckDBEngine]
Given = Callable[[str, Mapping[str, str], Sequence[Sequence[Any]]], DuckDBEngine]


@pytest.fixture(scope="module")
def engine() -> Iterator[DuckDBEngine]:
    engine = DuckDBEngine(512)
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkEngine]:
    """The distributed engine on this machine; its tests are of one group, so that one process starts it."""
    pytest.importorskip("pyspark", reason="needs PySpark, as `pip install 'brewhouse[spark]'` brings it")
    if shutil.which("java") is None:
        pytest.skip("needs Java 17")
    session = open_session("local[2]", 1024)
    engine = SparkEngine(session)
    yield engine
    engine.close()
    session.stop()


@pytest.fixture(scope="module")
def transform(engine: DuckDBEngine, tmp_path_factory: pytest.TempPathFactory) -> Transform:
    """Write each argument, a list of records (objects, or lines as sent), as a page, and run the silver models."""
    folder: Path = tmp_path_factory.mktemp("pages")

    def run(*pages: Sequence[Mapping[str, Any] | str]) -> DuckDBEngine:
        files = []
        for number, records in enumerate(pages, start=1):
            file = folder / f"page-{number:05}.abcdef123456.jsonl.gz"
            lines = [record if isinstance(record, str) else json.dumps(record) for record in records]
            file.write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode(), 1))
            files.append(str(file))
        engine.attach_raw_snapshot(files, "RUN1", "2026-08-02T12:00:00+00:00")
        silver = models_of("silver")
        for model in models_of("staging"):
            engine.compute(model)
        attach_places(engine)
        attach_nothing_previous(engine, next(model for model in silver if model.name == "silver.breweries"))
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
