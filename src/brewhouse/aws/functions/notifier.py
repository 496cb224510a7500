"""The notifier: checks the outcome of the jobs and publishes alerts, one message per incident.

Glue's events may be lost, so it also runs every 30 minutes, and reads the state of the jobs from Glue and the archived
events each time. Messages are those of a local lake (`brewhouse.events.alerts`, `.messages`). It also writes the end of
a run that Glue ended before the job could, or never started.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, TypeAlias
from urllib.parse import quote

from brewhouse.aws.functions import job_runs
from brewhouse.aws.functions.clients import client
from brewhouse.aws.functions.lake_events import LakeEvents
from brewhouse.aws.functions.lease import lease
from brewhouse.aws.functions.normalize import WORKFLOWS
from brewhouse.events.alerts import Message, pending_notifications
from brewhouse.events.envelope import ALERT_SENT, JOB, RUN, Event
from brewhouse.events.messages import body, subject
from brewhouse.ids import id_at, new_id

JobRun: TypeAlias = Mapping[str, Any]
KINDS = ("failed", "checks_failed", "recovered", "crawl_failed")
"""Alerts of this function; an alarm reports a late workflow, which also covers a notifier that does not run."""
RECEIVER = "sns"
_DAYS_READ = 92
_RUNS_PER_JOB = 5
_MAX_RUN_AGE = timedelta(days=2)
_START_WAIT = timedelta(minutes=5)  # a retry or the next job that has not started by then may never start
_CHAIN = ("extract", "transform", "aggregate")
_LOG_LINES = 4  # after Glue's own message: as many as fit into an alert
_LEASE = "lake/alerts.lock"
_LEASE_S = 130.0  # longer than the function's timeout
_LEASE_TIMEOUT_S = 30.0
_SUBJECT_CHARACTERS = 99  # https://docs.aws.amazon.com/sns/latest/api/API_Publish.html


def handler(_event: Mapping[str, Any], _context: object) -> dict[str, Any]:
    """Publish the pending alerts, and return their subjects for the log; the entry point of the Lambda function."""
    s3, bucket = client("s3"), os.environ["BUCKET"]
    lake_events = LakeEvents(s3, bucket)
    now = datetime.now(UTC)
    with lease(s3, bucket, _LEASE, _LEASE_S, _LEASE_TIMEOUT_S):
        events = lake_events.read((now - timedelta(days=_DAYS_READ)).date())
        for end in _missing_ends(events, now):
            lake_events.put(end)
            events += [_job_end(end), end] if "glueJob" in end.detail else [end]
        events.sort(key=lambda event: event.id)
        pending = pending_notifications(events, now=now, kinds=KINDS, receiver=RECEIVER)
        sent = [_publish(lake_events, message, events) for message in pending]
    print(_success_metric(events, now))
    return {"sent": sent}


def _missing_ends(events: Sequence[Event], now: datetime) -> Iterator[Event]:
    """Yield the end of each run that Glue ended and that has no event of its end; reads `events` as they grow."""
    started: dict[str, Sequence[JobRun]] = {}
    for job in WORKFLOWS:
        name = f"{os.environ['STACK']}-{job}"
        retries = int(_of_glue("get_job", JobName=name).get("Job", {}).get("MaxRetries", 0))
        started[job] = _of_glue("get_job_runs", JobName=name, MaxResults=_RUNS_PER_JOB).get("JobRuns", [])
        retried = {each.get("PreviousRunId") for each in started[job]}
        for run in reversed(started[job]):
            start, end = job_runs.run_period(run)
            may_be_retried = run["JobRunState"] == "FAILED" and int(run.get("Attempt") or 0) < retries
            is_retried = may_be_retried and (run["Id"] in retried or end > now - _START_WAIT)
            if run["JobRunState"] not in job_runs.ENDED[1:] or is_retried or end < now - _MAX_RUN_AGE:
                continue
            if run_id := _run_without_end(events, job, run, start):
                yield _job_run_end(job, run, run_id)
    for job, following in pairwise(_CHAIN):
        yield from _missing_successor(events, now, job, started[job], started[following])
    yield from _missing_workflow_end(events, now)


def _run_without_end(events: Sequence[Event], job: str, run: JobRun, since: datetime) -> str:
    """Return the id of a job run's run if that has no event of its end since a time; else an empty text."""
    own = job_runs.job_events(events, job, run)
    run_id = own[-1].run if own else str(run["Id"])
    return "" if job_runs.has_end_event(events, run_id, since) else run_id


