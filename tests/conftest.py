"""What several tests begin with: an engine, raw pages, small tables."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from brewhouse.engines.duckdb import DuckDBEngine
from brewhouse.engines.spark import SparkEngine
from brewhouse.engines.spark_session import open_session
from brewhouse.jobs.inputs import attach_nothing_previous, attach_places
from brewhouse.models.model import models_of, parse

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Transform = Callable[..., DuckDBEngine]
Given = Callable[[str, Mapping[str, str], Sequence[Sequence[Any]]], DuckDBEngine]


@pytest.fixture(scope="module")
def engine() -> Iterator[DuckDBEngine]:
    engine = DuckDBEngine(512)
    yield engine
    engine.close()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep what needs Spark in one process, which starts it once."""
    for item in items:
        if "spark_session" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("spark"))
            # PySpark leaves the socket by which an answer came to the garbage collector.
            item.add_marker(pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"))


@pytest.fixture(scope="session")
def spark_session() -> Iterator[SparkSession]:
    """Spark on this machine."""
    pytest.importorskip("pyspark", reason="needs PySpark, as `pip install 'brewhouse[spark]'` brings it")
    if shutil.which("java") is None:
        pytest.skip("needs Java 17")
    with pytest.MonkeyPatch.context() as patch:
        # Small data: start soon rather than run fast.
        patch.setenv("JDK_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")
        session = open_session("local[2]", 1024)
    yield session
    session.stop()


@pytest.fixture(scope="session")
def spark(spark_session: SparkSession) -> Iterator[SparkEngine]:
    engine = SparkEngine(spark_session)
    yield engine
    engine.close()


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
