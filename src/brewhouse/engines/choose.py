"""Which engine runs the models: the one the settings ask for. Nothing of the other one is imported."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from brewhouse.engines.engine import Engine
from brewhouse.settings import Settings


@contextmanager
def open_engine(settings: Settings) -> Iterator[Engine]:
    """Open the engine, and let go of it afterwards.

    Args:
        settings: Which engine, its memory, and where Spark runs.

    Raises:
        UsageError: PySpark or Java is missing.
    """
    engine = _engine(settings)
    try:
        yield engine
    finally:
        engine.close()


def _engine(settings: Settings) -> Engine:
    if settings.engine == "spark":
        from brewhouse.engines.spark import SparkEngine
        from brewhouse.engines.spark_session import open_session

        return SparkEngine(open_session(settings.spark_master, settings.memory_limit_mb), settings.target_file_mb)
    from brewhouse.engines.duckdb import DuckDBEngine

    return DuckDBEngine(settings.memory_limit_mb)
