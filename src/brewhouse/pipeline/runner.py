"""Running jobs as one run: locked, logged, every step told as an event, and people told what they should know."""

from __future__ import annotations

import logging
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Protocol, TypeAlias

import msgspec

from brewhouse.checks.check import Check
from brewhouse.errors import BrewhouseError
from brewhouse.events.alerts import WORKFLOW
from brewhouse.events.event import LEVELS, EventLog
from brewhouse.events.event_archive import archive_events
from brewhouse.events.event_types import CHECK, DRIFT, JOB, PUBLISHED, RUN
from brewhouse.events.notifications import HeartbeatPinger, notify, warn_of_missing_parts
from brewhouse.events.run_log import run_log
from brewhouse.events.run_reports import ENDED, RunReport, close_interrupted_runs, run_of
from brewhouse.ids import new_id
from brewhouse.lake.error_translation import translated_errors
from brewhouse.lake.lake import Lake
from brewhouse.lake.run_lock import run_lock
from brewhouse.pipeline.openlineage import lineage_of
from brewhouse.pipeline.publishing import JobResult
from brewhouse.settings import Settings
from brewhouse.source import SchemaDrift

_LINES_PER_DOWNLOAD = 10
_DAYS_ARCHIVED = 7

_log = logging.getLogger(__name__)


class Progress(Protocol):
    """Shows how a run gets on."""

    def job_started(self, name: str) -> None:
        """A job begins."""

    def pages(self, done: int, total: int) -> None:
        """So many pages of so many are there."""

    def model(self, name: str) -> None:
        """A model's SQL begins to run."""

    def snapshots(self, done: int, total: int) -> None:
        """So many raw snapshots of so many are done."""

    def job_ended(self, name: str, message: str, seconds: float) -> None:
        """A job is done."""


class SilentProgress:
    """Shows nothing."""

    def job_started(self, name: str) -> None:
        """See `Progress`."""

    def pages(self, done: int, total: int) -> None:
        """See `Progress`."""

    def model(self, name: str) -> None:
        """See `Progress`."""

    def snapshots(self, done: int, total: int) -> None:
        """See `Progress`."""

    def job_ended(self, name: str, message: str, seconds: float) -> None:
        """See `Progress`."""


Job: TypeAlias = Callable[[EventLog, Progress], JobResult]
"""Does its work, tells what happens on the way, and what came of it."""


@dataclass(frozen=True)
class ExternalRun:
    """What is done here of a run whose jobs another scheduler starts one by one, as the workflow of AWS Glue does.

    Attributes:
        workflow_run: Id of the whole at that scheduler.
        job_run: Id of this job's run there.
        jobs: All jobs of the whole, in order.
        retries: How often the scheduler starts a job again that failed.
    """

    workflow_run: str
    job_run: str
    jobs: tuple[str, ...]
    retries: int = 0


