"""Where Spark runs: the session that is there already, or a new one on this machine or a cluster."""

from __future__ import annotations

import logging
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from brewhouse.engines import spark_s3a
from brewhouse.errors import BrewhouseError, UsageError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_LOOPBACK = "127.0.0.1"
_TASKS_PER_CORE = 2


def open_session(master: str, memory_limit_mb: int, *, s3a: bool = False) -> SparkSession:
    """Give the session that is active, or start one.

    Args:
        master: Spark's name of a cluster, as `local[*]` or `spark://host:7077`. Under `spark-submit`, as on AWS Glue,
            what that was told goes before this.
        memory_limit_mb: Megabytes of the Java machine that a new session starts on this machine.
        s3a: Whether it must have S3A; a new session gets it from Maven Central.

    Raises:
        UsageError: PySpark or Java is missing, or the session that is there has no S3A.
        BrewhouseError: Spark does not start, as when Maven Central is not reached.
    """
    try:
        from pyspark import SparkContext
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise UsageError(
            "The engine spark needs PySpark, which is not installed.",
            hint="Install it with `pip install 'brewhouse[spark]'`, or use --engine duckdb.",
        ) from error
    session = SparkSession.getActiveSession()
    if session is None and (SparkContext._active_spark_context is not None or "PYSPARK_GATEWAY_PORT" in os.environ):
        session = SparkSession.builder.getOrCreate()
    if session is None:
        session = _start(master, _settings(master, memory_limit_mb) | (spark_s3a.settings(_jars()) if s3a else {}))
    if s3a:
        spark_s3a.raise_on_failure(session)
    return session


def _start(master: str, settings: Mapping[str, str]) -> SparkSession:
    from pyspark import SparkConf
    from pyspark.errors import PySparkRuntimeError
    from pyspark.sql import SparkSession

    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        raise UsageError(
            "The engine spark needs Java, which is not installed.",
            hint="Install Java 17, as `apt-get install openjdk-17-jre-headless`, or use --engine duckdb.",
        )
    logging.getLogger("SQLQueryContextLogger").setLevel(logging.CRITICAL)  # what it tells is raised as well
    conf = SparkConf().setMaster(master).setAppName("brewhouse")
    for name, value in settings.items():
        conf.set(name, value)
    try:
        return SparkSession.builder.config(conf=conf).getOrCreate()
    except PySparkRuntimeError as error:
        hint = "PySpark 4 needs Java 17 or later; see `java -version`."
        if packages := settings.get("spark.jars.packages"):
            hint = (
                f"spark_s3a has Spark fetch {packages} from Maven Central: is that reached from here? If not, put them "
                f"and what they need into {_jars()}, or leave spark_s3a out: the workers' Python reads then. {hint}"
            )
        raise BrewhouseError(f"Spark does not start: {error}.", hint=hint) from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] != "py4j":
            raise
        raise BrewhouseError(f"Spark does not start at {master}: {error}.", hint="Is that cluster there?") from error


def _jars() -> Path:
    """Tell where Spark's own libraries are."""
    from pyspark import find_spark_home

    return Path(find_spark_home._find_spark_home()) / "jars"  # type: ignore[no-untyped-call]  # it has no other name


def _settings(master: str, memory_limit_mb: int) -> dict[str, str]:
    """Say how a session of our own is started, above what `spark-defaults.conf` says."""
    log4j = Path(__file__).with_name("log4j2.properties").as_uri()
    settings = {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.memory": f"{memory_limit_mb}m",
        "spark.driver.extraJavaOptions": f"-Dlog4j2.configurationFile={log4j}",
    }
    if master.startswith("local"):
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        settings |= {
            "spark.driver.host": _LOOPBACK,
            "spark.driver.bindAddress": _LOOPBACK,
            "spark.sql.shuffle.partitions": str(_TASKS_PER_CORE * (os.cpu_count() or 1)),
        }
    return settings
