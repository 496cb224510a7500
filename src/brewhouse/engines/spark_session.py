"""The Spark session: the active one, or a new one on this machine or a cluster."""

from __future__ import annotations

import logging
import os
import re
import shutil
import signal
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from brewhouse.engines import spark_s3a
from brewhouse.errors import BrewhouseError, UsageError, install_command

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_JAVA_OPTIONS = ("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "SPARK_SUBMIT_OPTS")


def open_session(master: str, memory_limit_mb: int, *, s3a: bool = False) -> SparkSession:
    """Return the active session, or start one.

    Args:
        master: Spark master URL, as `local[*]` or `spark://host:7077`; `spark-submit` and AWS Glue override it.
        memory_limit_mb: Heap of the JVM that a new session starts on this machine.
        s3a: Whether the session must have S3A; a new one fetches it from Maven Central.

    Raises:
        UsageError: PySpark or Java is missing, or the active session lacks S3A.
        BrewhouseError: Spark cannot be started, for example because Maven Central is unreachable.
    """
    try:
        from pyspark import SparkContext
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise UsageError(
            "The engine spark needs PySpark, which is not installed.",
            hint=f"Run `{install_command('spark')}`, or use --engine duckdb.",
        ) from error
    session = SparkSession.getActiveSession()
    if session is None and (SparkContext._active_spark_context is not None or "PYSPARK_GATEWAY_PORT" in os.environ):
        session = SparkSession.builder.getOrCreate()
    if session is None:
        session = _start(master, _settings(master, memory_limit_mb) | (spark_s3a.settings(_jars()) if s3a else {}))
    if s3a:
        spark_s3a.require(session)
    return session


def _start(master: str, settings: Mapping[str, str]) -> SparkSession:
    from py4j.protocol import Py4JError  # type: ignore[import-untyped]
    from pyspark import SparkConf, SparkContext
    from pyspark.errors import PySparkRuntimeError
    from pyspark.sql import SparkSession

    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        raise UsageError(
            "The engine spark needs Java, which is not installed.",
            hint="Install Java 17, as `apt-get install openjdk-17-jre-headless`, or use --engine duckdb.",
        )
    logging.getLogger("SQLQueryContextLogger").setLevel(logging.CRITICAL)  # its errors are raised as well
    conf = SparkConf().setMaster(master).setAppName("brewhouse").setAll(list(settings.items()))
    on_interrupt = signal.getsignal(signal.SIGINT)
    try:
        # In a thread, so that a stop waits until Java has started: interrupted before, PySpark leaves it running.
        with ThreadPoolExecutor(1) as launcher:
            launcher.submit(SparkContext._ensure_initialized, conf=conf).result()
        SparkContext.getOrCreate(conf)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, on_interrupt)  # Spark's calls the JVM from within whatever it interrupts
        return SparkSession.builder.config(conf=conf).getOrCreate()
    except PySparkRuntimeError as error:
        hint = "PySpark 4 needs Java 17 or later; see `java -version`."
        if packages := settings.get("spark.jars.packages"):
            fetched = f"For a lake on S3, Spark fetches {packages} from Maven Central; if it is unreachable, put them"
            hint = f"{fetched} and what they need into {_jars()}. {hint}"
        raise BrewhouseError(f"Spark cannot be started: {error}.", hint=hint) from error
    except Py4JError as error:
        what = f"Spark cannot be started at {master}: {error}."
        raise BrewhouseError(what, hint="Check that the cluster is running.") from error


def _jars() -> Path:
    from pyspark import find_spark_home

    return Path(find_spark_home._find_spark_home()) / "jars"  # type: ignore[no-untyped-call]  # the public ones lack it


def _settings(master: str, memory_limit_mb: int) -> dict[str, str]:
    """Return the configuration of a new session; it takes precedence over `spark-defaults.conf`."""
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
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.sql.shuffle.partitions": str(2 * (os.cpu_count() or 1)),
        }
        if not _has_java_options():  # Java's own choice, G1, competes with the tasks: a sixth more CPU time
            settings["spark.driver.extraJavaOptions"] += " -XX:+UseParallelGC"
    return settings


def _has_java_options() -> bool:
    """Return whether options of Java may select a garbage collector; with two of them, Java does not start."""
    given = [os.environ.get(name, "") for name in (*_JAVA_OPTIONS, "PYSPARK_SUBMIT_ARGS")]
    folder = Path(os.environ.get("SPARK_CONF_DIR", _jars().with_name("conf")))
    given += [file.read_text("utf-8", "replace") for file in folder.glob("spark-*") if file.suffix != ".template"]
    return any(re.search(r"-XX:|@", options) for options in given)
