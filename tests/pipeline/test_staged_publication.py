"""A run whose jobs are processes of their own publishes once, too: silver and gold together, or neither."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from tests.background import repeating
from tests.lake_template import LakeTemplate
from tests.mock_api.server import MockApiServer

from brewhouse.errors import BrewhouseError, ChecksFailed
from brewhouse.events.envelope import PUBLISHED
from brewhouse.events.event import read_events
from brewhouse.iceberg.table_spec import Publication, TableSpec
from brewhouse.iceberg.tables import Tables
from brewhouse.lake import s3
from brewhouse.lake.lake import Lake
from brewhouse.lake.run_lock import holder
from brewhouse.mock_api.dataset import generate
from brewhouse.pipeline.maintenance import preview_maintenance, run_maintenance
from brewhouse.pipeline.runner import ExternalRun
from brewhouse.pipeline.workflow import JOBS, run_workflow
from brewhouse.query.connection import connect
from brewhouse.settings import Settings, load

ROWS = 300
FAILS = "-- Too few.\n-- row count: at least 1000000\nSELECT count(*) AS brewery_count FROM silver.breweries"
OLD = datetime.now(UTC) - timedelta(days=2)


@pytest.fixture
def source() -> Iterator[MockApiServer]:
    with MockApiServer(generate(ROWS)) as server:
        yield server


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> LakeTemplate:
    """The run wr_1, before and after its last job."""
    template = LakeTemplate(tmp_path_factory.mktemp("staged"))
    with MockApiServer(generate(ROWS)) as source:
        run_jobs(template.lake, settings_for(source), "wr_1", JOBS[:2])
        template.keep("transformed")
        run_job(template.lake, settings_for(source), "aggregate", "wr_1")
        template.keep("published")
    return template


@pytest.fixture
def transformed(template: LakeTemplate) -> Lake:
    return template.restore("transformed")


@pytest.fixture
def published(template: LakeTemplate) -> Lake:
    return template.restore("published")


def settings_for(source: MockApiServer, **changes: object) -> Settings:
    return load({"source_url": source.url, "max_attempts": 1, "extract_retry_wait_s": 0, **changes}, environ={})


def run_job(lake: Lake, settings: Settings, job: str, workflow_run: str) -> str:
    """Run one job of a workflow run as Glue does, in a process of its own as far as the job knows."""
    return run_workflow(lake, settings, (job,), external=ExternalRun(workflow_run, f"jr_{job}", JOBS, retries=1))


def run_jobs(lake: Lake, settings: Settings, workflow_run: str, jobs: tuple[str, ...] = JOBS) -> str:
    return [run_job(lake, settings, job, workflow_run) for job in jobs][-1]


def shown(lake: Lake) -> dict[str, int]:
    """The current snapshot of each table."""
    tables = Tables(lake)
    return {name: now.snapshot_id for name in tables.names() if (now := tables.current(name))}


def staged_files(lake: Lake) -> list[str]:
    return [entry["path"] for page in lake.store.list("staged") for entry in page]


def models(folder: Path, sql: str) -> Path:
    (folder / "gold").mkdir(parents=True)
    (folder / "gold" / "own.sql").write_text(sql)
    return folder


def age(lake: Lake, *folders: str) -> None:
    """Make all files below folders two days old."""
    for file in (file for folder in folders for file in (lake.root / folder).rglob("*") if file.is_file()):
        os.utime(file, (OLD.timestamp(), OLD.timestamp()))


def consistent(lake: Lake) -> bool | None:
    """Return whether gold counts the breweries of silver, for a reader; None without tables."""
    try:
        connection = connect(lake)
    except BrewhouseError:
        return None
    with closing(connection):
        if not connection.execute("FROM duckdb_views() WHERE schema_name IN ('silver', 'gold')").fetchall():
            return None
        found = connection.execute(
            "SELECT (SELECT count(*) FROM silver.breweries), sum(brewery_count) FROM gold.breweries_by_location"
        ).fetchall()[0]
    return len(set(found)) == 1


def test_silver_is_published_by_aggregate_together_with_gold(transformed: Lake, source: MockApiServer) -> None:
    assert (shown(transformed), len(staged_files(transformed))) == ({}, 1)
    run_job(transformed, settings_for(source), "aggregate", "wr_1")
    assert {name.partition(".")[0] for name in shown(transformed)} == {"silver", "gold"}
    assert staged_files(transformed) == []
    (event,) = [event for event in read_events(transformed) if event.detail_type == PUBLISHED]
    assert {table["table"] for table in event.detail["tables"]} == shown(transformed).keys()
    assert consistent(transformed)


def test_the_rows_are_those_of_a_run_in_one_process(
    lake: Lake, source: MockApiServer, tmp_path: Path, content: object
) -> None:
    whole = Lake(tmp_path / "whole")
    for number in (1, 2):  # the second one keeps files of the change log
        run_jobs(lake, settings_for(source), f"wr_{number}")
        run_workflow(whole, settings_for(source))
        source.add(list(generate(ROWS + 5))[ROWS:])
    assert content(lake) == content(whole)  # type: ignore[operator]


def test_a_failing_check_of_gold_leaves_silver_unchanged_and_a_retry_publishes(
    published: Lake, source: MockApiServer, tmp_path: Path
) -> None:
    before = shown(published)
    source.add(list(generate(ROWS + 5))[ROWS:])
    run_jobs(published, settings_for(source), "wr_2", JOBS[:2])
    with pytest.raises(ChecksFailed, match="Nothing was published"):
        run_job(published, settings_for(source, models=models(tmp_path / "models", FAILS)), "aggregate", "wr_2")
    assert shown(published) == before
    run_job(published, settings_for(source), "aggregate", "wr_2")
    assert not set(shown(published).values()) & set(before.values())
    assert staged_files(published) == []


def test_a_job_outside_of_a_workflow_run_publishes_its_own_tables(lake: Lake, source: MockApiServer) -> None:
    run_workflow(lake, settings_for(source), ("extract",))
    run_workflow(lake, settings_for(source), ("transform",))
    assert {name.partition(".")[0] for name in shown(lake)} == {"silver"}
    assert staged_files(lake) == []


def test_an_attempt_after_the_publication_has_nothing_to_do(transformed: Lake, source: MockApiServer) -> None:
    (staged,) = staged_files(transformed)
    content = (transformed.root / staged).read_bytes()
    run_job(transformed, settings_for(source), "aggregate", "wr_1")
    before = shown(transformed)
    (transformed.root / staged).write_bytes(content)  # as if it was killed before it deleted the object
    run_job(transformed, settings_for(source), "aggregate", "wr_1")
    assert (shown(transformed), staged_files(transformed)) == (before, [])


def test_a_run_without_news_succeeds(published: Lake, source: MockApiServer) -> None:
    before = shown(published)
    for job in JOBS[1:]:
        run_job(published, settings_for(source), job, "wr_2")
    assert shown(published) == before


def test_tables_that_changed_meanwhile_are_not_overwritten(published: Lake, source: MockApiServer) -> None:
    source.add(list(generate(ROWS + 5))[ROWS:])
    run_jobs(published, settings_for(source), "wr_2", JOBS[:2])
    run_workflow(published, settings_for(source))
    before = shown(published)
    with pytest.raises(
        BrewhouseError, match=r"silver\.breweries, .* changed since run \w+ staged its tables\. Run the"
    ):
        run_job(published, settings_for(source), "aggregate", "wr_2")
    assert shown(published) == before


def test_staged_tables_that_are_missing_or_damaged_are_named(transformed: Lake, source: MockApiServer) -> None:
    (staged,) = staged_files(transformed)
    content = (transformed.root / staged).read_bytes()
    (file, *_) = json.loads(content)["tables"]["publications"][0]["files"]

    def failure() -> str:
        with pytest.raises(BrewhouseError) as failed:
            run_job(transformed, settings_for(source), "aggregate", "wr_1")
        assert shown(transformed) == {}
        return str(failed.value)

    data = (transformed.root / file).read_bytes()
    (transformed.root / file).unlink()
    assert f"Nothing was published: {file} is missing: run" in failure()
    (transformed.root / file).write_bytes(data)
    (transformed.root / staged).write_bytes(content[:-9])
    assert f"The staged publication {transformed.root / staged} is corrupt: " in failure()
    (transformed.root / staged).unlink()
    assert "left no staged tables in" in failure()
    (transformed.root / staged).write_bytes(content)
    run_job(transformed, settings_for(source), "aggregate", "wr_1")
    assert consistent(transformed)


def data_files(lake: Lake) -> list[Path]:
    """The data files that the staged publication names."""
    (staged,) = staged_files(lake)
    publications = json.loads((lake.root / staged).read_bytes())["tables"]["publications"]
    return [lake.root / file for publication in publications for file in publication["files"]]


def test_maintenance_keeps_what_may_be_published_and_deletes_what_is_abandoned(
    lake: Lake, source: MockApiServer
) -> None:
    settings, records = settings_for(source), list(generate(ROWS + 3))
    for number in range(2):  # two files of the change log would be compacted
        run_workflow(lake, settings)
        source.add(records[ROWS + number : ROWS + number + 1])
    run_jobs(lake, settings, "wr_1", JOBS[:2])
    files = data_files(lake)
    age(lake, "warehouse")  # the object is young
    run_maintenance(lake, settings)
    assert all(file.exists() for file in files)
    run_job(lake, settings, "aggregate", "wr_1")
    assert consistent(lake)

    source.add(records[ROWS + 2 :])
    run_jobs(lake, settings, "wr_2", JOBS[:2])
    files = data_files(lake)
    age(lake, "warehouse", "staged")
    foreseen = {report.table: report.files_removed for report in preview_maintenance(lake, settings)}
    assert staged_files(lake)
    removed = {report.table: report.files_removed for report in run_maintenance(lake, settings)}
    assert (removed, removed["staged"]) == (foreseen, 1)
    assert not any(file.exists() for file in files)
    assert staged_files(lake) == []
    assert consistent(lake)


def test_files_of_tables_that_were_never_published_are_deleted(transformed: Lake, source: MockApiServer) -> None:
    settings = settings_for(source)
    tables, spec = Tables(transformed), TableSpec("silver.other", "A table.", ())
    assert list((transformed.warehouse / "silver").rglob("*.parquet"))
    age(transformed, "warehouse", "staged")
    tables.publish([Publication(spec, ())], {})
    (report,) = [report for report in run_maintenance(transformed, settings) if report.table == "staged"]
    assert report.files_removed > 1
    assert not list((transformed.warehouse / "silver").rglob("*.parquet"))
    assert staged_files(transformed) == []


JOB = """
import os, signal, sys
from brewhouse.lake.lake import lake_of
from brewhouse.pipeline.runner import ExternalRun
from brewhouse.pipeline.workflow import JOBS, run_workflow
from brewhouse.settings import load

