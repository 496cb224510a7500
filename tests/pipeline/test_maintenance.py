"""Maintenance of a lake: what goes, what stays, and that nobody notices."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pyarrow
import pytest
from pyiceberg.catalog.sql import SqlCatalog
from tests.compatibility import warm_process
from tests.mock_api.server import MockApiServer

from brewhouse.errors import BrewhouseError, ChecksFailed
from brewhouse.events.envelope import WARNING
from brewhouse.events.event import read_events
from brewhouse.events.run_reports import run_reports
from brewhouse.iceberg.lake_catalog import NAME
from brewhouse.iceberg.pending_delete import PENDING, sweep_if_due
from brewhouse.iceberg.table_spec import Column, Publication, TableSpec
from brewhouse.iceberg.tables import Tables
from brewhouse.lake.lake import Lake
from brewhouse.lake.run_lock import run_lock
from brewhouse.mock_api.dataset import generate
from brewhouse.pipeline.maintenance import TableMaintenance, preview_maintenance, run_maintenance, total_of
from brewhouse.pipeline.publishing import refresh_views
from brewhouse.pipeline.workflow import run_workflow
from brewhouse.query.connection import connect
from brewhouse.settings import load

COUNTRY = Column("country", "string", "Country")
N = Column("n", "long", "Number")
GROWING = TableSpec("silver.growing", "A row a number.", (COUNTRY, N), ("country",), ("n",))
Rows = list[tuple[object, ...]]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "a läke")


def append(lake: Lake, number: int, spec: TableSpec = GROWING, countries: tuple[str, ...] = ("AT", "IE")) -> None:
    """Publish a batch of a row a country beside what is there."""
    tables = Tables(lake)
    ids = ", ".join(f"{name}: {field}" for name, field in tables.field_ids(spec).items())
    files = []
    for country in countries:
        files.append(str(tables.data_folder(spec.name) / f"{uuid.uuid4()}.parquet"))
        with duckdb.connect() as connection:
            select = f"SELECT '{country}' AS country, {number}::BIGINT AS n"
            connection.execute(f"COPY ({select}) TO '{files[-1]}' (FORMAT parquet, FIELD_IDS {{{ids}}})")
    kept = tuple(tables.files(spec.name)) if tables.names() else ()
    properties = {"brewhouse.run": f"RUN{number}", "brewhouse.raw-snapshot": f"RAW{number}"}
    tables.publish([Publication(spec, tuple(files), kept)], properties)
    refresh_views(lake, tables, pytest.fail)


def maintain(lake: Lake, **changes: object) -> TableMaintenance:
    return total_of(run_maintenance(lake, load(changes, environ={})))


def preview(lake: Lake, **changes: object) -> TableMaintenance:
    return total_of(preview_maintenance(lake, load(changes, environ={})))


def rows_of(lake: Lake, at: str | None = None) -> Rows:
    with closing(connect(lake, at)) as connection:
        return connection.execute("FROM silver.growing ORDER BY ALL").fetchall()


def iceberg_rows(lake: Lake) -> Rows:
    """Read with PyIceberg, which finds its files by the manifests."""
    catalog = SqlCatalog(NAME, uri=f"sqlite:///{lake.catalog_file}")
    rows = [tuple(row.values()) for row in catalog.load_table(GROWING.name).scan().to_arrow().to_pylist()]
    catalog.close()
    return sorted(rows)


def expected(count: int) -> Rows:
    return [(country, number) for country in ("AT", "IE") for number in range(count)]


def age(lake: Lake, days: float = 2) -> None:
    """Make every file, and every note of what was let go, as old as that."""
    then = time.time() - days * 86400
    for file in (lake.root / "maintenance").glob("*.json"):
        day = (datetime.now(UTC) - timedelta(days=days)).isoformat()
        text = file.read_text()
        start = text.index('"released_at":"') + len('"released_at":"')
        file.write_text(text[:start] + day + text[text.index('"', start) :])
    for file in lake.root.rglob("*"):
        if file.is_file():
            os.utime(file, (then, then))


def files(lake: Lake) -> set[Path]:
    return {file for file in lake.warehouse.rglob("*") if file.is_file()}


def test_small_files_are_compacted_and_every_snapshot_stays_readable(lake: Lake) -> None:
    for number in range(4):
        append(lake, number)
    before = Tables(lake).current(GROWING.name)
    assert before is not None
    done = maintain(lake)
    assert (done.files_compacted, done.files_written, done.files_removed) == (8, 2, 0)
    assert rows_of(lake) == iceberg_rows(lake) == expected(4)
    tables = Tables(lake)
    now = tables.current(GROWING.name)
    assert now is not None
    assert (now.operation, now.rows, now.files, now.properties) == ("replace", 8, 2, before.properties)
    assert len(tables.files(GROWING.name)) == 2
    assert rows_of(lake, "RAW3") == rows_of(lake, "RUN3") == expected(4)
    assert rows_of(lake, "RAW1") == rows_of(lake, str(tables.history(GROWING.name)[1].snapshot_id)) == expected(2)
    append(lake, 4)
    assert rows_of(lake) == iceberg_rows(lake) == expected(5)


def test_a_second_maintenance_finds_nothing_to_do(lake: Lake) -> None:
    for number in range(3):
        append(lake, number)
    maintain(lake)
    before = Tables(lake).history(GROWING.name)
    done = maintain(lake)
    assert (done.files_compacted, done.snapshots_expired, done.files_removed) == (0, 0, 0)
    assert Tables(lake).history(GROWING.name) == before


def test_files_of_an_earlier_partition_spec_get_the_current_one(lake: Lake) -> None:
    for number in range(2):
        append(lake, number, replace(GROWING, partition=("n",), sort=()))
    append(lake, 2)
    done = maintain(lake)
    assert (done.files_compacted, done.files_written) == (4, 4)  # AT and IE of 0, and of 1
    done = maintain(lake)
    assert (done.files_compacted, done.files_written) == (6, 2)
    assert rows_of(lake) == iceberg_rows(lake) == expected(3)


def test_a_column_missing_in_some_files_is_null_in_the_compacted_one(lake: Lake) -> None:
    append(lake, 0)
    wider = replace(GROWING, columns=(COUNTRY, N, Column("more", "string", "More")))
    tables = Tables(lake)
    tables.publish([Publication(wider, (), tuple(tables.files(GROWING.name)))], {})
    append(lake, 1)  # which drops it again
    tables.publish([Publication(wider, (), tuple(tables.files(GROWING.name)))], {})
    maintain(lake)
    assert rows_of(lake) == iceberg_rows(lake) == [(*row, None) for row in expected(2)]


def test_many_manifests_of_another_writer_become_few(lake: Lake) -> None:
    append(lake, 0, countries=("AT",))
    catalog = SqlCatalog(NAME, uri=f"sqlite:///{lake.catalog_file}")
    for number in range(1, 11):
        catalog.load_table(GROWING.name).append(pyarrow.table({"country": ["AT"], "n": [number]}))
    catalog.close()
    assert Tables(lake).manifests(GROWING.name) == 11
    maintain(lake, target_file_mb=1)
    assert Tables(lake).manifests(GROWING.name) <= 2
    assert iceberg_rows(lake) == [("AT", number) for number in range(11)]


def test_compaction_that_changes_a_row_is_not_committed(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    from brewhouse.engines.duckdb import DuckDBEngine

    for number in range(2):
        append(lake, number)
    compute = DuckDBEngine.compute
    monkeypatch.setattr(
        DuckDBEngine, "compute", lambda self, model: compute(self, replace(model, sql=f"{model.sql} LIMIT 1"))
    )
    history = Tables(lake).history(GROWING.name)
    with pytest.raises(ChecksFailed, match="changes no row"):
        maintain(lake)
    assert Tables(lake).history(GROWING.name) == history
    assert run_reports(read_events(lake))[-1].state == "FAILED"


def test_runs_expire_snapshots_and_delete_their_files_by_themselves(tmp_path: Path) -> None:
    lake = Lake(tmp_path)

    def run(number: int) -> str:
        with MockApiServer(generate(20 + number)) as source:
            return run_workflow(lake, load({"source_url": source.url, "min_snapshots_to_keep": 2}, environ={}))

    runs = [run(number) for number in range(5)]
    tables = Tables(lake)
    for name in tables.names():
        assert [snapshot.properties["brewhouse.run"] for snapshot in tables.history(name)] == runs[-3:], name
    with connect(lake, runs[2]) as connection:
        assert connection.execute("SELECT count(*) FROM silver.breweries").fetchall() == [(22,)]
    with pytest.raises(BrewhouseError, match=f"Run {runs[1]} was expired by run {runs[4]} on "):
        connect(lake, runs[1])
    before = Tables(lake).referenced()
    assert len(files(lake)) > len(before), "files of expired snapshots wait for a day"
    age(lake, 1.5)
    sweep_if_due(lake, datetime.now(UTC))
    assert len(files(lake)) > len(before), "runs sweep once a day, when the oldest have waited for two"
    age(lake, 3)
    runs.append(run(5))
    assert {str(file.relative_to(lake.root)) for file in files(lake)} - Tables(lake).referenced() <= before
    assert len(list((lake.root / PENDING).iterdir())) == 1, "what the last run expired"
    for at, rows in ((runs[-3], 23), (runs[-1], 25), (None, 25)):
        with connect(lake, at) as connection:
            assert connection.execute("SELECT count(*) FROM silver.breweries").fetchall() == [(rows,)]


def test_a_run_merges_the_small_files_of_an_incremental_table_once_they_are_many(tmp_path: Path) -> None:
    lake, name = Lake(tmp_path), "gold.brewery_counts_over_time"

    def run(breweries: int) -> None:
        with MockApiServer(generate(breweries)) as source:
            run_workflow(lake, load({"source_url": source.url}, environ={}))

    def totals() -> Rows:
        with connect(lake) as connection:
            sql = f"SELECT snapshot_date, sum(brewery_count) FROM {name} GROUP BY ALL ORDER BY 1"
            return connection.execute(sql).fetchall()

    run(20)
    tables = Tables(lake)
    spec, now, (current,) = tables.describe(name), tables.current(name), tables.files(name)
    assert now is not None
    ids = ", ".join(f"{column}: {number}" for column, number in tables.field_ids(spec).items())
    older = [str(tables.data_folder(name) / f"{number}.parquet") for number in range(50)]
    for number, file in enumerate(older):
        select = f"SELECT * REPLACE (DATE '2000-01-01' + {number} AS snapshot_date) FROM '{current}'"
        duckdb.execute(f"COPY ({select}) TO '{file}' (FORMAT parquet, FIELD_IDS {{{ids}}})")
    tables.publish([Publication(spec, tuple(older), (current,))], now.properties)
    before = totals()
    assert len(before) == len(tables.files(name)) == 51
    run(21)
    assert len(Tables(lake).files(name)) == 1
    assert totals() == [*before[:-1], (before[-1][0], 21)]


@pytest.mark.slow
def test_what_a_lake_keeps_of_many_runs_of_a_day_is_bounded(tmp_path: Path) -> None:
    lake, sizes = Lake(tmp_path), list[int]()
    for number in range(120):
        with MockApiServer(generate(60 + number % 7)) as source:
            run_workflow(lake, load({"source_url": source.url, "max_count_drop_percent": 100}, environ={}))
        if number % 40 == 39:
            sizes.append(sum(file.stat().st_size for file in files(lake)))
    tables = Tables(lake)
    for name, folder in tables.folders().items():
        assert len(list((lake.root / folder).rglob("*.metadata.json"))) == 6, name
        assert len(tables.history(name)) <= 31, name
        assert tables.manifests(name) <= 11, name
        assert len(tables.files(name)) < 60, name
    assert sizes[2] - sizes[1] < 1.2 * (sizes[1] - sizes[0]), "each run adds as much: the files of its tables"
    with connect(lake) as connection:
        dates = connection.execute("SELECT count(DISTINCT snapshot_run) FROM silver.brewery_changes").fetchall()
    assert dates == [(120,)]
    age(lake, 3)
    maintain(lake)
    assert sum(file.stat().st_size for file in files(lake)) < sizes[1]


def test_logs_are_deleted_after_their_retention(lake: Lake) -> None:
    append(lake, 0)
    for days in (200, 91, 90, 89, 0):
        day = (datetime.now(UTC) - timedelta(days=days)).date()
        lake.store.put(f"logs/date={day}/RUN{days}.jsonl", b"{}")
        lake.store.put(f"job_logs/date={day}/RUN{days}.jsonl", b"{}")
    assert preview(lake).files_removed == 4
    (report,) = [each for each in run_maintenance(lake, load({}, environ={})) if each.table == "logs"]
    assert (report.files_removed, report.bytes_freed) == (4, 8)
    for folder in (lake.logs, lake.job_logs):
        assert {file.stem for file in folder.rglob("RUN*.jsonl")} == {"RUN90", "RUN89", "RUN0"}


def test_old_snapshots_expire_and_their_files_are_deleted_a_day_later(lake: Lake) -> None:
    for number in range(4):
        append(lake, number)
    age(lake)
    done = maintain(lake, snapshot_retention_days=0, min_snapshots_to_keep=1)
    assert (done.snapshots_expired, done.files_compacted, done.files_removed) == (3, 8, 0)
    assert done.files_waiting == 3  # manifest lists; the rest is part of the last content
    assert len(Tables(lake).history(GROWING.name)) == 2  # the last content, and the same in fewer files
    assert maintain(lake, snapshot_retention_days=0, min_snapshots_to_keep=1).files_removed == 0
    age(lake)
    before = sum(file.stat().st_size for file in files(lake))
    done = maintain(lake, snapshot_retention_days=0, min_snapshots_to_keep=1)
    assert done.files_removed >= 3
    assert before - sum(file.stat().st_size for file in files(lake)) == done.bytes_freed
    assert list((lake.root / "maintenance").iterdir()) == []
    assert rows_of(lake) == rows_of(lake, "RAW3") == iceberg_rows(lake) == expected(4)
    append(lake, 4)
    assert maintain(lake, snapshot_retention_days=0, min_snapshots_to_keep=1).files_waiting > 8
    age(lake)
    maintain(lake, snapshot_retention_days=0, min_snapshots_to_keep=1)
    assert len(list(lake.warehouse.rglob("*.parquet"))) == 4 + 2  # of the last content, and the same in fewer files
    assert rows_of(lake) == iceberg_rows(lake) == expected(5)
    with pytest.raises(BrewhouseError, match="is neither a time"):
        rows_of(lake, "RAW1")


def test_a_time_whose_snapshot_expired_is_an_error(lake: Lake) -> None:
    for number in range(3):
        append(lake, number)
    tables = Tables(lake)
    first, second, third = tables.history(GROWING.name)
    tables.rollback(GROWING.name, first.snapshot_id)
    tables.expire({GROWING.name: [second.snapshot_id, first.snapshot_id]})  # the current one is not let go
    assert tables.history(GROWING.name)[0].snapshot_id == first.snapshot_id
    assert tables.snapshot_at(GROWING.name, second.committed_at) is None
    assert tables.snapshot_at(GROWING.name, first.committed_at) is None
    assert rows_of(lake, third.committed_at.isoformat()) == expected(3)
    assert iceberg_rows(lake) == expected(1)


def test_a_tagged_snapshot_does_not_expire(lake: Lake) -> None:
    for number in range(3):
        append(lake, number)
    catalog = SqlCatalog(NAME, uri=f"sqlite:///{lake.catalog_file}")
    table = catalog.load_table(GROWING.name)
    first = table.metadata.snapshots[0].snapshot_id
    table.manage_snapshots().create_tag(first, "audit").commit()
    catalog.close()
    done = maintain(lake, snapshot_retention_days=0, min_snapshots_to_keep=1)
    assert done.snapshots_expired == 1
    assert rows_of(lake, str(first)) == expected(1)


def test_orphan_files_of_killed_runs_are_deleted_after_a_day(lake: Lake) -> None:
    append(lake, 0)
    folder = lake.warehouse / "silver" / "growing"
    stray = [folder / "data" / "stray.parquet", folder / "metadata" / "stray-m0.avro", folder / "more" / "deep" / "x"]
    for file in stray:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"12345")
    views = lake.root / "brewhouse.duckdb.123.tmp"
    views.write_bytes(b"1")
    unfinished = lake.bronze / "date=2026-08-02" / "run=X" / "page-1"
    unfinished.parent.mkdir(parents=True)
    unfinished.write_bytes(b"1")
    (done,) = (report for report in preview_maintenance(lake, load({}, environ={})) if report.table == GROWING.name)
    assert (done.files_removed, done.files_waiting) == (0, 3)
    age(lake)
    young = folder / "data" / "young.parquet"
    young.write_bytes(b"1")
    assert maintain(lake).bytes_freed == 15
    assert [file for file in (*stray, views) if file.exists()] == []
    assert young.exists()
    assert unfinished.exists()
    assert rows_of(lake) == iceberg_rows(lake) == expected(1)


def test_a_dry_run_lists_the_same_and_changes_nothing(lake: Lake) -> None:
    for number in range(4):
        append(lake, number)
    age(lake)
    (lake.warehouse / "silver" / "growing" / "data" / "stray").write_bytes(b"12345")
    age(lake)
    before = {file: file.stat().st_mtime for file in lake.root.rglob("*")}
    foretold = preview(lake, snapshot_retention_days=0, min_snapshots_to_keep=2)
    assert {file: file.stat().st_mtime for file in lake.root.rglob("*")} == before
    done = maintain(lake, snapshot_retention_days=0, min_snapshots_to_keep=2)
    assert (foretold.snapshots_expired, foretold.files_compacted, foretold.files_written) == (2, 8, 2)
    assert (foretold.files_removed, foretold.bytes_freed) == (done.files_removed, done.bytes_freed) == (1, 5)
    assert (done.snapshots_expired, done.files_compacted, done.files_written) == (2, 8, 2)
    assert foretold.files_waiting == done.files_waiting


def test_tables_outside_of_the_lake_are_not_touched(lake: Lake, tmp_path: Path) -> None:
    append(lake, 0)
    elsewhere = tmp_path / "elsewhere"
    catalog = SqlCatalog(NAME, uri=f"sqlite:///{lake.catalog_file}")
    schema = catalog.load_table(GROWING.name).schema()
    catalog.create_table("silver.theirs", schema=schema, location=f"file://{elsewhere}")
    catalog.close()
    (elsewhere / "stray").write_bytes(b"1")
    os.utime(elsewhere / "stray", (0, 0))
    maintain(lake)
    assert (elsewhere / "stray").exists()


def test_a_lake_without_tables_is_an_error(lake: Lake) -> None:
    with pytest.raises(BrewhouseError, match="does not exist"):
        maintain(lake)
    with pytest.raises(BrewhouseError, match="does not exist"):
        preview(lake)
    assert not lake.root.exists()


def test_maintenance_is_a_run_and_is_refused_while_another_one_is_running(lake: Lake) -> None:
    append(lake, 0)
    with run_lock(lake, "FIRST"), pytest.raises(BrewhouseError, match="locked by run FIRST"):
        maintain(lake)
    maintain(lake)
    report = run_reports(read_events(lake))[-1]
    assert (report.state, [job.name for job in report.jobs]) == ("SUCCEEDED", ["maintain"])
    assert "0 snapshots expired" in report.jobs[0].message


def test_jobs_have_nothing_to_do_after_maintenance(lake: Lake) -> None:
    with MockApiServer(generate(300)) as source:
        settings = load({"source_url": source.url}, environ={})
        for _ in range(3):
            run_workflow(lake, settings)
        done = maintain(lake, snapshot_retention_days=0, min_snapshots_to_keep=1)
        assert done.snapshots_expired == 2 * len(Tables(lake).names())
        run_workflow(lake, settings, ("transform", "aggregate"))
    assert all("nothing to do" in job.message for job in run_reports(read_events(lake))[-1].jobs)


READER = """
import sys
from pathlib import Path
from brewhouse.lake.lake import Lake
from brewhouse.query.connection import connect
connections = [connect(Lake(Path(sys.argv[1])), at) for at in (None, *sys.argv[2:])]
print("ready", flush=True)
sys.stdin.readline()
for connection in connections:
    print(connection.execute("SELECT count(*) FROM silver.growing").fetchall()[0][0], flush=True)
