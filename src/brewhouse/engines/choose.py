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
        settings: Which engine, its memory, where Spark runs, and by what it reads S3.

    Raises:
        UsageError: PySpark, Java or S3A is missing.
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

        session = open_session(settings.spark_master, settings.memory_limit_mb, s3a=settings.spark_s3a)
        return SparkEngine(session, settings.target_file_mb, s3a=settings.spark_s3a)
    from brewhouse.engines.duckdb import DuckDBEngine

    return DuckDBEngine(settings.memory_limit_mb)
