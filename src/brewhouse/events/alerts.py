"""Pending notifications: one per incident when it opens and one when it is over, whatever the number of retries.

A pure function of the events: what was sent is an event itself, so there is no other state, and what could not be sent
stays pending until the next process sends it. An incident is

- a failed workflow, until a run succeeds that includes the job that failed last;
- a late workflow, without a success for too long, until it succeeds;
- schema drift that the previous snapshot did not have; it has no end;
- failed crawls of AWS Glue since the last success, a warning; it has no end either.

Standard library only: the Lambda functions of the AWS stack share this module.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any, Literal

from brewhouse.events.envelope import ALERT_FAILED, ALERT_SENT, CRAWL, Event
from brewhouse.events.run_reports import RunReport, run_reports

Kind = Literal["failed", "checks_failed", "recovered", "late", "drift", "crawl_failed", "test"]

WORKFLOW = "breweries"
"""The workflow that should succeed regularly: it sends heartbeats and can be late."""
_FAILURES: tuple[Kind, Kind] = ("failed", "checks_failed")
_MAX_UNCONFIRMED = 2
"""How often a message is sent that its receiver does not acknowledge in time: it has probably arrived."""
_FAILED_STATES = ("FAILED", "TIMEOUT")
_DELIVERIES = {ALERT_SENT: ("incidents", _MAX_UNCONFIRMED), ALERT_FAILED: ("unconfirmed", 1)}


@dataclass(frozen=True, kw_only=True)
class Message:
    """The facts of a notification; times are ISO 8601, UTC, `why` are lines of the error or of the failed checks."""

    kind: Kind
    incidents: tuple[str, ...]
    workflow: str = WORKFLOW
    run: str = ""
    job: str = ""
    time: str = ""
    since: str = ""
    why: tuple[str, ...] = ()
    failures: int = 0


def pending_notifications(
    events: Sequence[Event],
    *,
    now: datetime,
    kinds: Collection[str],
    late_after_hours: float = 0.0,
    running: str | None = None,
    receiver: str = "",
) -> list[Message]:
    """List the messages to send to a receiver, at most one per incident.

    Args:
        now: With its time zone.
        late_after_hours: Hours without a success after which the workflow is late; 0 is never.
        receiver: Id of the receiver: what was sent to others is still pending for this one.
    """
    sent, attempted = _sent(events, receiver, _MAX_UNCONFIRMED), _sent(events, receiver, 1)
    reports = run_reports(events, running)
    workflows = list(dict.fromkeys(report.workflow for report in reports if report.workflow))
    messages: list[Message] = []
    for workflow in workflows:
        messages += _of_workflow([report for report in reports if report.workflow == workflow], sent, attempted, kinds)
    if late_after_hours:
        messages += _late([r for r in reports if r.workflow == WORKFLOW], sent, now, late_after_hours)
    messages += _drift([report for report in reports if report.workflow == WORKFLOW])
    messages += _crawls(events)
    return [m for m in messages if m.kind in kinds and not all((key, m.kind) in sent for key in m.incidents)]


def is_quiet(now: datetime, hours: str) -> bool:
    """Return whether a moment is within quiet hours.

    Args:
        now: In the time zone of the hours.
        hours: Start and end, such as `22:00-07:00`; empty is never.

    Example:
        >>> [is_quiet(datetime(2026, 8, 2, hour), "22:00-07:00") for hour in (6, 7, 21, 22)]
        [True, False, False, True]
    """
    if not hours:
        return False
    start, end = (time.fromisoformat(part) for part in hours.split("-"))
    clock = now.time()
    return start <= clock < end if start <= end else clock >= start or clock < end


def _sent(events: Sequence[Event], receiver: str, unconfirmed: int) -> set[tuple[str, str]]:
    """Collect the incidents and kinds of message that were sent, once with or `unconfirmed` times without response."""
    counts: Counter[tuple[str, str]] = Counter()
    for event in events:
        if event.detail_type in _DELIVERIES and event.detail.get("receiver", "") == receiver:
            field_name, count = _DELIVERIES[event.detail_type]
            for key in event.detail.get(field_name, ()):
                counts[key, event.detail.get("kind", "")] += count
    return {message for message, count in counts.items() if count >= unconfirmed}


def _of_workflow(
    reports: Sequence[RunReport],
    sent: Collection[tuple[str, str]],
    attempted: Collection[tuple[str, str]],
    kinds: Collection[str],
) -> Iterator[Message]:
    """Follow a workflow through its runs: the open incident, and the reported ones that are over."""
    failures: list[RunReport] = []  # of the open incident
    over: list[tuple[str, str, int]] = []  # key, start and number of failures
    last_success = reports[0].started_at
    success: RunReport | None = None
    for report in reports:
        if report.state in _FAILED_STATES:
            failures.append(report)
        elif report.state == "SUCCEEDED":
            over.append((_late_key(report.workflow, last_success), last_success, 0))
            success, last_success = report, report.ended_at
            if failures and _failed_job(failures[-1]) in ("", *(job.name for job in report.jobs)):
                over.append((_failure_key(failures[0]), failures[0].ended_at, len(failures)))
                failures = []
    if failures:
        yield from _opened(failures, sent, kinds)
    reported = {key for key, kind in attempted if kind != "recovered"} - {
        key for key, kind in sent if kind == "recovered"
    }
    ended = [incident for incident in over if incident[0] in reported]
    if ended and success:
        keys, starts, numbers = zip(*ended, strict=True)
        yield Message(
            kind="recovered",
            incidents=keys,
            workflow=success.workflow,
            run=success.run,
            time=success.ended_at,
            since=starts[0],
            why=tuple(job.message for job in success.jobs if job.state == "SUCCEEDED" and job.message),
            failures=sum(numbers),
        )


def _opened(
    failures: Sequence[RunReport], sent: Collection[tuple[str, str]], kinds: Collection[str]
) -> Iterator[Message]:
    """Report the first failure of an incident whose kind is wanted, unless one was reported."""
    incident = _failure_key(failures[0])
    if any((incident, kind) in sent for kind in _FAILURES):
        return
    for report in failures:
        kind: Kind = "checks_failed" if _failed_checks(report) else "failed"
        if kind in kinds:
            yield Message(
                kind=kind,
                incidents=(incident,),
                workflow=report.workflow,
                run=report.run,
                job=_failed_job(report),
                time=report.ended_at,
                since=failures[0].ended_at,
                why=_why(report),
                failures=len(failures),
            )
            return


def _late(
    reports: Sequence[RunReport], sent: Collection[tuple[str, str]], now: datetime, hours: float
) -> Iterator[Message]:
    """Report that the workflow is late, unless a failure since its last success was reported.

    A success that a wrong clock dated in the future does not count.
    """
    if not reports:
        return
    ended = [report.ended_at for report in reports if report.state == "SUCCEEDED"]
    successes = [text for text in ended if datetime.fromisoformat(text) <= now]
    since = successes[-1] if successes else reports[0].started_at
    failed = [report for report in reports if report.state in _FAILED_STATES and report.ended_at > since]
    is_reported = any((_failure_key(report), kind) in sent for report in failed for kind in _FAILURES)
    if datetime.fromisoformat(since) < now - timedelta(hours=hours) and not is_reported:
        yield Message(kind="late", incidents=(_late_key(WORKFLOW, since),), time=since, since=since)


def _drift(reports: Sequence[RunReport]) -> Iterator[Message]:
    """Report the drift of the newest snapshot that the previous one did not have."""
    extracts = [report for report in reports if any(job.name == "extract" and job.counts for job in report.jobs)]
    if not extracts:
        return
    before = {_what(drift) for report in extracts[-2:-1] for drift in report.drift}
    new = [drift for drift in extracts[-1].drift if _what(drift) not in before]
    if new:
        run = extracts[-1]
        lines = tuple(
            f"{drift.get('name')}: {drift.get('detail')} ({drift.get('count')} times, such as {drift.get('example')})"
            for drift in new
        )
        yield Message(
            kind="drift", incidents=(f"drift:{run.run}",), run=run.run, job="extract", time=run.ended_at, why=lines
        )


def _crawls(events: Sequence[Event]) -> Iterator[Message]:
    """Report the first failed crawl since the last success."""
    failed: Event | None = None
    for event in events:
        if event.detail_type == CRAWL and event.detail.get("state") in ("SUCCEEDED", "FAILED"):
            failed = (failed or event) if event.detail["state"] == "FAILED" else None
    if failed:
        why = tuple(str(failed.detail.get("message", "")).splitlines())
        yield Message(kind="crawl_failed", incidents=(f"crawl:{failed.id}",), time=failed.time, why=why)


def _failure_key(first: RunReport) -> str:
    return f"{first.workflow}:{first.run}"


def _late_key(workflow: str, since: str) -> str:
    return f"late:{workflow}:{since}"


def _what(drift: dict[str, Any]) -> tuple[str, str]:
    return str(drift.get("name")), str(drift.get("detail"))


def _failed_job(report: RunReport) -> str:
    return next((job.name for job in report.jobs if job.state in (*_FAILED_STATES, "STOPPED")), "")


def _failed_checks(report: RunReport) -> list[dict[str, Any]]:
    return [check for check in report.checks if check.get("severity") == "error" and not check.get("passed")]


def _why(report: RunReport) -> tuple[str, ...]:
    checks = tuple(
        f"{check.get('table')}: {check.get('name')}: {check.get('found')} violations, such as {check.get('example')}"
        for check in _failed_checks(report)
    )
    return checks or tuple(report.error.splitlines())
