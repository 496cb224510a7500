"""Failures are recorded as events and reported once, to a real mail server and a real web server."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import duckdb
import pytest
from tests.mock_api.server import MockApiServer

from brewhouse.errors import BrewhouseError, ChecksFailed
from brewhouse.events.alerts import pending_notifications
from brewhouse.events.details import Detail, RunEnded, Warned
from brewhouse.events.envelope import ALERT_FAILED, ALERT_SENT, Event
from brewhouse.events.event import read_events
from brewhouse.events.notifications import notify
from brewhouse.events.run_log import read_log
from brewhouse.events.run_reports import run_reports
from brewhouse.iceberg.tables import Tables
from brewhouse.lake.lake import Lake
from brewhouse.mock_api.dataset import generate
from brewhouse.pipeline.interrupted_runs import close_killed_runs
from brewhouse.pipeline.rebuild import run_rebuild
from brewhouse.pipeline.rollback import run_rollback
from brewhouse.pipeline.run_context import JobResult, RunContext
from brewhouse.pipeline.runner import run_jobs
from brewhouse.pipeline.workflow import JOBS, run_workflow
from brewhouse.query.connection import connect
from brewhouse.settings import AlertSettings, Settings, load

if TYPE_CHECKING:
    from tests.conftest import Inbox, Receiver

ROWS = 300
STOP_ERRORS = {signal.SIGINT: KeyboardInterrupt, signal.SIGTERM: SystemExit}


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


@pytest.fixture
def source() -> Iterator[MockApiServer]:
    with MockApiServer(generate(ROWS)) as server:
        yield server


class NotifiedRuns:
    """Runs a workflow whose alerts go to a mail server and a web server."""

    def __init__(self, lake: Lake, inbox: Inbox, receiver: Receiver) -> None:
        self.lake = lake
        self.inbox = inbox
        self.receiver = receiver
        self.hook = receiver.url.replace("http", "json") + "/hook"
        self.alerts = {"urls": [inbox.url, self.hook], "ping_url": f"{receiver.url}/ping"}

    def settings(self, url: str) -> Settings:
        quick = {"retry_initial_wait_s": 0.0, "extract_retry_wait_s": 0.0, "max_attempts": 2}
        return load({"source_url": url, **quick, "alerts": self.alerts}, environ={})

    def run(self, url: str, jobs: Sequence[str] = JOBS) -> str:
        return run_workflow(self.lake, self.settings(url), jobs)

    @property
    def hooked(self) -> list[str]:
        return [json.loads(body)["title"] for path, body in self.receiver.requests if path == "/hook"]

    @property
    def pings(self) -> list[str]:
        return [path for path, _ in self.receiver.requests if path.startswith("/ping")]

    def archived(self, sql: str) -> list[tuple[Any, ...]]:
        with closing(connect(self.lake)) as connection:
            return connection.execute(sql).fetchall()


@pytest.fixture
def runs(lake: Lake, inbox: Inbox, receiver: Receiver) -> NotifiedRuns:
    return NotifiedRuns(lake, inbox, receiver)


def test_an_unavailable_source_and_its_recovery_are_reported_once(runs: NotifiedRuns, source: MockApiServer) -> None:
    for _ in range(2):
        with pytest.raises(BrewhouseError, match="ClientConnectorError"):
            runs.run("http://127.0.0.1:1/v1")
    failed = run_reports(read_events(runs.lake))[0]
    assert runs.inbox.subjects == runs.hooked == ["Brewhouse: extract failed"]
    text = runs.inbox.text(0)
    assert "ClientConnectorError" in text
    assert f"brewhouse show {failed.run} --lake {runs.lake.root}" in text
    assert f"brewhouse logs {failed.run} --lake {runs.lake.root}" in text
    states = runs.archived("SELECT state, error LIKE '%ClientConnectorError%' FROM monitoring.runs ORDER BY run")
    assert states == [("FAILED", True)] * 2

    for _ in range(2):
        runs.run(source.url)
    assert runs.inbox.subjects == runs.hooked
    assert runs.inbox.subjects[1:] == ["Brewhouse: the breweries workflow has recovered"]
    assert "2 runs" in runs.inbox.text(1)
    assert runs.pings == ["/ping/start", "/ping/fail"] * 2 + ["/ping/start", "/ping"] * 2


def test_drift_that_fails_a_run_is_recorded(runs: NotifiedRuns) -> None:
    renamed = [{"title" if key == "name" else key: value for key, value in row.items()} for row in generate(ROWS)]
    with (
        MockApiServer(renamed, faults=["meta_group=by_type:micro:+3"]) as broken,
        pytest.raises(BrewhouseError, match="micro"),
    ):
        runs.run(broken.url, ("extract",))
    assert runs.inbox.subjects == ["Brewhouse: extract failed"]
    drift = {
        (row[0], row[1])
        for row in runs.archived(
            "SELECT detail ->> 'name', detail ->> 'detail' FROM monitoring.events "
            "WHERE detail_type = 'Brewhouse Schema Drift' AND level = 'WARN'"
        )
    }
    assert {("missing_field", "name"), ("unknown_field", "title")} <= drift


def test_a_failed_check_and_its_recovery_are_reported_once(runs: NotifiedRuns, source: MockApiServer) -> None:
    runs.run(source.url)
    gone = list(generate(ROWS))[:150]
    source.remove([str(record["id"]) for record in gone])
    for _ in range(2):
        with pytest.raises(ChecksFailed):
            runs.run(source.url)
    assert runs.inbox.subjects == runs.hooked == ["Brewhouse: checks of transform failed"]
    assert "150 violations" in runs.inbox.text(0)
    failed = runs.archived("SELECT DISTINCT name, found FROM monitoring.checks WHERE NOT passed AND severity = 'error'")
    assert failed == [("the number of breweries fell by at most 20 %", 150)]
    source.add(gone)
    runs.run(source.url)
    assert runs.inbox.subjects[1:] == ["Brewhouse: the breweries workflow has recovered"]


def killed_run(lake: Lake, url: str, number: int = signal.SIGKILL) -> None:
    """Start a run, and send it a signal while it waits for the source."""
    command = [sys.executable, "-m", "brewhouse", "run", "--lake", str(lake.root), "--source-url", url]
    process = subprocess.Popen(
        [*command, "--concurrency", "1"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ
    )
    while not any(b"of" in line and b"pages" in line for line in log_lines(lake)):
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.01)
    process.send_signal(number)
    process.communicate(timeout=30)


def log_lines(lake: Lake) -> list[bytes]:
    return [line for file in lake.logs.glob("*/*.jsonl") for line in file.read_bytes().splitlines()]


@contextmanager
def slow_source() -> Iterator[str]:
    with MockApiServer(generate(ROWS * 3), faults=["slow_s=0.2"]) as source:
        yield source.url


def test_a_killed_run_is_reported_once_and_keeps_its_log(runs: NotifiedRuns, source: MockApiServer) -> None:
    with slow_source() as url:
        killed_run(runs.lake, url)
    assert runs.inbox.mails == []
    assert run_reports(read_events(runs.lake))[0].state == "INTERRUPTED"
    for _ in range(2):
        close_killed_runs(runs.lake)
        notify(runs.lake, runs.settings(source.url).alerts)
    assert runs.inbox.subjects == runs.hooked == ["Brewhouse: extract failed"]
    assert "the process was killed" in runs.inbox.text(0)
    (report,) = run_reports(read_events(runs.lake))
    assert (report.state, report.jobs[0].state) == ("FAILED", "FAILED")
    assert runs.archived("SELECT state FROM monitoring.runs") == [("FAILED",)]
    assert "extract starts" in [line.message for line in read_log(runs.lake, report.run, "extract")]
    runs.run(source.url)
    assert runs.inbox.subjects[1:] == ["Brewhouse: the breweries workflow has recovered"]


def test_the_next_run_reports_a_killed_one(runs: NotifiedRuns) -> None:
    with slow_source() as url:
        killed_run(runs.lake, url)
    with pytest.raises(BrewhouseError):
        runs.run("http://127.0.0.1:1/v1")
    assert runs.inbox.subjects == ["Brewhouse: extract failed"]
    assert "the process was killed" in runs.inbox.text(0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_run_is_recorded_without_a_notification(runs: NotifiedRuns, number: int) -> None:
    with slow_source() as url:
        killed_run(runs.lake, url, number)
    (report,) = run_reports(read_events(runs.lake))
    assert (report.state, report.jobs[0].state) == ("STOPPED", "STOPPED")
    close_killed_runs(runs.lake)
    assert notify(runs.lake, runs.settings(url).alerts) == []


def test_unreachable_receivers_fail_no_run_and_are_notified_later(
    runs: NotifiedRuns, inbox: Inbox, capsys: pytest.CaptureFixture[str]
) -> None:
    runs.alerts = {"urls": ["json://127.0.0.1:1/s3cret"], "ping_url": "http://127.0.0.1:1/s3cret"}
    with pytest.raises(BrewhouseError, match="ClientConnectorError"):
        runs.run("http://127.0.0.1:1/v1")
    kinds = [event.detail_type for event in read_events(runs.lake)]
    assert (kinds.count(ALERT_FAILED), kinds.count(ALERT_SENT)) == (3, 0)
    written = b"".join(file.read_bytes() for file in runs.lake.root.rglob("*.json*")).decode()
    assert "s3cret" not in written + capsys.readouterr().err
    alerts = AlertSettings(urls=runs.settings("http://x").alerts.urls)
    assert [bool(outcome.error) for outcome in notify(runs.lake, alerts)] == [True]
    runs.alerts = {"urls": [inbox.url]}
    assert [outcome.error for outcome in notify(runs.lake, runs.settings("http://x").alerts)] == [""]
    assert inbox.subjects == ["Brewhouse: extract failed"]


def test_quiet_hours_delay_what_still_holds_afterwards(runs: NotifiedRuns, inbox: Inbox) -> None:
    runs.alerts = {"urls": [inbox.url], "quiet_hours": "00:00-23:59"}
    with pytest.raises(BrewhouseError):
        runs.run("http://127.0.0.1:1/v1")
    assert inbox.mails == []
    runs.alerts = {"urls": [inbox.url]}
    notify(runs.lake, runs.settings("http://x").alerts)
    assert inbox.subjects == ["Brewhouse: extract failed"]


def test_retries_and_refusals_of_the_source_are_in_the_log(runs: NotifiedRuns) -> None:
    with pytest.raises(BrewhouseError):
        runs.run("http://127.0.0.1:1/v1")
    run = run_reports(read_events(runs.lake))[0].run
    warnings = [line.message for line in read_log(runs.lake, run, "extract") if line.level == "WARN"]
    assert [message[:14] for message in warnings] == ["attempt 1 of 2", "attempt 2 of 2"]


def test_a_failure_that_cannot_be_recorded_is_raised(lake: Lake) -> None:
    def fail(*_: object) -> NoReturn:
        shutil.rmtree(lake.root / "events")
        (lake.root / "events").write_bytes(b"")
        raise BrewhouseError("No page could be written.")

    with pytest.raises(BrewhouseError, match="No page could be written"):
        run_jobs(lake, Settings(), "extract", {"extract": fail})


def test_only_the_first_signal_interrupts_a_run_and_the_handlers_are_restored(lake: Lake) -> None:
    steps: list[str] = []
    before = [signal.getsignal(number) for number in STOP_ERRORS]

    def stopped(*_: object) -> NoReturn:
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            steps.append("first")
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGINT)
            steps.append("cleaned up")
        raise AssertionError

    with pytest.raises(SystemExit) as end:
        run_jobs(lake, Settings(), "extract", {"extract": stopped})
    assert end.value.code == 143
    assert steps == ["first", "cleaned up"]
    assert [signal.getsignal(number) for number in STOP_ERRORS] == before


def sql(context: RunContext) -> None:
    """Be stopped within a query of DuckDB, which may replace the exception by its own or lose it."""
    number = signal.Signals[context.job]

    def send(value: int) -> int:
        os.kill(os.getpid(), number)
        return value

    with closing(duckdb.connect()) as connection:
        connection.create_function("send", send, ["BIGINT"], "BIGINT")
        connection.execute("SELECT max(send(range)) FROM range(100_000)")
    context.emit_model("silver.breweries")


def replaced(context: RunContext) -> None:
    with suppress(BaseException):
        signal.raise_signal(signal.Signals[context.job])
    raise RuntimeError("Query interrupted")


def lost(context: RunContext) -> None:
    with suppress(BaseException):
        signal.raise_signal(signal.Signals[context.job])
    context.emit_model("silver.breweries")


@pytest.mark.parametrize("number", STOP_ERRORS)
@pytest.mark.parametrize("interrupted", [sql, replaced, lost])
def test_a_signal_stops_the_run_and_notifies_nobody_whatever_becomes_of_its_exception(
    lake: Lake, interrupted: Callable[[RunContext], None], number: signal.Signals
) -> None:
    def job(context: RunContext) -> NoReturn:
        interrupted(context)
        raise AssertionError

    with pytest.raises(STOP_ERRORS[number]):
        run_jobs(lake, Settings(), "extract", {signal.Signals(number).name: job})
    (report,) = run_reports(read_events(lake))
    assert [report.state, *(job.state for job in report.jobs)] == ["STOPPED", "STOPPED"]
    assert pending_notifications(read_events(lake), now=datetime.now(UTC), kinds=("failed", "recovered")) == []


@pytest.mark.parametrize("fails", [True, False])
def test_a_signal_while_the_end_is_recorded_does_not_change_it(lake: Lake, fails: bool) -> None:
    def job(_: RunContext) -> JobResult:
        if fails:
            raise BrewhouseError("No page could be written.")
        return JobResult("done")

    def interrupt(detail: Detail, _: Event) -> None:
        if isinstance(detail, RunEnded):
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(BrewhouseError) if fails else nullcontext():
        run_jobs(lake, Settings(), "extract", {"extract": job}, listeners=[interrupt])
    (report,) = run_reports(read_events(lake))
    assert report.state == ("FAILED" if fails else "SUCCEEDED")


def test_a_signal_after_the_commit_does_not_stop_a_run_that_has_published(lake: Lake, source: MockApiServer) -> None:
    states: list[str] = []
    lake.views_file.mkdir(parents=True)  # so that a warning follows each commit

    def interrupt(detail: Detail, _: Event) -> None:
        if isinstance(detail, Warned):
            states.append(detail.message[-40:])
            signal.raise_signal(signal.SIGTERM)

    settings = load({"source_url": source.url}, environ={})
    run = run_workflow(lake, settings, listeners=[interrupt])
    assert {state.run for name in Tables(lake).names() if (state := Tables(lake).current(name))} == {run}
    run_rebuild(lake, settings, listeners=[interrupt])
    run_rollback(lake, settings, run, listeners=[interrupt])
    assert len(states) == 3
    assert [report.state for report in run_reports(read_events(lake))] == ["SUCCEEDED"] * 3
    assert all(report.published for report in run_reports(read_events(lake)))


def test_signals_that_are_ignored_stay_ignored(lake: Lake) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        run_jobs(lake, Settings(), "extract", {"extract": lambda _: JobResult(str(signal.getsignal(signal.SIGINT)))})
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
    (report,) = run_reports(read_events(lake))
    assert report.jobs[0].message == str(signal.SIG_IGN)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["duckdb", "spark"])
def test_a_run_that_is_stopped_at_any_moment_is_stopped_or_done_and_notifies_nobody(
    tmp_path: Path, receiver: Receiver, engine: str, small_spark: dict[str, str]
) -> None:
    variables = {
        **os.environ,
        **small_spark,
        "BREWHOUSE_ALERTS_URLS": receiver.url.replace("http", "json"),
        "BREWHOUSE_ENGINE": engine,
        "BREWHOUSE_SPARK_MASTER": "local[2]",
    }
    states: list[tuple[str, int]] = []
    with MockApiServer(generate(3000)) as api:
        arguments = [sys.executable, "-m", "brewhouse", "run", "--source-url", api.url, "--lake"]
        started = time.monotonic()
        subprocess.run([*arguments, str(tmp_path / "whole")], check=True, env=variables, capture_output=True)
        duration = time.monotonic() - started
        for attempt in range(50 if engine == "duckdb" else 8):
            number = (signal.SIGINT, signal.SIGTERM)[attempt % 2]
            lake = Lake(tmp_path / f"lake-{attempt}")
            command = [*arguments, str(lake.root)]
            with subprocess.Popen(command, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
                assert process.stderr is not None
                process.stderr.readline()  # extract has started
                time.sleep(duration * attempt / (80 if engine == "duckdb" else 10))
                process.send_signal(number)
                errors = process.stderr.read().decode()
            (report,) = run_reports(read_events(lake))
            states.append((report.state, process.returncode))
            ended = {("SUCCEEDED", code) for code in (0, -number, 128 + number)}  # then a signal ends the process only
            assert states[-1] in {("STOPPED", 128 + number), *ended}, (attempt, report.error, errors)
    assert ("STOPPED", 130) in states
    assert ("STOPPED", 143) in states
    assert receiver.requests == []
