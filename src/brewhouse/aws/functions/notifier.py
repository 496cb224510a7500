"""The notifier: looks what became of the jobs, and tells people what they should know, one message per incident.

It asks Glue and reads the archive, whatever woke it: an event of Glue makes it prompt, and one that is lost makes it
late by half an hour. Which messages are due, and their words, are those of one machine (`brewhouse.events.alerts`,
`.wording`). A run that Glue ended before it could say so itself gets its end here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from urllib.parse import quote

import boto3
from botocore.config import Config

from brewhouse.aws.functions.job_runs import ENDED, TROUBLE, began, ended, facts_of, has_ended, last_lines, words_of
from brewhouse.aws.functions.lake_events import Archive, Event
from brewhouse.aws.functions.lease import lease
from brewhouse.aws.functions.normalize import WORKFLOWS
from brewhouse.events.alerts import Message, pending_notifications
from brewhouse.events.event_types import ALERT_SENT, JOB, RUN
from brewhouse.events.messages import body, subject
from brewhouse.ids import id_at, new_id

KINDS = ("failed", "checks_failed", "recovered")
"""What is told; a workflow that is late is an alarm's to tell, which also notices that this function is dead."""
RECEIVER = "sns"
_DAYS_READ = 92
_RUNS_ASKED = 5
_DAYS_ASKED = 2
_LINES_TOLD = 4  # beside what Glue says: as many as a message has room for
_CONNECTIONS = 16
_LEASE = "lake/alerts.lock"
_LEASE_S = 130.0  # longer than the function may run
_WAIT_S = 30.0
_SUBJECT_CHARACTERS = 99  # https://docs.aws.amazon.com/sns/latest/api/API_Publish.html


@dataclass(frozen=True)
class NotifierClients:
    """What the notifier speaks to."""

    s3: Any
    glue: Any
    logs: Any
    sns: Any


def handler(_event: Mapping[str, Any], _context: object) -> dict[str, Any]:
    """Tell what is due; this is what Lambda calls.

    Returns:
        The subjects of what was told, for the log.
    """
    clients = _clients()
    archive = Archive(clients.s3, os.environ["BUCKET"])
    now = datetime.now(UTC)
    with lease(clients.s3, os.environ["BUCKET"], _LEASE, _LEASE_S, _WAIT_S):
        events = archive.read((now - timedelta(days=_DAYS_READ)).date())
        for end in _ends(events, now):
            archive.put(end)
            events += [_last_word(end), end]
        events.sort(key=lambda event: event.id)
        told = [
            _tell(archive, message, events)
            for message in pending_notifications(events, now=now, kinds=KINDS, receiver=RECEIVER)
        ]
    print(_gauge(events, now))
    return {"told": told}


def _ends(events: Sequence[Event], now: datetime) -> Iterator[Event]:
    """Give the end of each run that Glue ended, and that did not say so itself."""
    glue = _clients().glue
    for job in WORKFLOWS:
        name = f"{os.environ['STACK']}-{job}"
        try:
            retries = int(glue.get_job(JobName=name)["Job"].get("MaxRetries", 0))
            runs = glue.get_job_runs(JobName=name, MaxResults=_RUNS_ASKED)["JobRuns"]
        except glue.exceptions.EntityNotFoundException:
            continue
        for run in reversed(runs):
            is_tried_again = run["JobRunState"] == "FAILED" and int(run.get("Attempt") or 0) < retries
            if run["JobRunState"] not in ENDED[1:] or is_tried_again or ended(run) < now - timedelta(days=_DAYS_ASKED):
                continue
            said = words_of(events, job, run)
            run_id = said[-1].run if said else str(run["Id"])
            if not has_ended(events, run_id, began(run)):
                yield _end(job, run, run_id)


def _end(job: str, run: Mapping[str, Any], run_id: str) -> Event:
    state = "FAILED" if run["JobRunState"] in TROUBLE else str(run["JobRunState"])
    lines = [f"AWS Glue ended the job {job} as {run['JobRunState']}: {run.get('ErrorMessage') or 'it says no more'}"]
    if state == "FAILED":
        lines += last_lines(_clients().logs, f"/aws-glue/{os.environ['STACK']}/error", str(run["Id"]))[-_LINES_TOLD:]
    moment = ended(run)
    detail = {
        **facts_of(run),
        "runId": run_id,
        "jobName": WORKFLOWS[job],
        "jobRunId": run_id,
        "workflow": WORKFLOWS[job],
        "state": state,
        "severity": "INFO" if state == "STOPPED" else "ERROR",
        "message": "\n".join(lines),
        "interrupted": True,
        "glueJob": job,
        "glueJobRunId": run["Id"],
    }
    end_id = id_at(moment, f"end of {run['Id']}".encode())
    return Event(id=end_id, detail_type=RUN, time=moment.isoformat(), detail=detail)