def _missing_successor(
    events: Sequence[Event], now: datetime, job: str, runs: Sequence[JobRun], successors: Sequence[JobRun]
) -> Iterator[Event]:
    """Yield the end of the last run if its next job never started: a trigger that is not active fails nothing in Glue.

    Both sequences are sorted newest first. Glue starts no other job after one that no trigger started.
    """
    for last in [run for run in runs if run["JobRunState"] == "SUCCEEDED" and run.get("TriggerName")][:1]:
        end = job_runs.run_period(last)[1]
        has_started = any(job_runs.run_period(run)[0] >= end for run in successors)
        is_due = now - _MAX_RUN_AGE < end < now - _START_WAIT
        if is_due and not has_started and (run_id := _run_without_end(events, job, last, end)):
            name = f"{os.environ['STACK']}-after-{job}"
            state = _of_glue("get_trigger", Name=name).get("Trigger", {}).get("State", "DELETED").lower()
            why = (
                f"AWS Glue started no job after {job}: the trigger {name} is {state}. `brewhouse aws deploy` starts it."
            )
            yield _run_end(last, str(last["Id"]), run_id, WORKFLOWS[job], [why])


def _missing_workflow_end(events: Sequence[Event], now: datetime) -> Iterator[Event]:
    """Yield the end of the last run of the workflow if Glue rejected or stopped it, and it has no event of its end."""
    last = _of_glue("get_workflow", Name=os.environ["STACK"]).get("Workflow", {}).get("LastRun", {})
    start, end = job_runs.run_period(last)
    if last.get("Status") in ("ERROR", "STOPPED") and end > now - _MAX_RUN_AGE:
        workflow_run = str(last["WorkflowRunId"])
        *_, run_id = workflow_run, *(e.run for e in events if e.detail.get("workflowRunId") == workflow_run)
        if not job_runs.has_end_event(events, run_id, start):
            why = f"AWS Glue ended the workflow as {last['Status']}: {last.get('ErrorMessage') or 'no message'}"
            yield _run_end(last, workflow_run, run_id, WORKFLOWS["extract"], [why])


def _of_glue(operation: str, **arguments: object) -> Mapping[str, Any]:
    """Call an operation of Glue; return nothing if what it is about does not exist."""
    glue = client("glue")
    try:
        answer: Mapping[str, Any] = getattr(glue, operation)(**arguments)
    except glue.exceptions.EntityNotFoundException:
        return {}
    return answer


def _job_run_end(job: str, run: JobRun, run_id: str) -> Event:
    lines = [
        f"AWS Glue ended the job {job} as {run['JobRunState']}: {run.get('ErrorMessage') or 'no message'}",
        *job_runs.error_lines(client("logs"), os.environ["STACK"], str(run["Id"]))[-_LOG_LINES:],
    ]
    facts = {**job_runs.run_facts(run), "glueJob": job, "glueJobRunId": run["Id"]}
    return _run_end(run, str(run["Id"]), run_id, WORKFLOWS[job], lines, **facts)


def _run_end(
    ended: Mapping[str, Any], glue_id: str, run_id: str, workflow: str, lines: Sequence[str], **facts: object
) -> Event:
    """Return the end of a run as a failure, also if it was stopped: its tables are not up to date."""
    moment = job_runs.run_period(ended)[1]
    detail = facts | _detail(run_id, workflow, workflow, "FAILED", "\n".join(lines), severity="ERROR", interrupted=True)
    end_id = id_at(moment, f"end of {glue_id}".encode())
    return Event(id=end_id, detail_type=RUN, time=moment.isoformat(), detail=detail)


