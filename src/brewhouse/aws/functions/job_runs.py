"""What AWS Glue knows of a job's run: how long it took, what it cost, why it failed; and which of our runs it was."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files
from typing import Any

from brewhouse.aws.functions.lake_events import Event
from brewhouse.events.event_types import JOB, RUN

ENDED = ("SUCCEEDED", "FAILED", "STOPPED", "TIMEOUT", "ERROR", "EXPIRED")
TROUBLE = ("FAILED", "TIMEOUT", "ERROR", "EXPIRED")
_ERROR_LINES = 10
_LINE_CHARACTERS = 500
_MINIMUM_S = 60  # every run is billed as if it took as long
_GRACE = timedelta(minutes=2)
"""How far the clocks of Glue and of what runs in it may differ, and how long it takes to stop."""


def facts_of(run: Mapping[str, Any]) -> dict[str, Any]:
    """Give the facts of a job's run that an event of its end lacks.

    Args:
        run: As Glue's `GetJobRun` gives it.

    Example:
        >>> facts_of({"ExecutionTime": 90, "MaxCapacity": 2.0})["costUsd"]
        0.022
    """
    seconds = float(run.get("ExecutionTime") or 0)
    capacity = float(run.get("MaxCapacity") or run.get("AllocatedCapacity") or 0)
    dpu_seconds = float(run.get("DPUSeconds") or max(seconds, _MINIMUM_S) * capacity)
    facts = {
        "seconds": seconds,
        "dpuSeconds": dpu_seconds,
        "costUsd": round(dpu_seconds / 3600 * _price(), 6),
        "attempt": run.get("Attempt", 0),
        "startedAt": run["StartedOn"].astimezone(UTC).isoformat() if "StartedOn" in run else None,
        "triggerName": run.get("TriggerName"),
        "glueVersion": run.get("GlueVersion"),
        "workerType": run.get("WorkerType"),
        "workers": run.get("NumberOfWorkers"),
    }
    return {name: fact for name, fact in facts.items() if fact is not None}


def last_lines(logs: Any, group: str, stream: str) -> list[str]:  # noqa: ANN401 - boto3 makes its clients' classes
    """Read the last lines that a job's run wrote as errors; none when there is no such log.

    Args:
        logs: boto3's client for CloudWatch Logs.
        group: The log group of errors.
        stream: The run's id.
    """
    try:
        said = logs.get_log_events(logGroupName=group, logStreamName=stream, limit=_ERROR_LINES, startFromHead=False)
    except logs.exceptions.ResourceNotFoundException:
        return []
    lines = [line for event in said["events"] for line in event["message"].splitlines() if line.strip()]
    return [line[:_LINE_CHARACTERS] for line in lines[-_ERROR_LINES:]]


def words_of(events: Iterable[Event], job: str, run: Mapping[str, Any]) -> list[Event]:
    """Find what a job said itself of its run, by the time: there is one run at a time in a lake.

    Args:
        events: Of the days it ran on.
        job: As it is called here.
        run: As Glue's `GetJobRun` gives it.

    Returns:
        Its events of kind JOB; empty when it never came to say anything.
    """
    first, last = began(run) - _GRACE, ended(run) + _GRACE
    said = (event for event in events if event.source == "brewhouse" and event.detail_type == JOB)
    return [
        event
        for event in said
        if event.detail.get("jobName") == job
        and event.detail.get("state") != "WAITING"
        and _is_of(event, run)
        and first <= datetime.fromisoformat(event.time) <= last
    ]


def has_ended(events: Iterable[Event], run_id: str, since: datetime) -> bool:
    """Say whether the end of a run was told.

    Args:
        events: Of the days it ran on.
        run_id: The run's.
        since: From when on; it may have been told that an earlier attempt ended.
    """
    return any(
        event.detail_type == RUN
        and event.run == run_id
        and event.detail.get("state") in ENDED
        and datetime.fromisoformat(event.time) >= since - _GRACE
        for event in events
    )


def began(run: Mapping[str, Any]) -> datetime:
    """Tell when a job's run began."""
    return _moment(run, "StartedOn")


def ended(run: Mapping[str, Any]) -> datetime:
    """Tell when a job's run ended."""
    return _moment(run, "CompletedOn")


def _is_of(event: Event, run: Mapping[str, Any]) -> bool:
    """Say whether an event can be of a job's run: if it names one of Glue's, it must be this."""
    named = str(event.detail.get("jobRunId", ""))
    return not named.startswith("jr_") or named == run.get("Id")


def _moment(run: Mapping[str, Any], name: str) -> datetime:
    found = run.get(name)
    return found.astimezone(UTC) if isinstance(found, datetime) else datetime.now(UTC)


@cache
def _price() -> float:
    prices = tomllib.loads(files("brewhouse.aws").joinpath("prices.toml").read_text("utf-8"))
    return float(prices["glue_dpu_hour"])
