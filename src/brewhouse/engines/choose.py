"""The engine that the settings select; the other one is not imported."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from brewhouse.engines.engine import Engine
from brewhouse.settings import Settings


@contextmanager
def open_engine(settings: Settings) -> Iterator[Engine]:
    """Open the engine and close it on exit.

    Raises:
        BrewhouseError: PySpark, Java or S3A is missing, or Spark cannot be started.
    """
    engine: Engine
    if settings.engine == "spark":
        from brewhouse.engines.spark import SparkEngine
        from brewhouse.engines.spark_session import open_session

        session = open_session(settings.spark_master, settings.memory_limit_mb, s3a=settings.spark_s3a)
        engine = SparkEngine(session, settings.target_file_mb, s3a=settings.spark_s3a)
    else:
        from brewhouse.engines.duckdb import DuckDBEngine

        engine = DuckDBEngine(settings.memory_limit_mb)
    with closing(engine):
        yield engine
