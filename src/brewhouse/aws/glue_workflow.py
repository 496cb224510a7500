"""The workflow in the account: starting it, following it, its state and its logs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from brewhouse.aws.session import Account, is_missing
from brewhouse.aws.stacks import POLL_S
from brewhouse.errors import BrewhouseError, ChecksFailed, UsageError

JOBS = ("extract", "transform", "aggregate", "maintain")
_DONE = {"SUCCEEDED", "FAILED", "STOPPED", "TIMEOUT", "ERROR", "EXPIRED", "CANCELLED"}
_LATER = "Only one may: `brewhouse aws status` shows how far its jobs are; start another when it is over."


@dataclass(frozen=True)
class Step:
    """How a job or crawler of a workflow run stands.

    Attributes:
        name: Of the job or crawler.
        state: As Glue says it, `WAITING` when it has not begun.
        seconds: How long it ran; None until it ends.
        message: Why it failed.
        run: Id of the job's run.
        is_crawler: Whether it is a crawler.
    """

    name: str
    state: str
    seconds: float | None = None
    message: str = ""
    run: str = ""
    is_crawler: bool = False

    @property
    def has_failed(self) -> bool:
        """Whether it ended, and not well."""
        return self.state in _DONE - {"SUCCEEDED"}


def start(account: Account, workflow: str) -> str:
    """Start the workflow, as its schedule does.

    Returns:
        The run's id.

    Raises:
        BrewhouseError: A run is going on already.
    """
    glue = account.client("glue")
    try:
        return str(glue.start_workflow_run(Name=workflow)["RunId"])
    except glue.exceptions.ConcurrentRunsExceededException as error:
        raise BrewhouseError(f"A run of the workflow {workflow} is going on already.", hint=_LATER) from error


def follow(account: Account, workflow: str, run: str) -> Iterator[Step]:
    """Tell each attempt's every new state, until the run is over.

    Raises:
        ChecksFailed: A job found that its tables must not be published.
        BrewhouseError: A job failed for another reason, or was never started.
    """
    told: dict[tuple[str, str], Step] = {}
    while True:
        found = account.client("glue").get_workflow_run(Name=workflow, RunId=run, IncludeGraph=True)["Run"]
        for step in _attempts(found):
            if told.get((step.name, step.run)) != step and step.state != "WAITING":
                told[step.name, step.run] = step
                yield step
        if found["Status"] not in {"RUNNING", "STOPPING"}:
            break
        time.sleep(POLL_S)
    judge(list(steps_of(found)), found["Status"], found.get("ErrorMessage", ""))


def judge(steps: list[Step], status: str, message: str = "") -> None:
    """Say how a workflow run ended; Glue calls it completed also when its jobs failed.

    A crawler that fails is no failure of the run, for nothing rests on what it finds.

    Args:
        steps: Of the run.
        status: Of the run.
        message: Of the run; Glue has one only where too many were going on already.

    Raises:
        ChecksFailed: A job found that its tables must not be published.
        BrewhouseError: A job failed for another reason, or was never started.
    """
    if message:
        raise BrewhouseError(f"Glue did not start the run: {message}", hint=_LATER)
    for step in steps:
        if step.has_failed and not step.is_crawler:
            kind = ChecksFailed if "ChecksFailed" in step.message else BrewhouseError
            raise kind(
                f"{step.name} ended as {step.state.lower()}: {step.message or 'no message'}",
                hint=f"`brewhouse aws logs {step.name.rsplit('-', 1)[-1]}` shows what it said.",
            )
    waiting = [step.name for step in steps if step.state == "WAITING"]
    if waiting or status != "COMPLETED":
        raise BrewhouseError(
            f"The run ended as {status.lower()}; never started: {', '.join(waiting) or 'none'}.",
            hint="`brewhouse aws status` shows whether every trigger is active.",
        )


def steps_of(run: dict[str, Any]) -> Iterator[Step]:
    """Read the steps of a workflow run, in the graph's order; of a job that was tried again, the last attempt."""
    yield from {step.name: step for step in _attempts(run)}.values()


def _attempts(run: dict[str, Any]) -> Iterator[Step]:
    for node in run.get("Graph", {}).get("Nodes", []):
        if node["Type"] == "JOB":
            runs = node.get("JobDetails", {}).get("JobRuns", [])
            for each in sorted(runs, key=lambda each: each.get("Attempt", 0)) or [None]:
                yield _step(node["Name"], each)
        elif node["Type"] == "CRAWLER":
            crawls = node.get("CrawlerDetails", {}).get("Crawls", [])
            last = crawls[0] if crawls else {}
            yield Step(
                node["Name"], last.get("State", "WAITING"), message=last.get("ErrorMessage", ""), is_crawler=True
            )


def last_job_runs(account: Account, stack: str) -> list[Step]:
    """Read the last run of each job; a job that never ran is waiting."""
    glue = account.client("glue")
    steps = []
    for job in JOBS:
        runs = glue.get_job_runs(JobName=f"{stack}-{job}", MaxResults=1)["JobRuns"]
        steps.append(_step(f"{stack}-{job}", runs[0] if runs else None))
    return steps


def logs(account: Account, stack: str, job: str, run: str | None = None) -> Iterator[str]:
    """Read what a job's run wrote, output before errors.

    Args:
        account: Where.
        stack: Its name.
        job: One of `JOBS`.
        run: Id of the job's run; None takes the last.

    Raises:
        UsageError: No such job, or it never ran.
    """
    from botocore.exceptions import ClientError

    if job not in JOBS:
        raise UsageError(f"There is no job {job}.", hint=f"There are: {', '.join(JOBS)}.")
    if run is None:
        last = next(step for step in last_job_runs(account, stack) if step.name == f"{stack}-{job}")
        if not last.run:
            raise UsageError(f"The job {job} never ran.", hint="`brewhouse aws run` starts the workflow.")
        run = last.run
    pages = account.client("logs").get_paginator("filter_log_events")
    for group in ("output", "error"):
        name = f"/aws-glue/{stack}/{group}"
        try:
            for page in pages.paginate(logGroupName=name, logStreamNamePrefix=run):
                yield from (event["message"].rstrip("\n") for event in page["events"])
        except ClientError as error:
            if not is_missing(error) and error.response["Error"]["Code"] != "ResourceNotFoundException":
                raise


def _step(name: str, run: dict[str, Any] | None) -> Step:
    if run is None:
        return Step(name, "WAITING")
    seconds = float(run.get("ExecutionTime") or 0) if run["JobRunState"] in _DONE else None
    return Step(name, run["JobRunState"], seconds, run.get("ErrorMessage", ""), run["Id"])