job, workflow_run, function, moment, *stops_at = sys.argv[1:]
left = int(stops_at[0]) if stops_at else 0

def profile(frame, event, _):
    global left
    if event == moment and frame.f_code.co_name == function and "brewhouse" in frame.f_code.co_filename:
        left -= 1
        if not stops_at:
            os._exit(9)
        if left == 0:
            os.kill(os.getpid(), signal.SIGSTOP)

if function:
    sys.setprofile(profile)
settings = load({})
run_workflow(lake_of(settings), settings, (job,), external=ExternalRun(workflow_run, "jr_1", JOBS, retries=1))
"""


def environment_of(lake: Lake, source: MockApiServer) -> dict[str, str]:
    return {
        **os.environ,
        "BREWHOUSE_LAKE": str(lake.root),
        "BREWHOUSE_CATALOG_DATABASE_PREFIX": lake.shared.catalog_database_prefix,
        "BREWHOUSE_LOCK_TTL_S": str(lake.shared.lock_ttl_s),
        "BREWHOUSE_SOURCE_URL": source.url,
    }


def wait_for_lock(lake: Lake) -> None:
    """Wait until a lake is free, on S3 until the lock of a killed process expires."""
    while holder(lake) is not None:
        time.sleep(0.05)


def start(lake: Lake, source: MockApiServer, job: str, run: str, killed_at: tuple[str, str], **variables: str) -> int:
    """Run a job in a process, which is killed when a function is called or returns; return its exit code."""
    environment = environment_of(lake, source) | variables
    command = [sys.executable, "-c", JOB, job, run, *killed_at]
    ended = subprocess.run(command, env=environment, capture_output=True, check=False, timeout=300)
    wait_for_lock(lake)
    assert ended.returncode in (0, 9), ended.stderr.decode()
    return ended.returncode


TRANSFORM = [("stage_models", "return"), ("leave_staged", "call"), ("leave_staged", "return")]
AGGREGATE = [
    ("find_staged", "return"),
    ("stage_gold", "return"),
    ("commit", "call"),
    ("commit", "return"),
    ("drop_staged", "call"),
    ("drop_staged", "return"),
]
ON_S3 = [("require_lock", "call"), ("write_intent", "return"), ("swap", "return")]


def kill_at(lake: Lake, source: MockApiServer, job: str, moment: tuple[str, str], run: str) -> None:
    """Kill a job of a run that has news; nothing or everything is published, and the next attempt succeeds."""
    before = shown(lake)
    run_jobs(lake, settings_for(source), run, JOBS[: JOBS.index(job)])
    assert start(lake, source, job, run, moment) == 9, f"{moment} was not reached"
    after = shown(lake)
    assert after == before or not set(after.values()) & set(before.values())
    assert consistent(lake) is not False
    for rest in JOBS[JOBS.index(job) :]:
        run_job(lake, settings_for(source), rest, run)
    assert consistent(lake)
    assert not set(shown(lake).values()) & set(before.values())
    assert staged_files(lake) == []


def test_a_job_killed_right_after_its_commit_has_published_everything(lake: Lake, source: MockApiServer) -> None:
    kill_at(lake, source, "aggregate", ("commit", "return"), "wr_1")


@pytest.mark.slow
@pytest.mark.parametrize("is_local", [True, False])
def test_a_job_killed_at_any_point_publishes_nothing_or_everything(
    tmp_path: Path, shared_lake: Lake, source: MockApiServer, *, is_local: bool
) -> None:
    lake = Lake(tmp_path / "lake") if is_local else shared_lake
    moments = [*(("transform", moment) for moment in TRANSFORM), *(("aggregate", moment) for moment in AGGREGATE)]
    moments += [("aggregate", moment) for moment in ON_S3 if not is_local]
    records = list(generate(ROWS + len(moments)))
    run_jobs(lake, settings_for(source), "wr_first")
    for number, (job, moment) in enumerate(moments):
        source.add(records[ROWS + number : ROWS + number + 1])
        kill_at(lake, source, job, moment, f"wr_{number}")


@pytest.mark.slow
@pytest.mark.parametrize("number", [1, 2, 7])
@pytest.mark.parametrize("function", ["require_lock", "swap"])
def test_a_process_that_slept_beyond_its_lock_changes_no_table(
    shared_lake: Lake, source: MockApiServer, function: str, number: int
) -> None:
    lake, settings = shared_lake, settings_for(source)
    records = list(generate(ROWS + 2))
    run_jobs(lake, settings, "wr_1")
    source.add(records[ROWS : ROWS + 1])
    run_jobs(lake, settings, "wr_2", JOBS[:2])
    command = [sys.executable, "-c", JOB, "aggregate", "wr_2", function, "call", str(number)]
    with subprocess.Popen(command, env=environment_of(lake, source), stderr=subprocess.PIPE) as sleeper:
        os.waitpid(sleeper.pid, os.WUNTRACED)  # it stopped itself
        wait_for_lock(lake)
        source.add(records[ROWS + 1 :])
        run_workflow(lake, settings)
        after = shown(lake)
        sleeper.send_signal(signal.SIGCONT)
        _, errors = sleeper.communicate(timeout=120)
    assert sleeper.returncode == 1, errors.decode()
    assert "lost the lock" in errors.decode() or "Nothing was published" in errors.decode()
    assert shown(lake) == after
    assert consistent(lake)


def test_a_reader_during_the_commit_of_a_run_sees_gold_that_adds_up_to_silver(
    shared_lake: Lake, source: MockApiServer
) -> None:
    run_jobs(shared_lake, settings_for(source), "wr_1")
    source.add(list(generate(ROWS + 5))[ROWS:])
    seen: list[bool | None] = []
    events = s3.client("glue").meta.events

    def look(**_: object) -> None:
        seen.append(consistent(shared_lake))

    run_jobs(shared_lake, settings_for(source), "wr_2", JOBS[:2])
    seen.append(consistent(shared_lake))
    events.register("before-call.glue.UpdateTable", look)
    try:
        run_job(shared_lake, settings_for(source), "aggregate", "wr_2")
    finally:
        events.unregister("before-call.glue.UpdateTable", look)
    assert seen == [True] * (1 + len(shown(shared_lake)))
    assert consistent(shared_lake)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["DuckDB on S3", "Spark"])
def test_gold_adds_up_to_silver_on_every_read_while_runs_go_on(
    request: pytest.FixtureRequest, tmp_path: Path, source: MockApiServer, small_spark: Mapping[str, str], kind: str
) -> None:
    lake: Lake = request.getfixturevalue("shared_lake") if kind != "Spark" else Lake(tmp_path / "lake")
    variables = dict(small_spark) if kind == "Spark" else {}
    records = list(generate(ROWS + 5))
    with repeating(
        partial(consistent, lake), pause_s=0.01 if kind != "Spark" else 0.2
    ) as seen:  # Spark needs the cores
        for number in range(2 if kind == "Spark" else 6):
            for job in JOBS:
                assert start(lake, source, job, f"wr_{number}", ("", ""), **variables) == 0
            if number % 2:
                source.remove([str(record["id"]) for record in records[ROWS:]])
            else:
                source.add(records[ROWS:])
    assert set(seen) <= {None, True}
    assert seen.count(True) > 10
