"""Runs jobs as one run: locked and logged, each step an event, and every output of events a listener."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeAlias

from msgspec import UNSET

from brewhouse.errors import BrewhouseError, redacted
from brewhouse.events import details
from brewhouse.events.alerts import WORKFLOW
from brewhouse.events.envelope import Event
from brewhouse.events.event import EventLog, EventReader, Listener, archive_events, event_days
from brewhouse.events.run_log import run_log
from brewhouse.events.run_reports import ENDED, RunReport, run_reports
from brewhouse.lake.lake import Lake
from brewhouse.lake.run_lock import new_run_id, run_lock
from brewhouse.pipeline.interrupted_runs import close_interrupted_runs
from brewhouse.pipeline.run_context import JobResult, RunContext
from brewhouse.settings import Settings, is_lineage_configured

_DAYS_ARCHIVED = 7
_STEPS = (
    details.JobStarted,
    details.PagesFetched,
    details.SnapshotsProcessed,
    details.ModelStarted,
    details.ChecksFinished,
)

_log = logging.getLogger(__name__)

Job: TypeAlias = Callable[[RunContext], JobResult]
"""Runs the job, emits events, returns its result."""


@dataclass(frozen=True)
class ExternalRun:
    """The part of a run that an external scheduler started, such as a workflow of AWS Glue, job by job.

    The ids of runs are the scheduler's, and `jobs` are all of the whole run.

    Attributes:
        retries: How often the scheduler restarts a failed job.
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
    listeners: Sequence[Listener] = (),
    external: ExternalRun | None = None,
) -> str:
    """Run jobs, by name and in order, as one run or as a part of an external one; return the id that all parts share.

    Raises:
        BrewhouseError: Another run holds the lake, or a job failed; its event says why.
    """
    reader = EventReader(lake)
    earlier, new_run = _earlier(reader, external), new_run_id(lake)
    run = earlier.run if earlier else new_run
    with _signals_raise() as signals, run_lock(lake, run) as previous, ExitStack() as on_exit:
        if previous is not None:
            with _guarded("Failed to record the end of an interrupted run"):
                since = date.fromisoformat(previous.started_at[:10])
                close_interrupted_runs(lake, reader.read(since, previous.run), run)
        log = on_exit.enter_context(run_log(lake, run, to_stderr=settings.log_format == "json"))
        on_exit.callback(_archive, lake)
        outputs = _outputs(lake, settings, workflow, run, reader, on_exit)
        facts = {"workflowRunId": external.workflow_run} if external else {}
        events = EventLog(lake, run, [_stop_listener(signals), log.listen, *listeners, *outputs], facts)
        on_exit.callback(_guarded("Failed to write the events to the disk")(events.sync))
        context = RunContext(lake, settings, events, tuple(jobs), external.jobs if external else ())
        context.signals = signals
        on_exit.callback(context.close)
        if earlier:
            context.raw_snapshot = next((job.raw_snapshot for job in earlier.jobs[::-1] if job.raw_snapshot), "")
        _Run(context, workflow, external, earlier).execute(jobs, previous.run if previous else "")
    return run


class _Run:
    """One run, or a part of an external one, from its first event to its last."""

    def __init__(
        self, context: RunContext, workflow: str, external: ExternalRun | None, earlier: RunReport | None
    ) -> None:
        self._context = context
        self._events = context.events
        self._external = external
        self._earlier = earlier
        self._identity: dict[str, Any] = {
            "job_name": workflow,
            "job_run_id": context.run,
            "workflow": workflow,
            "jobs": list(context.planned),
        }
        age = datetime.now(UTC) - datetime.fromisoformat(earlier.started_at) if earlier else timedelta()
        self._started = time.monotonic() - age.total_seconds()

    def execute(self, jobs: Mapping[str, Job], last_run: str) -> None:
        with self._failure_recorded(details.RunEnded, self._identity, self._started):
            self._start()
            self._context.check_clock(last_run, "last run")
            for name, job in jobs.items():
                self._run_job(name, job)
        if self._context.job == self._context.planned[-1]:
            self._context.ignore_stops()
            message = f"run {self._events.run} succeeded"
            seconds = _since(self._started)
            self._events.emit(details.RunEnded(**self._identity, state="SUCCEEDED", message=message, seconds=seconds))

    def _start(self) -> None:
        if self._earlier is not None and self._earlier.state not in ENDED:
            return
        workflow, names = self._identity["workflow"], ", ".join(self._context.planned)
        message = f"run {self._events.run} of the {workflow} workflow starts: {names}"
        trigger = "glue" if self._external else os.environ.get(details.TRIGGER_VARIABLE, "cli")
        self._events.emit(details.RunStarted(**self._identity, trigger=trigger, message=message))
        for name in self._context.planned:
            self._events.emit(details.JobQueued(job_name=name))

    def _run_job(self, name: str, job: Job) -> None:
        """Run one job; its events have the shape of AWS Glue's."""
        identity: dict[str, Any] = {"job_name": name, "job_run_id": self._external.job_run if self._external else ""}
        self._events.emit(details.JobStarted(**identity, message=f"{name} starts"))
        started = time.monotonic()
        with self._failure_recorded(details.JobEnded, identity, started), self._context.running(name) as context:
            result = job(context)
        if result.published:
            message = f"published {', '.join(str(table['table']) for table in result.published)}"
            self._events.emit(details.TablesPublished(job_name=name, tables=result.published, message=message))
        self._events.emit(
            details.JobEnded(
                **identity,
                state="SUCCEEDED",
                message=result.message,
                seconds=_since(started),
                counts=result.counts,
                raw_snapshot=result.raw_snapshot or UNSET,
                expired_runs=result.expired_runs or UNSET,
            )
        )

    @contextmanager
    def _failure_recorded(
        self, end: type[details.RunEnded | details.JobEnded], identity: Mapping[str, Any], started: float
    ) -> Iterator[None]:
        """Emit the end of a run or a job that does not succeed, and raise a readable error."""
        try:
            yield
        except BaseException as raw:
            # A library may have replaced the exception of a signal by its own.
            number = self._context.signals[0] if self._context.signals else 0
            error = _stop(number) if number and not _is_stop(raw) else _translated(raw)
            is_job = end is details.JobEnded
            if is_job and not (isinstance(error, BrewhouseError) or _is_stop(error)):
                _log.error("%s stops", identity["job_name"], exc_info=error)
            if is_job or not self._will_be_retried(error):
                self._emit_failure(end(**identity, **_failure(error, started)))
            if error is raw:
                raise
            raise error from raw

    def _will_be_retried(self, error: BaseException) -> bool:
        """Return whether the external scheduler restarts the failed job, so that the run continues."""
        if self._external is None or _is_stop(error):
            return False
        attempts = sum(before.name == self._context.job for before in self._earlier.jobs) if self._earlier else 0
        return attempts < self._external.retries

    def _emit_failure(self, detail: details.Detail) -> None:
        """Emit the end of what failed, if possible: on a full disk it is not, and must not hide the failure."""
        self._context.ignore_stops()
        try:
            self._events.emit(detail)
        except Exception as error:  # noqa: BLE001 - whatever it is
            _log.warning("the end could not be recorded: %s", _description(error))