"""


def test_a_reader_that_started_before_continues_to_read(lake: Lake) -> None:
    for number in range(4):
        append(lake, number)
    age(lake)
    command = [sys.executable, "-c", READER, str(lake.root), "RAW0", "RAW1", "RAW3"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdout is not None
        assert reader.stdin is not None
        assert reader.stdout.readline() == "ready\n"
        for _ in range(2):
            assert maintain(lake, snapshot_retention_days=0, min_snapshots_to_keep=1).files_removed == 0
        answers, _ = reader.communicate("go\n", timeout=60)
    assert reader.returncode == 0
    assert answers.split() == ["8", "2", "4", "8"]


def test_views_that_cannot_be_replaced_are_a_warning_and_the_job_succeeds(lake: Lake) -> None:
    append(lake, 0)
    lake.views_file.unlink()
    lake.views_file.mkdir()
    maintain(lake)
    (warning,) = [event for event in read_events(lake) if event.detail_type == WARNING]
    assert warning.detail["jobName"] == "maintain"
    assert warning.detail["severity"] == "WARN"
    assert "brewhouse.duckdb shows the tables as they were before" in warning.detail["message"]
    assert run_reports(read_events(lake))[-1].state == "SUCCEEDED"
    assert rows_of(lake) == expected(1)


KILLED = """
import os, signal, sys
from pathlib import Path
import brewhouse.engines.duckdb
from brewhouse.pipeline import maintenance
from brewhouse.lake.lake import Lake
from brewhouse.iceberg.tables import Tables
from brewhouse.settings import load

