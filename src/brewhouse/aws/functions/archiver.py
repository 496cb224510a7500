"""The archiver: reads events of AWS from the queue, adds the facts of job runs, and writes each into the lake once.

Next to the event of a job's end it writes the last lines of the job's log, for `monitoring.job_logs`.

An invalid message goes to the dead-letter queue at once, with the reason. Any other failure leaves the message in the
queue for a retry, without the rest of its batch.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from brewhouse.aws.functions.clients import client
from brewhouse.aws.functions.job_runs import FAILED, error_lines, job_events, log_lines, run_facts, run_period
from brewhouse.aws.functions.lake_events import LakeEvents
from brewhouse.aws.functions.normalize import WORKFLOWS, InvalidEventError, decode_event, normalize
from brewhouse.events.envelope import JOB
from brewhouse.ids import id_at

_WRITERS = 10
_ENRICH_ATTEMPTS = 3
_LOG_LINES = 1_000


def handler(event: Mapping[str, Any], _context: object) -> dict[str, Any]:
    """Archive a batch of SQS messages, and return those to retry; the entry point of the Lambda function.

    https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
    """
    with ThreadPoolExecutor(_WRITERS) as pool:
        failed = [message for message in pool.map(_process, event["Records"]) if message]
    return {"batchItemFailures": [{"itemIdentifier": message} for message in failed]}


def _process(record: Mapping[str, Any]) -> str:
    """Archive or reject one message; return its id if it must be retried."""
    try:
        try:
            _archive(record)
        except InvalidEventError as error:
            _reject(record, str(error))
    except Exception as error:  # noqa: BLE001 - the other messages of the batch must not be retried with it
        _log("retry", message=record["messageId"], why=str(error) or repr(error))
        return str(record["messageId"])
    return ""


def _archive(record: Mapping[str, Any]) -> None:
    event = decode_event(record["body"])
    facts: dict[str, Any] = {}
    lines: list[tuple[datetime, str]] = []
    if event["detail-type"] == JOB:
        try:
            facts = _job_facts(event["detail"])
            if run_id := str(event["detail"].get("jobRunId", "")):
                lines = log_lines(client("logs"), os.environ["STACK"], run_id, _LOG_LINES)
        except (BotoCoreError, ClientError) as error:
            if int(record["attributes"]["ApproximateReceiveCount"]) < _ENRICH_ATTEMPTS:
                raise
            facts = {"unknown": f"Glue could not be asked: {error}"}  # an incomplete event is better than none
    archived = normalize(event, os.environ["STACK"], facts)
    lake_events = LakeEvents(client("s3"), os.environ["BUCKET"])
    if lines:
        lake_events.put_log(archived, lines)
    is_new = lake_events.put(archived)
    if is_new and event["detail-type"] == JOB:
        shown = ("jobName", "state", "seconds", "dpuSeconds", "costUsd", "counts")
        _log("job", **{name: archived.detail[name] for name in shown if name in archived.detail})


def _job_facts(detail: Mapping[str, Any]) -> dict[str, Any]:
    """Collect the facts of a job run from Glue, from the job's log, and from the job's own events."""
    glue, stack = client("glue"), os.environ["STACK"]
    name, run_id = str(detail.get("jobName", "")), str(detail.get("jobRunId", ""))
    try:
        run = glue.get_job_run(JobName=name, RunId=run_id)["JobRun"]
    except glue.exceptions.EntityNotFoundException:
        return {"unknown": "Glue does not know this run"}
    facts = run_facts(run)
    job = name.removeprefix(f"{stack}-")
    first = run_period(run)[0] - timedelta(minutes=2)
    events = LakeEvents(client("s3"), os.environ["BUCKET"]).read(first.date(), after=id_at(first, b""))
    if own := job_events(events, job, run):
        facts |= {"runId": own[-1].run, "counts": own[-1].detail.get("counts", {})}
    if job in WORKFLOWS and detail.get("state") in FAILED:
        facts["errorLines"] = error_lines(client("logs"), stack, run_id)
    return facts


def _reject(record: Mapping[str, Any], reason: str) -> None:
    """Send a message to the dead-letter queue, with the reason."""
    _log("rejected", message=record["messageId"], why=reason)
    client("sqs").send_message(
        QueueUrl=os.environ["DEAD_LETTER_QUEUE"],
        MessageBody=record["body"] or " ",
        MessageAttributes={
            "reason": {"DataType": "String", "StringValue": reason},
            "messageId": {"DataType": "String", "StringValue": record["messageId"]},
        },
    )


def _log(what: str, **facts: object) -> None:
    print(json.dumps({"what": what, **facts}, default=str))