@contextmanager
def _guarded(what: str) -> Iterator[None]:
    """Keep an error of a block or a function from failing the run; print and log it."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - whatever it is
        print(f"brewhouse: {what}: {_description(error)}", file=sys.stderr)
        _log.warning("%s: %s", what, _description(error), exc_info=error)


def _outputs(
    lake: Lake, settings: Settings, workflow: str, run: str, reader: EventReader, on_exit: ExitStack
) -> Iterator[Listener]:
    """Create the listeners that the settings and the environment ask for: lineage, heartbeats, notifications."""
    from brewhouse.events import notifications

    alerts = settings.alerts
    if is_lineage_configured():
        from brewhouse.pipeline.openlineage import LineageSender

        lineage = LineageSender(lake, str(settings.source_url), workflow)
        on_exit.callback(lineage.close)
        yield lineage.listen
    if alerts.ping_url is not None and workflow == WORKFLOW:
        pinger = notifications.HeartbeatPinger(lake, alerts.ping_url, run)
        yield _guarded("Failed to send a heartbeat")(pinger.listen)
    if alerts.urls:
        notifications.warn_of_missing_library(alerts)

        @_guarded("Failed to send notifications")
        def notify_at_end(detail: details.Detail, _: Event) -> None:
            if isinstance(detail, details.RunEnded):
                notifications.notify(lake, alerts, reader=reader)

        yield notify_at_end


def _earlier(reader: EventReader, external: ExternalRun | None) -> RunReport | None:
    """Find what earlier jobs of an external run did; it may begin before midnight, and never takes two days."""
    if external is None:
        return None
    reports = run_reports(reader.read(datetime.now(UTC).date() - timedelta(days=2)))
    return next((report for report in reversed(reports) if report.workflow_run == external.workflow_run), None)


@_guarded("Failed to archive the events of past days")
def _archive(lake: Lake) -> None:
    if len(event_days(lake)) > 1:  # else they are today's, which are not archived yet
        archive_events(lake, max_days=_DAYS_ARCHIVED)


def _translated(error: BaseException) -> BaseException:
    """Turn an error of the disk or of AWS into a readable one."""
    if isinstance(error, BrewhouseError) or not isinstance(error, Exception):
        return error
    from brewhouse.lake.error_translation import translate_error

    return translate_error(error) or error


def _stop(number: int) -> BaseException:
    return KeyboardInterrupt() if number == signal.SIGINT else SystemExit(128 + number)


def _stop_listener(signals: Sequence[int]) -> Listener:
    """Create a listener that stops a run at its next step if the exception of a signal was lost."""

    def listen(detail: details.Detail, _: Event) -> None:
        if signals and signals[0] and isinstance(detail, _STEPS):
            raise _stop(signals[0])

    return listen


def _is_stop(error: BaseException) -> bool:
    return isinstance(error, KeyboardInterrupt | SystemExit)


def _failure(error: BaseException, started: float) -> dict[str, Any]:
    """Describe the end of a run or a job that did not succeed."""
    return {
        "state": "STOPPED" if _is_stop(error) else "FAILED",
        "severity": "WARN" if _is_stop(error) else "ERROR",
        "message": "Stopped by Ctrl-C or SIGTERM." if _is_stop(error) else _description(error),
        "error_type": type(error).__name__,
        "seconds": _since(started),
    }


@contextmanager
def _signals_raise() -> Iterator[list[int]]:
    """Let the first Ctrl-C or SIGTERM end the run, with its events; yield the signals received so far.

    Later ones are ignored, as timeout(1) sends two, and all after `RunContext.ignore_stops`. Outside of the main
    thread, and if they are ignored already, as in the background of a shell, signals stay as they are.
    """
    received: list[int] = []

    def stop(number: int, _frame: object) -> None:
        received.append(number)
        if len(received) == 1:
            raise _stop(number)

    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        numbers = [n for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) is not signal.SIG_IGN]
        before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _description(error: BaseException) -> str:
    return str(error) if isinstance(error, BrewhouseError) else redacted(f"{type(error).__name__}: {error}")


def _since(started: float) -> float:
    return round(time.monotonic() - started, 3)