def _last_word(end: Event) -> Event:
    """Give the end of the job that ended a run: Glue's own event of it may not be in the archive yet."""
    detail = {**end.detail, "jobName": end.detail["glueJob"], "jobRunId": end.detail["glueJobRunId"]}
    word_id = id_at(datetime.fromisoformat(end.time), f"word of {end.id}".encode())
    return Event(id=word_id, detail_type=JOB, time=end.time, source="aws.glue", detail=detail)


def _tell(archive: Archive, message: Message, events: Sequence[Event]) -> str:
    words = subject(message)
    run_link, log_link = _links(message, events)
    _clients().sns.publish(
        TopicArn=os.environ["ALERT_TOPIC"],
        Subject=words.encode("ascii", "replace").decode()[:_SUBJECT_CHARACTERS],
        Message=body(message, run_link, log_link),
        MessageAttributes={"kind": {"DataType": "String", "StringValue": message.kind}},
    )
    detail = {
        "runId": message.run,
        "jobName": message.job,
        "jobRunId": message.run,
        "state": "RUNNING",
        "severity": "INFO",
        "message": f"alert sent to the alert topic: {words}",
        "workflow": message.workflow,
        "kind": message.kind,
        "incidents": list(message.incidents),
        "receiver": RECEIVER,
    }
    archive.put(Event(id=new_id(), detail_type=ALERT_SENT, time=datetime.now(UTC).isoformat(), detail=detail))
    return words


def _links(message: Message, events: Sequence[Event]) -> tuple[str, str]:
    """Say where in the console a run and its log can be looked at."""
    region = os.environ["AWS_REGION"]
    console = f"https://{region}.console.aws.amazon.com"
    of_run = [event.detail for event in events if event.detail_type == JOB and event.run == message.run]
    jobs = [detail for detail in of_run if not message.job or detail.get("jobName") == message.job]
    job = message.job or (str(jobs[-1].get("jobName")) if jobs else "aggregate")
    ids = [str(detail.get("jobRunId", "")) for detail in jobs if str(detail.get("jobRunId", "")).startswith("jr_")]
    page = f"{console}/gluestudio/home?region={region}#"
    name = f"{os.environ['STACK']}-{job}"
    group = quote(quote(f"/aws-glue/{os.environ['STACK']}/error", safe=""), safe="").replace("%", "$")
    log = f"{console}/cloudwatch/home?region={region}#logsV2:log-groups/log-group/{group}"
    if not ids:
        return f"{page}/editor/job/{name}/runs", log
    return f"{page}/job/{name}/run/{ids[-1]}", f"{log}/log-events/{ids[-1]}"


def _gauge(events: Sequence[Event], now: datetime) -> str:
    """Give the hours since the workflow succeeded last, as CloudWatch reads a metric from a log.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
    """
    ends = [
        datetime.fromisoformat(event.time)
        for event in events
        if event.detail_type == JOB
        and event.detail.get("jobName") == "aggregate"
        and event.detail.get("state") == "SUCCEEDED"
    ]
    if not ends:
        return json.dumps({"what": "no success yet"})
    metric = {
        "Namespace": "Brewhouse",
        "Dimensions": [["Stack"]],
        "Metrics": [{"Name": "HoursSinceSuccess", "Unit": "None"}],
    }
    hours = (now - max(ends)).total_seconds() / 3600
    line = {"_aws": {"Timestamp": int(now.timestamp() * 1000), "CloudWatchMetrics": [metric]}}
    return json.dumps({**line, "Stack": os.environ["STACK"], "HoursSinceSuccess": round(hours, 3)})


@cache
def _clients() -> NotifierClients:
    config = Config(
        connect_timeout=3,
        read_timeout=10,
        retries={"mode": "standard", "max_attempts": 3},
        max_pool_connections=_CONNECTIONS,
    )
    s3, glue, logs, sns = (
        boto3.client(name, config=config, region_name=os.environ["AWS_REGION"])
        for name in ("s3", "glue", "logs", "sns")
    )
    return NotifierClients(s3, glue, logs, sns)
