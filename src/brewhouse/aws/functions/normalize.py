"""Normalization: events of AWS, in the shape of the lake's events."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from brewhouse.events.envelope import CRAWL, EMPTY_DETAIL, JOB, Event
from brewhouse.ids import id_at

MAX_BYTES = 256 * 1024
"""Longest event of an AWS service: https://docs.aws.amazon.com/awscloudtrail/latest/userguide/WhatIsCloudTrail-Limits.html."""
WORKFLOWS = {"extract": "breweries", "transform": "breweries", "aggregate": "breweries", "maintain": "maintain"}
"""The jobs of the stack, with the workflow of each."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CRAWLER_STATES = {"Started": "RUNNING", "Succeeded": "SUCCEEDED", "Failed": "FAILED"}


class InvalidEventError(Exception):
    """A message is not an event of AWS."""


def decode_event(body: str) -> dict[str, Any]:
    """Decode and validate a message as an event of AWS.

    Raises:
        InvalidEventError: It is too long, not JSON, or lacks a field; gives the reason.

    Example:
        >>> decode_event("{")
        Traceback (most recent call last):
            ...
        brewhouse.aws.functions.normalize.InvalidEventError: not valid JSON
    """
    if (size := len(body.encode())) > MAX_BYTES:
        raise InvalidEventError(f"too long: {size} bytes, more than the {MAX_BYTES} of an event")
    try:
        event = json.loads(body, parse_constant=_reject_constant)
        json.dumps(event, ensure_ascii=False).encode()  # half a surrogate pair cannot be written as UTF-8
    except (ValueError, RecursionError) as error:
        raise InvalidEventError("not valid JSON") from error
    if not isinstance(event, dict):
        raise InvalidEventError("not a JSON object")
    for name in ("id", "detail-type", "source", "time"):
        if not event.get(name) or not isinstance(event[name], str):
            raise InvalidEventError(f"{name} is missing")
    if not isinstance(event.get("detail"), dict):
        raise InvalidEventError("detail is missing")
    try:
        parse_time(event["time"])
    except (ValueError, OverflowError) as error:
        raise InvalidEventError(f"invalid time {event['time'][:50]!r}") from error
    return event


def parse_time(text: str) -> datetime:
    """Parse a time of AWS, which is UTC unless it names a zone.

    Raises:
        ValueError: It is not an ISO 8601 time since 1970.
    """
    moment = datetime.fromisoformat(text)
    moment = moment.replace(tzinfo=moment.tzinfo or UTC)
    if moment < _EPOCH:
        raise ValueError(f"{text} is before 1970")
    return moment.astimezone(UTC)


def normalize(event: Mapping[str, Any], stack: str, facts: Mapping[str, Any]) -> Event:
    """Return a decoded event of AWS as an event of the lake; its detail has more facts, and the event as received."""
    moment = parse_time(event["time"])
    derive = _BY_TYPE.get(event["detail-type"])
    ours = derive(event["detail"], stack) if derive else {}
    return Event(
        id=id_at(moment, event["id"].encode()),
        detail_type=event["detail-type"],
        time=moment.isoformat(),
        source=event["source"],
        detail={**EMPTY_DETAIL, **event["detail"], **ours, **facts, "aws": dict(event)},
    )


def _reject_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _job(detail: Mapping[str, Any], stack: str) -> dict[str, Any]:
    name = str(detail.get("jobName", ""))
    job = name.removeprefix(f"{stack}-")
    ours = {"jobName": job, "glueJobName": name, "workflow": WORKFLOWS.get(job, "")}
    return ours if detail.get("state") in ("SUCCEEDED", "STOPPED") else {**ours, "severity": "ERROR"}


def _crawler(detail: Mapping[str, Any], stack: str) -> dict[str, Any]:
    state = _CRAWLER_STATES.get(str(detail.get("state")), str(detail.get("state", "")).upper())
    ours = {"jobName": str(detail.get("crawlerName", "")).removeprefix(f"{stack}-"), "state": state}
    if state != "FAILED":
        return ours
    return {**ours, "severity": "WARN", "message": detail.get("errorMessage") or detail.get("message", "")}


def _catalog(detail: Mapping[str, Any], _stack: str) -> dict[str, Any]:
    changed = detail.get("changedTables")
    tables = [str(table) for table in (changed if isinstance(changed, list) else [detail.get("tableName")]) if table]
    target = ".".join([str(detail.get("databaseName", "")), ", ".join(tables)]).rstrip(".")
    return {"message": f"{detail.get('typeOfChange', 'a change')} of {target}"}


def _call(detail: Mapping[str, Any], _stack: str) -> dict[str, Any]:
    identity = detail.get("userIdentity")
    caller = identity.get("arn") or identity.get("type") if isinstance(identity, dict) else None
    message = f"{detail.get('eventName', 'a call')} by {caller or 'an unknown caller'}"
    if "errorCode" in detail:
        return {"message": f"{message}: {detail['errorCode']}", "severity": "WARN"}
    return {"message": message}


_BY_TYPE = {
    JOB: _job,
    CRAWL: _crawler,
    "Glue Data Catalog Table State Change": _catalog,
    "Glue Data Catalog Database State Change": _catalog,
    "AWS API Call via CloudTrail": _call,
}
