"""The archiver: takes events of AWS from the queue, adds what is known of them, and writes each into the lake once.

A message that is no event goes to the dead-letter queue at once, with the reason. What fails otherwise is left in the
queue and comes again, without the rest of its batch.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from brewhouse.aws.functions.job_runs import TROUBLE, began, facts_of, last_lines, words_of
from brewhouse.aws.functions.lake_events import Archive
from brewhouse.aws.functions.normalize import WORKFLOWS, UnusableError, job_of, read, translate
from brewhouse.events.event_types import JOB
from brewhouse.ids import id_at

_WRITERS = 10
_TRIES_TO_ENRICH = 3
_FAILED = (BotoCoreError, ClientError)


@dataclass(frozen=True)
class ArchiverClients:
    """What the archiver speaks to."""

    s3: Any
    sqs: Any
    glue: Any
    logs: Any


def handler(event: Mapping[str, Any], _context: object) -> dict[str, Any]:
    """Archive a batch of messages; this is what Lambda calls.

    Args:
        event: A batch of SQS's messages.

    Returns:
        The messages that must come again:
        https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html.
    """
    with ThreadPoolExecutor(_WRITERS) as pool:
        failed = [message for message in pool.map(_archived, event["Records"]) if message]
    return {"batchItemFailures": [{"itemIdentifier": message} for message in failed]}


def _archived(record: Mapping[str, Any]) -> str:
    """Archive one message; gives its id when it must come again."""
    try:
        _archive(record)
    except UnusableError as error:
        return _rejected(record, str(error))
    except _FAILED as error:
        _say("retry", message=record["messageId"], why=str(error))
        return str(record["messageId"])
    return ""


def _archive(record: Mapping[str, Any]) -> None:
    event = read(record["body"])
    facts: dict[str, Any] = {}
    if event["detail-type"] == JOB:
        try:
            facts = _job_facts(event)
        except _FAILED as error:
            if int(record["attributes"]["ApproximateReceiveCount"]) < _TRIES_TO_ENRICH:
                raise
            facts = {"unknown": f"Glue could not be asked: {error}"}  # an event with less is better than none
    archived = translate(event, os.environ["STACK"], facts)
    is_new = Archive(_clients().s3, os.environ["BUCKET"]).put(archived)
    if is_new and event["detail-type"] == JOB:
        shown = ("jobName", "state", "seconds", "dpuSeconds", "costUsd", "counts")
        _say("job", **{name: archived.detail[name] for name in shown if name in archived.detail})


def _job_facts(event: Mapping[str, Any]) -> dict[str, Any]:
    """Ask Glue, the job's log and the job's own events."""
    detail, clients = event["detail"], _clients()
    name, run_id = str(detail.get("jobName", "")), str(detail.get("jobRunId", ""))
    try:
        run = clients.glue.get_job_run(JobName=name, RunId=run_id)["JobRun"]
    except clients.glue.exceptions.EntityNotFoundException:
        return {"unknown": "Glue does not know this run"}
    facts = facts_of(run)
    job = job_of(name, os.environ["STACK"])
    first = began(run) - timedelta(minutes=2)
    said = words_of(Archive(clients.s3, os.environ["BUCKET"]).read(first.date(), after=id_at(first, b"")), job, run)
    if said:
        facts |= {"runId": said[-1].run, "counts": said[-1].detail.get("counts", {})}
    if job in WORKFLOWS and detail.get("state") in TROUBLE:
        facts["errorLines"] = last_lines(clients.logs, f"/aws-glue/{os.environ['STACK']}/error", run_id)
    return facts


def _rejected(record: Mapping[str, Any], why: str) -> str:
    """Put a message into the dead-letter queue with the reason; gives its id when that cannot be done now."""
    _say("rejected", message=record["messageId"], why=why)
    try:
        _clients().sqs.send_message(
            QueueUrl=os.environ["DEAD_LETTER_QUEUE"],
            MessageBody=record["body"] or " ",
            MessageAttributes={
                "reason": {"DataType": "String", "StringValue": why},
                "messageId": {"DataType": "String", "StringValue": record["messageId"]},
            },
        )
    except _FAILED as error:
        _say("retry", message=record["messageId"], why=str(error))
        return str(record["messageId"])
    return ""


def _say(what: str, **facts: object) -> None:
    print(json.dumps({"what": what, **facts}, default=str))


@cache
def _clients() -> ArchiverClients:
    config = Config(
        connect_timeout=3,
        read_timeout=10,
        retries={"mode": "standard", "max_attempts": 3},
        max_pool_connections=_WRITERS,
    )
    s3, sqs, glue, logs = (
        boto3.client(name, config=config, region_name=os.environ["AWS_REGION"])
        for name in ("s3", "sqs", "glue", "logs")
    )
    return ArchiverClients(s3, sqs, glue, logs)