def _detail(run: str, job: str, workflow: str, state: str, message: str, **more: object) -> dict[str, Any]:
    own = {"runId": run, "jobName": job, "jobRunId": run, "workflow": workflow, "state": state, "message": message}
    return {**own, **more}


def _job_end(end: Event) -> Event:
    """Return the end of the job that ended a run; Glue's own event may not be archived yet."""
    detail = {**end.detail, "jobName": end.detail["glueJob"], "jobRunId": end.detail["glueJobRunId"]}
    event_id = id_at(datetime.fromisoformat(end.time), f"job end of {end.id}".encode())
    return Event(id=event_id, detail_type=JOB, time=end.time, source="aws.glue", detail=detail)


def _publish(lake_events: LakeEvents, message: Message, events: Sequence[Event]) -> str:
    """Publish a message, write the event of it, and return its subject."""
    title = subject(message)
    run_link, log_link = _links(message, events)
    client("sns").publish(
        TopicArn=os.environ["ALERT_TOPIC"],
        Subject=title.encode("ascii", "replace").decode()[:_SUBJECT_CHARACTERS],
        Message=body(message, run_link, log_link),
        MessageAttributes={"kind": {"DataType": "String", "StringValue": message.kind}},
    )
    sent = {"kind": message.kind, "incidents": list(message.incidents), "receiver": RECEIVER, "severity": "INFO"}
    said = f"alert sent to the alert topic: {title}"
    detail = _detail(message.run, message.job, message.workflow, "RUNNING", said, **sent)
    now = datetime.now(UTC).isoformat()
    lake_events.put(Event(id=new_id(), detail_type=ALERT_SENT, time=now, detail=detail))
    return title


def _links(message: Message, events: Sequence[Event]) -> tuple[str, str]:
    """Return the pages of a run and of its log in the AWS console."""
    region, stack = os.environ["AWS_REGION"], os.environ["STACK"]
    console = f"https://{region}.console.aws.amazon.com"
    of_run = [event.detail for event in events if event.detail_type == JOB and event.run == message.run]
    jobs = [detail for detail in of_run if not message.job or detail.get("jobName") == message.job]
    job = message.job or (str(jobs[-1].get("jobName")) if jobs else "aggregate")
    ids = [str(detail.get("jobRunId", "")) for detail in jobs if str(detail.get("jobRunId", "")).startswith("jr_")]
    page = f"{console}/gluestudio/home?region={region}#"
    group = quote(quote(job_runs.output_group(stack), safe=""), safe="").replace("%", "$")
    log = f"{console}/cloudwatch/home?region={region}#logsV2:log-groups/log-group/{group}"
    if not ids:
        return f"{page}/editor/job/{stack}-{job}/runs", log
    return f"{page}/job/{stack}-{job}/run/{ids[-1]}", f"{log}/log-events/{ids[-1]}"


def _success_metric(events: Sequence[Event], now: datetime) -> str:
    """Return the hours since the last success of the workflow, in the format of a metric in a log.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
    """
    ends = [
        datetime.fromisoformat(event.time)
        for event in events
        if (event.detail_type, event.detail.get("jobName"), event.detail.get("state"))
        == (JOB, "aggregate", "SUCCEEDED")
    ]
    if not ends:
        return json.dumps({"what": "no success yet"})
    metrics = [{"Name": "HoursSinceSuccess", "Unit": "None"}]
    metric = {"Namespace": "Brewhouse", "Dimensions": [["Stack"]], "Metrics": metrics}
    hours = (now - max(ends)).total_seconds() / 3600
    line = {"_aws": {"Timestamp": int(now.timestamp() * 1000), "CloudWatchMetrics": [metric]}}
    return json.dumps({**line, "Stack": os.environ["STACK"], "HoursSinceSuccess": round(hours, 3)})
