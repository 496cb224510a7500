"""A failure on purpose: extract runs against a source that does not exist, and the failure must be reported."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from brewhouse.aws.deploy import DeploymentCheck
from brewhouse.aws.functions.lake_events import LakeEvents
from brewhouse.aws.session import Account
from brewhouse.aws.stacks import Stack
from brewhouse.events.envelope import ALERT_SENT, JOB, Event
from brewhouse.ids import id_at

POLL_S = 15.0
TIMEOUT_S = 2700.0
"""Two attempts of a job, a few minutes each, and the notifier's next scheduled run."""
_DEAD_SOURCE = "http://127.0.0.1:9"  # the port of the discard protocol, which nothing serves


def failure_drill(account: Account, stack: Stack) -> Iterator[DeploymentCheck]:
    """Start the failing job run, and yield a check for each effect once it is there, or when the time is over."""
    begin, deadline = datetime.now(UTC), time.monotonic() + TIMEOUT_S
    s3, bucket = account.client("s3"), stack.parameters["BucketName"]
    run = account.client("glue").start_job_run(
        JobName=f"{stack.name}-extract", Arguments={"--source-url": _DEAD_SOURCE}
    )["JobRunId"]
    reported: set[str] = set()
    while True:
        is_over = time.monotonic() > deadline
        events = LakeEvents(s3, bucket).read(begin.date(), after=id_at(begin - timedelta(seconds=1), b""))
        ends = [each for each in events if _is_failure(each, run)]
        logs = [f"lake/job_logs/{end.key.split('/', 1)[1]}" for end in ends]
        effects = {
            "the event of a failed job arrives": bool(ends),
            "its log lines are archived": any(
                s3.list_objects_v2(Bucket=bucket, Prefix=key)["KeyCount"] for key in logs
            ),
            "an alert is sent": any((e.detail_type, e.detail.get("kind")) == (ALERT_SENT, "failed") for e in events),
        }
        for name in [name for name, is_there in effects.items() if name not in reported and (is_there or is_over)]:
            reported.add(name)
            after = f"after {(datetime.now(UTC) - begin).seconds} s"
            yield DeploymentCheck(name, effects[name], after if effects[name] else f"not within {TIMEOUT_S:.0f} s")
        if len(reported) == len(effects):
            return
        time.sleep(POLL_S)


def _is_failure(event: Event, run: str) -> bool:
    """Return whether an event of Glue is the end of an attempt of a job run that failed."""
    kind = (event.source, event.detail_type, event.detail.get("state"))
    return kind == ("aws.glue", JOB, "FAILED") and str(event.detail.get("jobRunId")).startswith(run)
