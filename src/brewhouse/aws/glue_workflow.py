"""The Glue workflow: start it, follow it, and read the state and logs of its jobs."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from brewhouse.aws.functions.job_runs import ENDED, driver_streams, output_group
from brewhouse.aws.functions.normalize import WORKFLOWS
from brewhouse.aws.session import Account
from brewhouse.aws.stacks import POLL_S
from brewhouse.errors import BrewhouseError, ChecksFailed, UsageError

ACTIVE = {"ACTIVATED", "ACTIVATING"}
"""States of a trigger that fires."""
_DONE = {*ENDED, "CANCELLED"}  # the latter of crawlers
_WAIT_HINT = "One run at a time: `brewhouse aws status` shows the state of its jobs; start another when it has ended."


@dataclass(frozen=True)
class WorkflowStep:
    """The state of a job or crawler in a workflow run, as Glue names it; `WAITING` before it starts."""

    name: str
    state: str
    seconds: float | None = None  # None until it ends
    message: str = ""  # why it failed
    run: str = ""  # id of the job run
    ended: datetime | None = None
    is_crawler: bool = False

    @property
    def has_failed(self) -> bool:
        """Whether it ended without success."""
        return self.state in _DONE - {"SUCCEEDED"}


def start(account: Account, workflow: str) -> str:
    """Start the workflow, as its schedule does, and return the id of the run.

    Raises:
        BrewhouseError: A run is in progress.
    """
    glue = account.client("glue")
    try:
        return str(glue.start_workflow_run(Name=workflow)["RunId"])
    except glue.exceptions.ConcurrentRunsExceededException as error:
        raise BrewhouseError(f"A run of the workflow {workflow} is in progress.", hint=_WAIT_HINT) from error


def follow(account: Account, workflow: str, run: str) -> Iterator[WorkflowStep]:
    """Yield every state change of every attempt until the run ends.

    Raises:
        ChecksFailed: A job failed because a check of its tables failed.
        BrewhouseError: A job failed for another reason, or never started.
    """
    seen: dict[tuple[str, str], WorkflowStep] = {}
    while True:
        found = account.client("glue").get_workflow_run(Name=workflow, RunId=run, IncludeGraph=True)["Run"]
        for step in attempts(found):
            if seen.get((step.name, step.run)) != step and step.state != "WAITING":
                seen[step.name, step.run] = step
                yield step
        if found["Status"] not in {"RUNNING", "STOPPING"}:
            break
        time.sleep(POLL_S)
    nodes = found.get("Graph", {}).get("Nodes", [])
    triggers = [each["TriggerDetails"]["Trigger"] for each in nodes if each.get("TriggerDetails")]
    inactive = [each["Name"] for each in triggers if each["State"] not in ACTIVE]
    last = {step.name: step for step in attempts(found)}
    raise_on_failure(list(last.values()), found["Status"], found.get("ErrorMessage", ""), inactive)


def raise_on_failure(steps: list[WorkflowStep], status: str, message: str = "", inactive: Sequence[str] = ()) -> None:
    """Raise the failure of a workflow run; Glue reports `COMPLETED` even if its jobs failed.

    A failed crawler is not a failure of the run, since no job depends on the crawler.

    Args:
        steps: Last attempt of each.
        message: Glue sets one only if too many runs were in progress.
        inactive: Names of the triggers that do not fire.

    Raises:
        ChecksFailed: A job failed because a check of its tables failed.
        BrewhouseError: A job failed for another reason, or never started.
    """
    if message:
        raise BrewhouseError(f"Glue did not start the run: {message}", hint=_WAIT_HINT)
    for step in steps:
        if step.has_failed and not step.is_crawler:
            kind = ChecksFailed if "ChecksFailed" in step.message else BrewhouseError
            raise kind(
                f"{step.name} ended as {step.state.lower()}: {step.message or 'no message'}",
                hint=f"Read its log: `brewhouse aws logs {step.name.rsplit('-', 1)[-1]}`.",
            )
    waiting = [step.name for step in steps if step.state == "WAITING"]
    if waiting or status != "COMPLETED":
        reason = f", since a trigger is inactive: {', '.join(inactive)}" if waiting and inactive else ""
        raise BrewhouseError(
            f"The run ended as {status.lower()}; never started: {', '.join(waiting) or 'none'}{reason}.",
            hint="`brewhouse aws status` shows the triggers, `brewhouse aws deploy` starts those that are inactive.",
        )


def attempts(run: dict[str, Any]) -> Iterator[WorkflowStep]:
    """Yield the attempts of each step of a workflow run, in the order of its graph."""
    for node in run.get("Graph", {}).get("Nodes", []):
        name = node["Name"]
        if node["Type"] == "JOB":
            runs = node.get("JobDetails", {}).get("JobRuns", [])
            for each in sorted(runs, key=lambda each: each.get("Attempt", 0)) or [None]:
                yield _step(name, each)
        elif node["Type"] == "CRAWLER":
            last = (node.get("CrawlerDetails", {}).get("Crawls") or [{}])[0]
            message = last.get("ErrorMessage", "")
            yield WorkflowStep(name, last.get("State", "WAITING"), message=message, is_crawler=True)


def last_job_runs(account: Account, stack: str) -> list[WorkflowStep]:
    """Return the last run of each job; a job that never ran is waiting."""
    glue = account.client("glue")
    runs = {f"{stack}-{job}": glue.get_job_runs(JobName=f"{stack}-{job}", MaxResults=1)["JobRuns"] for job in WORKFLOWS}
    return [_step(name, found[0] if found else None) for name, found in runs.items()]


def logs(account: Account, stack: str, job: str, run: str | None = None, *, executors: bool = False) -> Iterator[str]:
    """Yield the lines of the driver's log of a run of a job, by default its last attempt.

    Args:
        run: Id of a job run; a retry has an id, and a log, of its own.
        executors: Also yield the lines of Spark's executors, each with the name of its stream.

    Raises:
        UsageError: The job does not exist, or never ran.
    """
    if job not in WORKFLOWS:
        raise UsageError(f"Unknown job {job}.", hint=f"Jobs: {', '.join(WORKFLOWS)}.")
    if run is None:
        run = next(step.run for step in last_job_runs(account, stack) if step.name == f"{stack}-{job}")
        if not run:
            raise UsageError(f"The job {job} never ran.", hint="Start the workflow: `brewhouse aws run`.")
    client, group = account.client("logs"), output_group(stack)
    streams = client.get_paginator("describe_log_streams").paginate(logGroupName=group, logStreamNamePrefix=run)
    with suppress(client.exceptions.ResourceNotFoundException):
        names = [stream["logStreamName"] for page in streams for stream in page["logStreams"]]
        drivers = [name for name in names if name in driver_streams(run)]
        others = [name for name in names if name.startswith((f"{run}_g-", f"{run}-")) and name not in drivers]
        for name in [*drivers, *(others if executors else [])]:  # none of a retry, whose id begins with this one
            label = "" if name in drivers else f"{name.removeprefix(run)[1:]}: "
            pages = client.get_paginator("filter_log_events").paginate(logGroupName=group, logStreamNames=[name])
            yield from (f"{label}{event['message'].rstrip()}" for page in pages for event in page["events"])


def _step(name: str, run: dict[str, Any] | None) -> WorkflowStep:
    if run is None:
        return WorkflowStep(name, "WAITING")
    seconds = float(run.get("ExecutionTime") or 0) if run["JobRunState"] in _DONE else None
    ended = run.get("CompletedOn") if seconds is not None else None
    return WorkflowStep(name, run["JobRunState"], seconds, run.get("ErrorMessage", ""), run["Id"], ended=ended)
