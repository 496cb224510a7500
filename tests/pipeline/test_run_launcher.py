"""Starting, retrying and stopping runs: real processes, against the stand-in."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.mock_api.server import MockApiServer

from brewhouse.errors import BrewhouseError, UsageError
from brewhouse.events.event import read_events
from brewhouse.events.run_reports import JobReport, RunReport, run_reports
from brewhouse.lake.lake import Lake
from brewhouse.lake.run_lock import holder, run_lock
from brewhouse.mock_api.dataset import generate
from brewhouse.pipeline.run_launcher import RunLauncher, retry_command
from brewhouse.settings import SecretUrl, Settings

SLOW = "slow_s=0.2"


def settings_for(source: MockApiServer, lake: Lake, **others: object) -> Settings:
    quick = {"concurrency": 1, "per_page_rows": 10, "extract_retry_wait_s": 0.0, "max_attempts": 1}
    return Settings(lake=str(lake.root), source_url=SecretUrl(source.url), **(quick | others))  # type: ignore[arg-type]


def report_of(lake: Lake, run: str) -> RunReport:
    held = holder(lake)
    reports = {report.run: report for report in run_reports(read_events(lake), held.run if held else None)}
    return reports.get(run) or RunReport(run=run, state="RUNNING", started_at="")


def ended(lake: Lake, run: str) -> RunReport:
    wait_for(lambda: holder(lake) is None)
    return report_of(lake, run)


def wait_for(condition: Callable[[], object]) -> None:
    ends = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < ends, "it did not come"
        time.sleep(0.02)


def test_a_run_is_started_and_retried_from_its_failed_job_once(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    (tmp_path / "gold").mkdir()
    mine = tmp_path / "gold" / "mine.sql"
    mine.write_text(BROKEN)
    with MockApiServer(generate(30)) as source:
        control = RunLauncher(lake, settings_for(source, lake, models=tmp_path))
        failed = ended(lake, control.start())
        assert [(job.name, job.state) for job in failed.jobs] == [
            ("extract", "SUCCEEDED"),
            ("transform", "SUCCEEDED"),
            ("aggregate", "FAILED"),
        ]
        assert "at least 1" in failed.error
        mine.write_text(BROKEN.replace("WHERE false", ""))
        again = ended(lake, control.retry(failed))
    assert (again.state, [job.name for job in again.jobs]) == ("SUCCEEDED", ["transform", "aggregate"])
    with pytest.raises(UsageError, match="nothing to retry"):
        control.retry(again)


BROKEN = """-- One row per brewery.
-- key: id
-- row count: at least 1
SELECT id FROM silver.breweries WHERE false
"""


def test_a_run_can_be_stopped_and_another_one_is_refused_meanwhile(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    with MockApiServer(generate(400), faults=[SLOW]) as source:
        control = RunLauncher(lake, settings_for(source, lake))
        run = control.start()
        with pytest.raises(BrewhouseError, match=run):
            control.start()
        with pytest.raises(BrewhouseError, match=run):
            RunLauncher(lake, settings_for(source, lake)).start()
        with pytest.raises(UsageError, match="is not running"):
            control.stop("another")
        wait_for(lambda: report_of(lake, run).jobs)
        control.stop(run)
        report = ended(lake, run)
    assert (report.state, report.error) == ("STOPPED", "Stopped by Ctrl-C or SIGTERM.")


def test_a_run_outlives_the_process_that_started_it(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    start = (
        "import sys; from brewhouse.pipeline.run_launcher import RunLauncher; from brewhouse.lake.lake import Lake; "
        "from brewhouse.settings import load; from pathlib import Path; "
        "print(RunLauncher(Lake(Path(sys.argv[1])), load({})).start())"
    )
    with MockApiServer(generate(60), faults=[SLOW]) as source:
        variables = {"BREWHOUSE_SOURCE_URL": source.url, "BREWHOUSE_PER_PAGE_ROWS": "20", "BREWHOUSE_CONCURRENCY": "1"}
        run = subprocess.run(
            [sys.executable, "-c", start, str(lake.root)],
            env={**os.environ, **variables},
            check=True,
            capture_output=True,
        ).stdout.decode()
        assert holder(lake) is not None
        assert ended(lake, run.strip()).state == "SUCCEEDED"


def test_a_run_that_cannot_start_is_an_error_with_the_reason(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    control = RunLauncher(lake, Settings(models=tmp_path / "none"))
    with pytest.raises(BrewhouseError, match="none"):
        control.start()
    assert holder(lake) is None


def test_a_run_on_another_host_is_stopped_only_there(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    with run_lock(lake, "R1"):
        lake.lock_file.write_text('{"run":"R1","started_at":"2026-08-02T00:00:00+00:00","pid":1}')
        with pytest.raises(UsageError, match=r"another machine or container \(process 1\)"):
            RunLauncher(lake, Settings()).stop("R1")
        lake.lock_file.write_text(
            '{"run":"R1","started_at":"2026-08-02T00:00:00+00:00","pid":1,"host":"brewery.example"}'
        )
        with pytest.raises(UsageError, match=r"brewery\.example \(process 1\)"):
            RunLauncher(lake, Settings()).stop("R1")


@pytest.mark.parametrize(
    ("planned", "done", "command"),
    [
        (["extract", "transform", "aggregate"], [], ("run",)),
        (["extract", "transform", "aggregate"], ["extract"], ("run", "--snapshot", "S1")),
        (["extract", "transform", "aggregate"], ["extract", "transform"], ("run", "--snapshot", "S1")),
        (["transform", "aggregate"], ["transform"], ("run", "--snapshot", "S1")),
        (["aggregate"], [], ("aggregate",)),
        (["extract"], [], ("extract",)),
        ([], [], ("run",)),
    ],
)
def test_a_retry_runs_the_remaining_jobs(planned: list[str], done: list[str], command: tuple[str, ...]) -> None:
    jobs = [JobReport(name=name, state="SUCCEEDED", started_at="") for name in done]
    report = RunReport(run="R", state="FAILED", started_at="", workflow="breweries", planned=planned, jobs=jobs)
    assert retry_command(report, "S1") == command


def test_a_backfill_cannot_be_retried_here() -> None:
    with pytest.raises(UsageError, match="backfill"):
        retry_command(RunReport(run="R", state="FAILED", started_at="", workflow="backfill"), None)
    assert retry_command(RunReport(run="R", state="FAILED", started_at="", workflow="rebuild"), None) == ("rebuild",)