def run_jobs(
    lake: Lake,
    settings: Settings,
    workflow: str,
    jobs: Mapping[str, Job],
    *,
    progress: Progress | None = None,
    while_waiting: Callable[[], None] | None = None,
    part: ExternalRun | None = None,
) -> str:
    """Run jobs as one run, or as a part of one, each told as events, and tell people what they should know.

    Args:
        lake: The lake to run on; it is locked meanwhile.
        settings: Who is told, and how the log is shown.
        workflow: What this is a run of.
        jobs: By name, in order.
        progress: Shows how they get on.
        while_waiting: Done by a thread beside the first job.
        part: Which part of a run this is; None is all of it.

    Returns:
        The run id; all parts of a run have the same.

    Raises:
        ModelError: The user's models cannot be run; nothing was begun.
        BrewhouseError: Another run is going, or a job failed; the event log says so too.
    """
    earlier = _earlier(lake, part)
    run = earlier.run if earlier else new_id()
    with run_lock(lake, run) as before, _terminable(), ExitStack() as on_exit:
        if while_waiting is not None:
            threading.Thread(target=while_waiting, daemon=True).start()
        if before is not None:
            with _beside("The end of an earlier run could not be written"):
                close_interrupted_runs(lake, run, date.fromisoformat(before.started_at[:10]))
        telling = on_exit.enter_context(run_log(lake, run, to_stderr=settings.log_format == "json"))
        lineage = lineage_of(lake, settings, workflow)
        facts = {"workflowRunId": part.workflow_run} if part else {}
        log = EventLog(lake, run, [lineage.tell] if lineage else [], facts)
        pinger = HeartbeatPinger(lake, settings.alerts.ping_url if workflow == WORKFLOW else None, run)
        on_exit.callback(_archive, lake)
        if lineage:
            on_exit.callback(lineage.close)

        every = part.jobs if part else tuple(jobs)
        this = {"jobName": workflow, "jobRunId": run, "workflow": workflow, "jobs": list(every)}
        warn_of_missing_parts(settings.alerts)
        if earlier is None or earlier.state in ENDED:
            log.write(RUN, {**this, "message": f"run {run} of the {workflow} workflow starts: {', '.join(every)}"})
            pinger.started()
            for name in every:
                log.write(JOB, {"jobName": name, "state": "WAITING"})
        started = time.monotonic() - (_age_s(earlier) if earlier else 0)
        ended: dict[str, Any] | None = None
        try:
            for name, work in jobs.items():
                telling.job = name
                _run_job(name, work, log, LoggedProgress(progress or SilentProgress()), part.job_run if part else "")
            if name == every[-1]:
                ended = {"state": "SUCCEEDED", "message": f"run {run} succeeded", "seconds": _since(started)}
        except BaseException as error:
            end = _end_of(error, started)
            ended = None if part and _is_tried_again(part, name, end, earlier) else end
            raise
        finally:
            telling.job = ""
            if ended:
                with nullcontext() if ended["state"] == "SUCCEEDED" else _unless_it_cannot():
                    log.write(RUN, {**this, **ended})
                _tell_people(lake, settings, pinger, ended)
    return run


def _earlier(lake: Lake, part: ExternalRun | None) -> RunReport | None:
    """Find what other parts of a run did already; a workflow may begin before midnight, and not take two days."""
    return run_of(lake, part.workflow_run, datetime.now(UTC).date() - timedelta(days=2)) if part else None


def _age_s(report: RunReport) -> float:
    return (datetime.now(UTC) - datetime.fromisoformat(report.started_at)).total_seconds()


def _is_tried_again(part: ExternalRun, job: str, end: Mapping[str, Any], earlier: RunReport | None) -> bool:
    """Say whether the scheduler starts a job again that ended: what failed, as often as it may."""
    attempts = sum(before.name == job for before in earlier.jobs) if earlier else 0
    return end["state"] == "FAILED" and attempts < part.retries


def _tell_people(lake: Lake, settings: Settings, pinger: HeartbeatPinger, end: Mapping[str, Any]) -> None:
    with _beside("Nobody could be told"):
        pinger.ended(end["state"], end["message"])
        notify(lake, settings.alerts)


def _archive(lake: Lake) -> None:
    with _beside("The events of past days could not be put together"):
        archive_events(lake, most_days=_DAYS_ARCHIVED)


@contextmanager
def _beside(what: str) -> Iterator[None]:
    """Do what must not fail a run; what goes wrong is said and logged."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - whatever it is
        print(f"brewhouse: {what}: {_words(error)}", file=sys.stderr)
        _log.warning("%s: %s", what, _words(error), exc_info=error)


@contextmanager
def _unless_it_cannot() -> Iterator[None]:
    """Write down a failure, if it can be: on a full disk not even that, and what failed must not be hidden by it."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - whatever it is
        _log.warning("the end could not be written: %s", _words(error))


