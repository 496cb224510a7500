"""The distributed engine: its files, sizes and session, and the exchange of files with the embedded engine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pyarrow import BufferReader, parquet
from tests.engines.pages import write_page

from brewhouse.engines.duckdb import DuckDBEngine
from brewhouse.engines.engine import EngineError
from brewhouse.engines.spark import SparkEngine
from brewhouse.engines.spark_session import _settings, open_session
from brewhouse.iceberg.table_spec import Column, TableSpec
from brewhouse.lake.lake import path_at
from brewhouse.models.model import parse

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

COLUMNS = (
    Column("country", "string", "c", 7),
    Column("city", "string", "c", 3),
    Column("n", "long", "n", 9),
    Column("size", "double", "s", 10),
    Column("day", "date", "d", 11),
    Column("at", "timestamptz", "a", 12),
    Column("new", "boolean", "n", 13),
    Column("small", "int", "s", 14),
)
IDS = {column.name: column.field_id or 0 for column in COLUMNS}
SPEC = TableSpec("silver.places", "Places.", COLUMNS, ("country",), ("city",))
CELLS = (
    "CAST('0.1' AS DOUBLE) AS size, CAST('2026-08-02' AS DATE) AS day, "
    "CAST('2026-08-02 23:30:00.123456+00' AS TIMESTAMP) AS at, true AS new, 1 AS small"
)
ROWS = [("B", "z", 1), (None, "q", 2), ("B", "a", 3), ("O'x/é=1", "m", 4), ("B", None, 5)]


def quoted(value: object) -> str:
    return "CAST(NULL AS STRING)" if value is None else '"' + str(value) + '"'


def computed(engine: SparkEngine | DuckDBEngine, rows: Sequence[tuple[object, ...]]) -> None:
    selects = [f"SELECT {quoted(a)} AS country, {quoted(b)} AS city, {n} AS n, {CELLS}" for a, b, n in rows]
    nothing = f"SELECT CAST(NULL AS STRING) AS country, CAST(NULL AS STRING) AS city, 0 AS n, {CELLS} WHERE false"
    engine.compute(parse(SPEC.name, " UNION ALL ".join([*selects, nothing])))


def test_files_are_like_those_of_the_embedded_engine(spark: SparkEngine, engine: DuckDBEngine, tmp_path: Path) -> None:
    schemas = []
    for each in (spark, engine):
        computed(each, ROWS[:1])
        (file,) = each.write(SPEC, IDS, tmp_path)
        footer = parquet.ParquetFile(file)
        schemas.append(
            [(f.name, str(f.type), (f.metadata or {}).get(b"PARQUET:field_id")) for f in footer.schema_arrow]
        )
        assert footer.metadata.row_group(0).column(0).compression == "ZSTD"
    assert schemas[0] == schemas[1]


def test_each_engine_reads_the_files_of_the_other_by_field_id(
    spark: SparkEngine, engine: DuckDBEngine, tmp_path: Path
) -> None:
    wanted = (
        Column("town", "string", "renamed", 3),
        Column("small", "long", "grown", 14),
        Column("lost", "string", "of a later time", 99),
        *(column for column in COLUMNS if column.name in ("n", "size", "day", "at", "new")),
    )
    row = {
        "town": "z", "small": 1, "lost": None, "n": 1, "size": 0.1, "day": date(2026, 8, 2),
        "at": datetime(2026, 8, 2, 23, 30, 0, 123456, UTC), "new": True,
    }  # fmt: skip
    for writer, reader in ((spark, engine), (engine, spark), (spark, spark)):
        computed(writer, ROWS[:1])
        files = writer.write(SPEC, IDS, tmp_path)
        reader.attach_table(TableSpec("silver.read", "", wanted), files)
        (read,) = reader.rows("SELECT * FROM silver.read ORDER BY town")
        assert read == {column.name: row[column.name] for column in wanted}


@pytest.mark.parametrize("parts", [8, 40])
@pytest.mark.parametrize("partition", [(), ("country",)])
def test_files_have_the_target_size_with_any_partitioning_of_the_input(
    spark_session: SparkSession, tmp_path: Path, parts: int, partition: tuple[str, ...]
) -> None:
    engine = SparkEngine(spark_session, target_file_mb=1)
    rows = "SELECT explode(sequence(1, 60000)) AS n"
    cells = "CASE WHEN n % 10 = 0 THEN 'B' ELSE 'C' END AS country, concat(sha2(CAST(n AS STRING), 256), n) AS city"
    engine.compute(parse(SPEC.name, f"SELECT /*+ REPARTITION({parts}) */ {cells}, n, {CELLS} FROM ({rows}) AS numbers"))
    files = engine.write(TableSpec(SPEC.name, "", COLUMNS, partition, ("city",)), IDS, tmp_path)
    sizes = sorted(Path(file).stat().st_size for file in files)
    assert sum(sizes) > 2_000_000
    assert sizes[-1] < 1_600_000
    assert sum(sizes) / len(sizes) > 400_000
    for file in files:
        table = parquet.ParquetFile(file).read(columns=["country", "city"])
        assert not partition or len(set(table["country"].to_pylist())) == 1
        cities = list(map(str, table["city"].to_pylist()))
        assert cities == sorted(cities)
    assert engine.rows("SELECT count(*) AS n, count(DISTINCT n) AS d FROM silver.places") == [{"n": 60000, "d": 60000}]
    engine.close()


def shuffled_bytes(session: SparkSession) -> int:
    """Return what all stages of the application wrote for shuffles."""
    store = session._jsc.sc().statusStore()
    jvm, gateway = session._jvm, session.sparkContext._gateway
    assert jvm is not None
    assert gateway is not None
    stages = store.stageList(None, False, False, gateway.new_array(jvm.double, 0), None)
    return sum(stages.apply(number).shuffleWriteBytes() for number in range(stages.size()))


def test_the_rows_of_files_are_written_without_a_shuffle_and_in_order(
    spark_session: SparkSession, spark_by_default: SparkEngine, tmp_path: Path
) -> None:
    computed(spark_by_default, ROWS)
    spark_by_default.write(replace(SPEC, name="silver.places", partition=()), IDS, tmp_path)
    spark_by_default.attach_rows("previous.snapshot", {"run": "string"}, [(None,)])
    before = shuffled_bytes(spark_session)
    spark_by_default.compute(
        parse("silver.copy", "SELECT p.* FROM silver.places AS p CROSS JOIN previous.snapshot AS s")
    )
    (file,) = spark_by_default.write(replace(SPEC, name="silver.copy", partition=()), IDS, tmp_path)
    assert shuffled_bytes(spark_session) == before
    assert parquet.ParquetFile(file).read()["n"].to_pylist() == [5, 3, 4, 2, 1]
    spark_by_default.compute(parse("silver.copy", "SELECT * FROM silver.places WHERE n > 1"))
    (file,) = spark_by_default.write(replace(SPEC, name="silver.copy", partition=()), IDS, tmp_path)
    assert shuffled_bytes(spark_session) > before, "filtered rows, of perhaps many small parts, are put together"


def test_kept_rows_with_a_partition_are_shuffled_once_and_written_without_another_shuffle(
    spark_session: SparkSession, spark_by_default: SparkEngine, tmp_path: Path
) -> None:
    selects = [f"SELECT {quoted(a)} AS country, {quoted(b)} AS city, {n} AS n, {CELLS}" for a, b, n in ROWS]
    header = "-- ephemeral: yes\n-- partition: country\n\n"
    begun = shuffled_bytes(spark_session)
    spark_by_default.compute(parse("staging.kept", header + " UNION ALL ".join(selects)))
    before = shuffled_bytes(spark_session)
    assert before > begun
    spark_by_default.attach_rows("bronze.snapshot", {"run": "string"}, [("RUN",)])
    read = "SELECT k.* FROM staging.kept AS k CROSS JOIN bronze.snapshot AS s WHERE k.n > 0"
    spark_by_default.compute(parse(SPEC.name, read))
    files = spark_by_default.write(SPEC, IDS, tmp_path)
    assert shuffled_bytes(spark_session) == before
    found = [set(parquet.ParquetFile(file).read(columns=["n"])["n"].to_pylist()) for file in files]
    assert len(found) == 3
    assert {1, 3, 5} in found
    spark_by_default.compute(parse(SPEC.name, f"{read} UNION ALL {read}"))
    spark_by_default.write(SPEC, IDS, tmp_path)
    assert shuffled_bytes(spark_session) > before, "rows of several inputs are put together"


def test_a_page_that_differs_from_its_checksum_fails_the_query_and_other_files_are_not_read(
    spark: SparkEngine, tmp_path: Path
) -> None:
    files = [write_page(tmp_path, number, f'{{"id":"{number}"}}\n') for number in (1, 2, 3)]
    spark.attach_raw_snapshot(files, "RUN", "2026-08-02T12:00:00+00:00")
    assert len(spark.rows("SELECT id FROM bronze.breweries")) == 3
    spark.attach_raw_snapshot(files[:2], "RUN", "2026-08-02T12:00:00+00:00")
    assert len(spark.rows("SELECT id FROM bronze.breweries")) == 2
    Path(files[2]).rename(files[0])
    spark.attach_raw_snapshot(files[:2], "RUN", "2026-08-02T12:00:00+00:00")
    with pytest.raises(Exception, match=r"not that of its name: page-00001\."):
        spark.rows("SELECT count(*) AS n FROM bronze.breweries")


@pytest.mark.parametrize(
    "name",
    [
        "execution.streaming.sinks.FileStreamSink",  # files of committed tasks alone, under their final names
        "execution.datasources.parquet.ParquetFileFormat",
        "classic.Dataset",  # plans that begin with the rows that are kept
    ],
)
def test_the_internal_classes_of_spark_that_the_engine_uses_exist(spark_session: SparkSession, name: str) -> None:
    jvm = spark_session._jvm
    assert jvm is not None
    try:
        jvm.java.lang.Class.forName(f"org.apache.spark.sql.{name}")
    except Exception:  # noqa: BLE001 - of Java
        pytest.fail(f"Spark {spark_session.version} has no {name}: engines/spark.py must do its work in another way.")


@pytest.fixture
def brussels(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the machine be in a time zone other than UTC."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Europe/Brussels")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("brussels")
def test_instants_are_in_utc_in_any_time_zone_of_the_machine(spark: SparkEngine) -> None:
    sql = "SELECT CAST('2026-03-29 02:30:00+00:00' AS TIMESTAMP) AS at, CAST(NULL AS TIMESTAMP) AS none"
    assert spark.rows(sql) == [{"at": datetime(2026, 3, 29, 2, 30, tzinfo=UTC), "none": None}]


def test_an_active_session_is_used_and_not_changed(spark_session: SparkSession) -> None:
    spark_session.createDataFrame([], "n int")  # makes it the active one, whatever ran before
    zone = spark_session.conf.get("spark.sql.session.timeZone")
    spark_session.conf.set("spark.sql.session.timeZone", "Asia/Tokyo")
    try:
        engine = SparkEngine(open_session("spark://nowhere:7077", 1))
        computed(engine, ROWS)
        assert engine.rows("SELECT CAST(at AS STRING) AS at FROM silver.places LIMIT 1") == [
            {"at": "2026-08-02 23:30:00.123456"}
        ]
        engine.close()
        assert spark_session.conf.get("spark.sql.session.timeZone") == "Asia/Tokyo"
        assert not spark_session.catalog.listTables()
        active = type(spark_session).getActiveSession()
        assert active is not None
        assert active.conf.get("spark.sql.session.timeZone") == "Asia/Tokyo"
        assert spark_session.sql("SELECT 1 AS n").collect()[0].n == 1
    finally:
        spark_session.conf.set("spark.sql.session.timeZone", str(zone))


def test_each_engine_reads_the_files_of_the_other_on_s3(
    spark: SparkEngine, engine: DuckDBEngine, spark_on_s3: str
) -> None:
    folder = path_at(f"{spark_on_s3}/data")
    both = []
    for writer, reader in ((spark, engine), (engine, spark)):
        computed(writer, ROWS)
        files = writer.write(SPEC, IDS, folder)
        assert len(files) == len({row[0] for row in ROWS})
        for file in files:
            read = parquet.read_table(BufferReader(path_at(file).read_bytes()))
            assert [int((field.metadata or {})[b"PARQUET:field_id"]) for field in read.schema] == list(IDS.values())
            assert read["city"].to_pylist() == sorted(read["city"].to_pylist(), key=lambda city: city or "")
        wanted = (
            Column("town", "string", "renamed", 3),
            Column("small", "long", "grown", 14),
            Column("lost", "string", "of a later time", 99),
            *(column for column in COLUMNS if column.name not in {"city", "small"}),
        )
        reader.attach_table(TableSpec("silver.read", "", wanted), files)
        both.append(reader.rows("SELECT * FROM silver.read ORDER BY n"))
    assert both[0] == both[1]
    assert [(row["country"], row["town"], row["n"]) for row in both[0]] == sorted(ROWS, key=lambda row: row[2])
    assert {path.suffix for path in folder.rglob("*")} == {".parquet"}


def test_a_failed_task_and_an_empty_table_put_nothing_on_s3(spark: SparkEngine, spark_on_s3: str) -> None:
    folder = path_at(f"{spark_on_s3}/none")
    computed(spark, [])
    assert spark.write(SPEC, IDS, folder) == ()
    assert spark.rows("SELECT country FROM silver.places") == []
    computed(spark, ROWS)
    wrong = (*COLUMNS[:2], Column("n", "date", "no number is one"), *COLUMNS[3:])
    with pytest.raises(Exception, match="n"):
        spark.write(TableSpec(SPEC.name, "", wrong), IDS, folder)
    assert list(folder.rglob("*.parquet")) == []


@pytest.mark.parametrize(
    ("hidden", "words"),
    [("pyspark", "needs PySpark"), ("java", "needs Java")],
)
def test_a_missing_requirement_is_an_error_with_the_way_to_install_it(tmp_path: Path, hidden: str, words: str) -> None:
    code = (
        "from brewhouse.pipeline.run_context import open_engine; from brewhouse.settings import load; "
        "open_engine(load({'engine': 'spark'}, environ={})).__enter__()"
    )
    if hidden == "pyspark":
        code = f"import sys; sys.modules['pyspark'] = None; {code}"
    environment = {**{name: value for name, value in os.environ.items() if name != "JAVA_HOME"}, "PATH": str(tmp_path)}
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert f"UsageError: The engine spark {words}" in ended.stderr


def test_cached_rows_are_released_when_replaced_or_when_the_engine_is_closed(
    spark_session: SparkSession,
) -> None:
    def cached() -> int:
        return int(spark_session._jsc.sc().getPersistentRDDs().size())

    before = cached()
    engine = SparkEngine(spark_session)
    for _ in range(3):
        engine.compute(parse("staging.given", "-- ephemeral: yes\n\nSELECT 1 AS n"))
        assert engine.rows("SELECT n FROM staging.given") == [{"n": 1}]
    assert cached() == before + 1
    engine.compute(parse("silver.derived", "SELECT n + 1 AS n FROM staging.given"))
    engine.compute(parse("staging.given", "-- ephemeral: yes\n\nSELECT 5 AS n"))
    assert engine.rows("SELECT n FROM silver.derived") == [{"n": 2}]
    engine.close()
    assert cached() == before


def test_views_of_one_engine_are_not_visible_in_another(spark_session: SparkSession, spark: SparkEngine) -> None:
    engine = SparkEngine(spark_session)
    engine.attach_rows("reference.mine", {"n": "long"}, [(1,)])
    with pytest.raises(EngineError, match=r"reference\.mine"):
        spark.rows("SELECT n FROM reference.mine")
    engine.close()


def test_rows_of_the_driver_and_empty_tables_need_no_python_in_the_executors(
    spark_session: SparkSession, spark: SparkEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spark_session.sparkContext, "pythonExec", "no-such-python")
    rows = [("a\nb", 0.1, datetime(2026, 8, 2, 23, 30, 0, 123456, UTC)), (None, None, None), ("\u2028\x00", -0.0, None)]
    spark.attach_rows("reference.given", {"name": "string", "size": "double", "at": "timestamptz"}, rows)
    found = spark.rows("SELECT * FROM reference.given ORDER BY size")
    assert [tuple(row.values()) for row in found] == [rows[1], rows[2], rows[0]]
    spark.attach_table(SPEC, [])
    spark.attach_raw_snapshot([], "RUN", "2026-08-02T23:30:00+00:00")
    assert spark.rows("SELECT n FROM silver.places UNION ALL SELECT page FROM bronze.breweries") == []


@pytest.mark.parametrize(("master", "is_local"), [("local[2]", True), ("spark://host:7077", False)])
def test_only_a_local_session_is_bound_to_the_loopback(master: str, is_local: bool) -> None:
    settings = _settings(master, 512)
    assert settings["spark.driver.memory"] == "512m"
    assert (settings.get("spark.driver.host") == "127.0.0.1") is is_local
    assert ("spark.sql.shuffle.partitions" in settings) is is_local


COLLECTOR = "-XX:+UseParallelGC"


def test_the_collector_is_the_parallel_one_unless_options_of_java_are_configured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_set(master: str = "local[2]") -> bool:
        return COLLECTOR in _settings(master, 512)["spark.driver.extraJavaOptions"]

    for name in ("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "SPARK_SUBMIT_OPTS", "PYSPARK_SUBMIT_ARGS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SPARK_CONF_DIR", str(tmp_path))
    assert is_set()
    assert not is_set("spark://host:7077")
    for name in ("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "SPARK_SUBMIT_OPTS"):
        with monkeypatch.context() as patch:
            patch.setenv(name, "-XX:+UseSerialGC")
            assert not is_set()
    monkeypatch.setenv("PYSPARK_SUBMIT_ARGS", "--conf spark.sql.shuffle.partitions=2 pyspark-shell")
    assert is_set()
    monkeypatch.setenv("PYSPARK_SUBMIT_ARGS", "--conf spark.driver.defaultJavaOptions=-XX:+UseG1GC pyspark-shell")
    assert not is_set()
    monkeypatch.delenv("PYSPARK_SUBMIT_ARGS")
    (tmp_path / "spark-defaults.conf").write_text("spark.driver.defaultJavaOptions -XX:+UseZGC\n")
    assert not is_set()


@pytest.mark.slow
def test_a_stop_while_java_starts_leaves_no_java_behind(tmp_path: Path, small_spark: dict[str, str]) -> None:
    pytest.importorskip("pyspark", reason="needs PySpark, as `pip install 'brewhouse[spark]'` brings it")
    if (java := shutil.which("java")) is None:
        pytest.skip("needs Java 17")
    (tmp_path / "bin").mkdir()
    starter = tmp_path / "bin" / "java"
    starter.write_text(f'#!/bin/sh\nkill -TERM "$STOPPED"\nexec {java} "$@"\n')
    starter.chmod(0o755)
    stopped = """
import os, signal, sys
from brewhouse.engines.spark_session import open_session

def stop(*_):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(143)

signal.signal(signal.SIGTERM, stop)
os.environ["STOPPED"] = str(os.getpid())
open_session("local[1]", 512)
"""
    environment = {**os.environ, **small_spark, "JAVA_HOME": str(tmp_path)}
    # Java has standard error as well: it is open until both have ended.
    ended = subprocess.run(
        [sys.executable, "-c", stopped], env=environment, stderr=subprocess.PIPE, timeout=120, check=False
    )
    assert ended.returncode == 143, ended.stderr
