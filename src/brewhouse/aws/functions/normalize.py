"""An event of AWS as an event of the lake: the same envelope, and the detail that every event here has.

Its id is made of its time and the id that AWS gave it, so that it sorts among the others, and one that is delivered
twice is the same object. The jobs' names are those they have here; what AWS says is kept beside them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from brewhouse.aws.functions.lake_events import Event
from brewhouse.events.event_types import JOB
from brewhouse.ids import id_at

MAX_BYTES = 256 * 1024
"""No event of an AWS service is longer: https://docs.aws.amazon.com/awscloudtrail/latest/userguide/WhatIsCloudTrail-Limits.html."""

CRAWLER = "Glue Crawler State Change"
TABLE = "Glue Data Catalog Table State Change"
DATABASE = "Glue Data Catalog Database State Change"
CALL = "AWS API Call via CloudTrail"
WORKFLOWS = {"extract": "breweries", "transform": "breweries", "aggregate": "breweries", "maintain": "maintain"}
"""Which workflow a job belongs to."""
_CRAWLER_STATES = {"Started": "RUNNING", "Succeeded": "SUCCEEDED", "Failed": "FAILED"}


class UnusableError(Exception):
    """A message that is no event, and will never be one; says why."""


def read(body: str) -> dict[str, Any]:
    """Read a message as an event of AWS.

    Raises:
        UnusableError: It is none.

    Example:
        >>> read("{")
        Traceback (most recent call last):
            ...
        brewhouse.aws.functions.normalize.UnusableError: it is no JSON
    """
    if (size := len(body.encode())) > MAX_BYTES:
        raise UnusableError(f"it is oversized: {size} bytes, and no event has more than {MAX_BYTES}")
    try:
        event = json.loads(body)
    except ValueError as error:
        raise UnusableError("it is no JSON") from error
    if not isinstance(event, dict):
        raise UnusableError("it is no event, but some other JSON")
    for name in ("id", "detail-type", "source", "time"):
        if not event.get(name) or not isinstance(event[name], str):
            raise UnusableError(f"it has no {name}")
    if not isinstance(event.get("detail"), dict):
        raise UnusableError("it has no detail")
    try:
        moment_of(event["time"])
    except ValueError as error:
        raise UnusableError(f"{event['time'][:50]!r} is no time") from error
    return event


def moment_of(text: str) -> datetime:
    """Read a time of AWS, which is UTC.

    Raises:
        ValueError: It is none.
    """
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)


def translate(event: Mapping[str, Any], stack: str, facts: Mapping[str, Any]) -> Event:
    """Put an event of AWS into the shape of the lake's events.

    Args:
        event: As `read` gives it.
        stack: Its name; what the names of its jobs begin with.
        facts: What else is known of it.
    """
    moment = moment_of(event["time"])
    common = {"runId": "", "jobName": "", "jobRunId": "", "state": "", "severity": "INFO", "message": ""}
    said = {name: event[name] for name in ("id", "account", "region", "resources") if name in event}
    ours = _OURS.get(event["detail-type"], _of_anything)(event["detail"], stack)
    return Event(
        id=id_at(moment, event["id"].encode()),
        detail_type=event["detail-type"],
        time=moment.isoformat(),
        source=event["source"],
        detail={**common, **event["detail"], **ours, **facts, "aws": said},
    )


def job_of(name: str, stack: str) -> str:
    """Tell what a job or crawler of the stack is called here.

    Example:
        >>> job_of("brew-extract", "brew")
        'extract'
    """
    return name.removeprefix(f"{stack}-")


def _of_job(detail: Mapping[str, Any], stack: str) -> dict[str, Any]:
    name = str(detail.get("jobName", ""))
    job = job_of(name, stack)
    ours = {"jobName": job, "glueJobName": name, "workflow": WORKFLOWS.get(job, "")}
    return ours if detail.get("state") in {"SUCCEEDED", "STOPPED"} else {**ours, "severity": "ERROR"}


def _of_crawler(detail: Mapping[str, Any], stack: str) -> dict[str, Any]:
    state = _CRAWLER_STATES.get(str(detail.get("state")), str(detail.get("state", "")).upper())
    ours = {"jobName": job_of(str(detail.get("crawlerName", "")), stack), "state": state}
    if state != "FAILED":
        return ours
    return {**ours, "severity": "ERROR", "message": detail.get("errorMessage") or detail.get("message", "")}


def _of_catalog(detail: Mapping[str, Any], _stack: str) -> dict[str, Any]:
    tables = [str(table) for table in (detail.get("changedTables") or [detail.get("tableName")]) if table]
    where = ".".join([str(detail.get("databaseName", "")), ", ".join(tables)]).rstrip(".")
    return {"message": f"{detail.get('typeOfChange', 'a change')} of {where}"}


def _of_call(detail: Mapping[str, Any], _stack: str) -> dict[str, Any]:
    identity = detail.get("userIdentity")
    who = identity.get("arn", identity.get("type", "somebody")) if isinstance(identity, dict) else "somebody"
    message = f"{detail.get('eventName', 'a call')} by {who}"
    if "errorCode" in detail:
        return {"message": f"{message}: {detail['errorCode']}", "severity": "WARN"}
    return {"message": message}


def _of_anything(_detail: Mapping[str, Any], _stack: str) -> dict[str, Any]:
    return {}


_OURS = {JOB: _of_job, CRAWLER: _of_crawler, TABLE: _of_catalog, DATABASE: _of_catalog, CALL: _of_call}
