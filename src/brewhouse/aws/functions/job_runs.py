"""Runs of Glue jobs: their facts, their log, and the events that the jobs wrote about them."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files
from typing import Any

from brewhouse.events import run_reports
from brewhouse.events.envelope import JOB, RUN, Event

ENDED = (*run_reports.ENDED, "ERROR", "EXPIRED")
FAILED = ("FAILED", "TIMEOUT", "ERROR", "EXPIRED")
_ERROR_LINES = 10
_LINE_CHARACTERS = 500
_MINIMUM_S = 60  # the least that a run is billed for
_TOLERANCE = timedelta(minutes=2)
"""Clock difference between Glue and its workers, and the time that a job needs to stop."""


def run_facts(run: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts of a job run, from Glue's `GetJobRun`, that Glue's event of its end lacks."""
    seconds = float(run.get("ExecutionTime") or 0)
    capacity = float(run.get("MaxCapacity") or run.get("AllocatedCapacity") or 0)
    dpu_seconds = float(run.get("DPUSeconds") or max(seconds, _MINIMUM_S) * capacity)
    facts = {
        "seconds": seconds,
        "dpuSeconds": dpu_seconds,
        "costUsd": round(
            dpu_seconds / 3600 * dpu_hour_usd(run.get("GlueVersion", ""), os.environ.get("AWS_REGION", "")), 6
        ),
        "attempt": run.get("Attempt", 0),
        "startedAt": run["StartedOn"].astimezone(UTC).isoformat() if "StartedOn" in run else None,
        "triggerName": run.get("TriggerName"),
        "glueVersion": run.get("GlueVersion"),
        "workerType": run.get("WorkerType"),
        "workers": run.get("NumberOfWorkers"),
    }
    return {name: fact for name, fact in facts.items() if fact is not None}


def output_group(stack: str) -> str:
    """Return the log group of what the jobs of a stack write; the group next to it, `error`, is of Spark's daemons.

    https://docs.aws.amazon.com/glue/latest/dg/monitor-continuous-logging.html
    """
    return f"/aws-glue/{stack}/output"


def driver_streams(run_id: str) -> tuple[str, str]:
    """Return the names that the log stream of a job run's driver may have: the one of real runs, the documented one."""
    return run_id, f"{run_id}-driver"


def log_lines(logs: Any, stack: str, run_id: str, limit: int) -> list[tuple[datetime, str]]:  # noqa: ANN401 - boto3
    """Return the last lines that the driver of a job run wrote to standard output and error, with their times."""
    for stream in driver_streams(run_id):
        place = {"logGroupName": output_group(stack), "logStreamName": stream}
        with suppress(logs.exceptions.ResourceNotFoundException):
            log = logs.get_log_events(**place, limit=limit, startFromHead=False)
            lines = [
                (datetime.fromtimestamp(event["timestamp"] / 1000, UTC), line)
                for event in log["events"]
                for line in event["message"].splitlines()
                if line.strip()
            ]
            return lines[-limit:]
    return []


def error_lines(logs: Any, stack: str, run_id: str) -> list[str]:  # noqa: ANN401 - boto3
    """Return the last lines of a job run's log, shortened; empty without a log."""
    return [line[:_LINE_CHARACTERS] for _, line in log_lines(logs, stack, run_id, _ERROR_LINES)]


def job_events(events: Iterable[Event], job: str, run: Mapping[str, Any]) -> list[Event]:
    """Return the events that a job wrote about one of its runs, by time: a lake has one run at a time."""
    start, end = run_period(run)
    return [
        event
        for event in events
        if (event.source, event.detail_type, event.detail.get("jobName")) == ("brewhouse", JOB, job)
        and event.detail.get("state") != "WAITING"
        and _may_belong_to(event, run)
        and start - _TOLERANCE <= datetime.fromisoformat(event.time) <= end + _TOLERANCE
    ]


def has_end_event(events: Iterable[Event], run_id: str, since: datetime) -> bool:
    """Return whether a run has an event of its end.

    Earlier attempts, before `since`, do not count, nor does a job's report that it was stopped: it does not know why.
    """
    return any(
        event.detail_type == RUN
        and event.run == run_id
        and event.detail.get("state") in {*ENDED} - {"STOPPED"}
        and datetime.fromisoformat(event.time) >= since - _TOLERANCE
        for event in events
    )


def run_period(run: Mapping[str, Any]) -> tuple[datetime, datetime]:
    """Return start and end of a job run; now for what Glue does not report, as the end of one in progress."""
    now = datetime.now(UTC)
    return run.get("StartedOn", now).astimezone(UTC), run.get("CompletedOn", now).astimezone(UTC)


def _may_belong_to(event: Event, run: Mapping[str, Any]) -> bool:
    """Return whether an event names no job run of Glue, or this one; a retry may be named as its first attempt."""
    named, run_id = str(event.detail.get("jobRunId", "")), str(run.get("Id", ""))
    return not named.startswith("jr_") or named in {run_id, run_id.partition("_attempt_")[0]}


def dpu_hour_usd(glue_version: str, region: str) -> float:
    """Return the price of a DPU-hour of a job; us-east-1's for an unknown region, undiscounted for an unknown version.

    Example:
        >>> dpu_hour_usd("6.0", "us-east-1"), dpu_hour_usd("5.1", "us-east-1")
        (0.308, 0.44)
    """
    by_region, discount = prices()["glue_dpu_hour"], prices()["glue_discount"]
    return float(round(by_region.get(region, by_region["us-east-1"]) * (1 - discount.get(glue_version, 0)), 4))


@cache
def prices() -> dict[str, Any]:
    """Load the list prices."""
    return tomllib.loads(files("brewhouse.aws").joinpath("prices.toml").read_text("utf-8"))