def _run_job(name: str, work: Job, log: EventLog, progress: Progress, job_run: str = "") -> None:
    """Run one job and tell what it did, in events shaped as AWS Glue's.

    Args:
        name: Of the job.
        work: What it does.
        log: Gets the events.
        progress: Shows how it gets on.
        job_run: Its id at the scheduler that started it; empty when none did.
    """
    this = {"jobName": name, **({"jobRunId": job_run} if job_run else {})}
    log.write(JOB, {**this, "message": f"{name} starts"})
    progress.job_started(name)
    started = time.monotonic()
    try:
        with translated_errors():
            result = work(log, progress)
    except BaseException as error:
        if not isinstance(error, BrewhouseError):
            _log.error("%s stops", name, exc_info=error)
        with _unless_it_cannot():
            log.write(JOB, {**this, **_end_of(error, started)})
        raise
    if result.published:
        tables = ", ".join(str(table["table"]) for table in result.published)
        log.write(PUBLISHED, {"jobName": name, "tables": result.published, "message": f"published {tables}"})
    succeeded = {"state": "SUCCEEDED", "message": result.message, "seconds": _since(started)}
    log.write(JOB, {**this, **succeeded, "counts": result.counts})
    progress.job_ended(name, result.message, _since(started))


def _end_of(error: BaseException, started: float) -> dict[str, Any]:
    """Tell how a run or a job ended that did not succeed."""
    is_stopped = isinstance(error, KeyboardInterrupt | SystemExit)
    return {
        "state": "STOPPED" if is_stopped else "FAILED",
        "severity": "WARN" if is_stopped else "ERROR",
        "message": "It was stopped (Ctrl-C or SIGTERM)." if is_stopped else _words(error),
        "errorType": type(error).__name__,
        "seconds": _since(started),
    }


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM end a run as Ctrl-C does, with its words; elsewhere than in the main thread it stays as it is."""

    def stop(number: int, _frame: object) -> None:
        signal.signal(number, signal.SIG_IGN)  # timeout(1) sends it twice, and the end is being written down
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class LoggedProgress:
    """Passes on how a run gets on, and keeps some of it in the log.

    Args:
        shown: Where it is shown.
    """

    def __init__(self, shown: Progress) -> None:
        self._shown = shown
        self.job_started = shown.job_started
        self.job_ended = shown.job_ended

    def pages(self, done: int, total: int) -> None:
        """See `Progress`."""
        self._shown.pages(done, total)
        if _is_told(done, total):
            _log.info("%d of %d pages", done, total)

    def model(self, name: str) -> None:
        """See `Progress`."""
        self._shown.model(name)
        _log.info("model %s", name)

    def snapshots(self, done: int, total: int) -> None:
        """See `Progress`."""
        self._shown.snapshots(done, total)
        if _is_told(done, total):
            _log.info("%d of %d snapshots", done, total)


def _is_told(done: int, total: int) -> bool:
    return done == total or done % max(total // _LINES_PER_DOWNLOAD, 1) == 0


def check_reporter(log: EventLog, job: str) -> Callable[[list[Check]], None]:
    """Make a function that tells what checks found, as an event of a job."""

    def record(checks: list[Check]) -> None:
        facts = [{**msgspec.to_builtins(check), "passed": check.passed} for check in checks]
        found = [check for check in checks if not check.passed]
        levels = ("ERROR" if check.severity == "error" else "WARN" for check in found)
        severity = max(levels, default="INFO", key=LEVELS.index)
        said = f"{len(checks) - len(found)} checks passed, {len(found)} found something"
        named = "; ".join(f"{check.table}: {check.name} ({check.violations} found)" for check in found)
        message = f"{said}: {named}" if named else said
        log.write(CHECK, {"jobName": job, "severity": severity, "message": message, "checks": facts})

    return record


def emit_drift(log: EventLog, job: str, drift: Sequence[SchemaDrift]) -> None:
    """Tell what the source sent that its contract does not say, an event each."""
    for found in drift:
        message = f"drift: {found.name}: {found.detail} ({found.count} times, for example {found.example})"
        log.write(DRIFT, {"jobName": job, "severity": "WARN", "message": message, **msgspec.to_builtins(found)})


def _words(error: BaseException) -> str:
    return str(error) if isinstance(error, BrewhouseError) else f"{type(error).__name__}: {error}"


def _since(started: float) -> float:
    return round(time.monotonic() - started, 3)