def die_after(frame, event, argument):
    if event == "return" and frame.f_code.co_name == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)

sys.setprofile(die_after)
settings = load({"snapshot_retention_days": 0, "min_snapshots_to_keep": 1}, environ={})
maintenance.run_maintenance(Lake(Path(sys.argv[1])), settings)
"""
MOMENTS = ("_combine", "write_snapshot", "rewrite", "add_pending", "expire", "_choose_files")


def test_a_kill_at_any_moment_leaves_a_consistent_lake(lake: Lake, tmp_path: Path) -> None:
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    for number, function in enumerate(MOMENTS):
        for batch in (2 * number, 2 * number + 1):
            append(lake, batch)
        age(lake)
        arguments = [str(script), str(lake.root), function]
        died = warm_process.run(arguments, cwd=str(tmp_path), environment=os.environ, timeout_s=60)
        assert died.returncode == -9, (function, died.stderr)
        assert rows_of(lake) == iceberg_rows(lake) == expected(2 * number + 2), function
    rows = expected(2 * len(MOMENTS))
    for _ in range(2):
        maintain(lake, snapshot_retention_days=0, min_snapshots_to_keep=1)
        age(lake)
    maintain(lake, snapshot_retention_days=0, min_snapshots_to_keep=1)
    assert rows_of(lake) == iceberg_rows(lake) == rows
    reached = {lake.root / path for path in Tables(lake).referenced()}
    assert reached <= files(lake)
    assert {file for file in files(lake) if file.stat().st_mtime < time.time() - 86400} <= reached
