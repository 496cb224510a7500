"""Which messages are due: one per incident when it opens, one when it is over, whatever the number of retries.

A pure function of the events: what was sent is itself told by events, so nothing else has to be remembered, and what
could not be sent is due again the next time anybody looks. An incident is

- a workflow that failed, until a run of it succeeds that did the job that failed last;
- the workflow without a success for too long (late), until it has one;
- drift that the snapshot before did not have; it has no end.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from typing import Any, Literal

from brewhouse.events.event_types import ALERT_SENT, EventLike
from brewhouse.events.run_reports import RunReport, run_reports

Kind = Literal["failed", "checks_failed", "recovered", "late", "drift", "test"]

WORKFLOW = "breweries"
"""The workflow that should succeed regularly, and is pinged and late."""
_TROUBLE = ("FAILED", "TIMEOUT")


@dataclass(frozen=True, kw_only=True)
class Message:
    """What somebody is to be told; `wording` puts it into words.

    Attributes:
        kind: Of message.
        incidents: Ids of the incidents it is about.
        workflow: Which workflow.
        run: Id of the run it is about; empty when there was none.
        job: The job that failed; empty when there is none.
        time: When it happened, ISO 8601, UTC.
        since: When the incident began, ISO 8601, UTC.
        why: What the run or its checks said, a line each.
        failures: How many runs failed in the incident.
    """

    kind: Kind
    incidents: tuple[str, ...]
    workflow: str = WORKFLOW
    run: str = ""
    job: str = ""
    time: str = ""
    since: str = ""
    why: tuple[str, ...] = ()
    failures: int = 0


@dataclass(kw_only=True)
class _Incident:
    """Some trouble of a workflow, as long as it goes on."""

    key: str
    since: str
    job: str = ""
    reports: list[RunReport] = field(default_factory=list)


def pending_notifications(
    events: Sequence[EventLike],
    *,
    now: datetime,
    kinds: Collection[str],
    late_after_hours: float = 0.0,
    running: str | None = None,
    receiver: str = "",
) -> list[Message]:
    """Say which messages are to be sent to a receiver.

    Args:
        events: All of a lake, oldest first.
        now: With its zone.
        kinds: The kinds of message that are wanted.
        late_after_hours: How long the workflow may be without a success; 0 is for ever.
        running: Id of the run that is going now.
        receiver: Whose; what was sent to another one was not sent to this one.

    Returns:
        At most one message per incident.
    """
    told = _told(events, receiver)
    reports = run_reports(events, running)
    names = list(dict.fromkeys(report.workflow for report in reports if report.workflow))
    messages: list[Message] = []
    for workflow in names:
        messages += _of_workflow([report for report in reports if report.workflow == workflow], told, kinds)
    if late_after_hours:
        messages += _late([r for r in reports if r.workflow == WORKFLOW], told, now - timedelta(hours=late_after_hours))
    messages += _drift([report for report in reports if report.workflow == WORKFLOW])
    return [m for m in messages if m.kind in kinds and not all((key, m.kind) in told for key in m.incidents)]


def is_quiet(now: datetime, hours: str) -> bool:
    """Say whether nothing is sent at this time of the day.

    Args:
        now: In the zone the hours are meant in.
        hours: From and until, as `22:00-07:00`; empty is never.

    Example:
        >>> [is_quiet(datetime(2026, 8, 2, hour), "22:00-07:00") for hour in (6, 7, 21, 22)]
        [True, False, False, True]
    """
    if not hours:
        return False
    start, end = (time.fromisoformat(part) for part in hours.split("-"))
    clock = now.time()
    return start <= clock < end if start <= end else clock >= start or clock < end


def _told(events: Sequence[EventLike], receiver: str) -> set[tuple[str, str]]:
    """Collect what was sent: incidents with the kind of message."""
    return {
        (key, event.detail.get("kind", ""))
        for event in events
        if event.detail_type == ALERT_SENT and event.detail.get("receiver", "") == receiver
        for key in event.detail.get("incidents", ())
    }


def _of_workflow(
    reports: Sequence[RunReport], told: Collection[tuple[str, str]], kinds: Collection[str]
) -> Iterator[Message]:
    """Follow a workflow through its runs: what is open at the end, and what was told and is over."""
    failure: _Incident | None = None
    over: list[_Incident] = []
    last_success = reports[0].started_at
    success: RunReport | None = None
    for report in reports:
        if report.state in _TROUBLE:
            failure = failure or _Incident(key=f"{report.workflow}:{report.run}", since=report.ended_at)
            failure.reports.append(report)
            failure.job = _failed_job(report)
        elif report.state == "SUCCEEDED":
            success = report
            over.append(_Incident(key=_late_key(report.workflow, last_success), since=last_success))
            last_success = report.ended_at
            if failure and failure.job in ("", *(job.name for job in report.jobs)):
                over.append(failure)
                failure = None
    if failure:
        yield from _opened(failure, told, kinds)
    told_of = {key for key, kind in told if kind != "recovered"} - {key for key, kind in told if kind == "recovered"}
    ended = [incident for incident in over if incident.key in told_of]
    if ended and success:
        yield Message(
            kind="recovered",
            incidents=tuple(incident.key for incident in ended),
            workflow=success.workflow,
            run=success.run,
            time=success.ended_at,
            since=ended[0].since,
            why=tuple(job.message for job in success.jobs if job.state == "SUCCEEDED" and job.message),
            failures=sum(len(incident.reports) for incident in ended),
        )


def _opened(failure: _Incident, told: Collection[tuple[str, str]], kinds: Collection[str]) -> Iterator[Message]:
    """Tell of the first failure of an incident that somebody wants to know of, unless one was told."""
    if any((failure.key, kind) in told for kind in ("failed", "checks_failed")):
        return
    for report in failure.reports:
        kind = _kind(report)
        if kind in kinds:
            yield Message(
                kind=kind,
                incidents=(failure.key,),
                workflow=report.workflow,
                run=report.run,
                job=_failed_job(report),
                time=report.ended_at,
                since=failure.since,
                why=_why(report),
                failures=len(failure.reports),
            )
            return


def _late(reports: Sequence[RunReport], told: Collection[tuple[str, str]], latest: datetime) -> Iterator[Message]:
    """Tell that the workflow had no success for too long, unless a failure was told that is not over."""
    if not reports:
        return
    successes = [report.ended_at for report in reports if report.state == "SUCCEEDED"]
    since = successes[-1] if successes else reports[0].started_at
    failed = [report for report in reports if report.state in _TROUBLE and report.ended_at > since]
    is_told = any((f"{report.workflow}:{report.run}", kind) in told for report in failed for kind in _FAILURES)
    if datetime.fromisoformat(since) < latest and not is_told:
        yield Message(kind="late", incidents=(_late_key(WORKFLOW, since),), time=since, since=since)


def _drift(reports: Sequence[RunReport]) -> Iterator[Message]:
    """Tell what deviates in the newest snapshot and did not in the one before."""
    looked = [report for report in reports if any(job.name == "extract" and job.counts for job in report.jobs)]
    if not looked:
        return
    before = {_what(drift) for report in looked[-2:-1] for drift in report.drift}
    new = [drift for drift in looked[-1].drift if _what(drift) not in before]
    if new:
        run = looked[-1]
        lines = tuple(
            f"{drift.get('name')}: {drift.get('detail')} ({drift.get('count')} times, such as {drift.get('example')})"
            for drift in new
        )
        yield Message(
            kind="drift", incidents=(f"drift:{run.run}",), run=run.run, job="extract", time=run.ended_at, why=lines
        )


_FAILURES: tuple[Kind, Kind] = ("failed", "checks_failed")


def _late_key(workflow: str, since: str) -> str:
    return f"late:{workflow}:{since}"


def _what(drift: dict[str, Any]) -> tuple[str, str]:
    return str(drift.get("name")), str(drift.get("detail"))


def _failed_job(report: RunReport) -> str:
    return next((job.name for job in report.jobs if job.state in _TROUBLE), "")


def _failed_checks(report: RunReport) -> list[dict[str, Any]]:
    return [check for check in report.checks if check.get("severity") == "error" and not check.get("passed")]


def _kind(report: RunReport) -> Kind:
    return "checks_failed" if _failed_checks(report) else "failed"


def _why(report: RunReport) -> tuple[str, ...]:
    checks = tuple(
        f"{check.get('table')}: {check.get('name')}: {check.get('found')} found, for example {check.get('example')}"
        for check in _failed_checks(report)
    )
    return checks or tuple(report.error.splitlines())
