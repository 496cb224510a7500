"""A failure on purpose: extract runs against a source that does not exist, and the failure must be reported."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from brewhouse.aws.deploy import DeploymentCheck
from brewhouse.aws.functions.lake_events import LakeEvents
from brewhouse.aws.session import Account
from brewhouse.aws.stacks import Stack
from brewhouse.events.envelope import EventEnvelope
from brewhouse.events.event_types import ALERT_SENT, JOB
from brewhouse.ids import id_at

POLL_S = 15.0
TIMEOUT_S = 2700.0
"""Two attempts of a job, a few minutes each, and the notifier's next scheduled run."""
_DEAD_SOURCE = "http://127.0.0.1:9"  # the port of the discard protocol, which nothing serves


def failure_drill(account: Account, stack: Stack) -> Iterator[DeploymentCheck]:
    """Start the failing job run, and yield a check for each effect once it is there, or when the time is over."""
    begin = datetime.now(UTC)
    s3, bucket = account.client("s3"), stack.parameters["BucketName"]
    run = account.client("glue").start_job_run(
        JobName=f"{stack.name}-extract", Arguments={"--source-url": _DEAD_SOURCE}
    )["JobRunId"]

    def ends(events: Sequence[EventEnvelope]) -> list[EventEnvelope]:
        return [
            each
            for each in events
            if (each.detail_type, each.source, each.detail.get("state")) == (JOB, "aws.glue", "FAILED")
            and str(each.detail.get("jobRunId")).startswith(run)
        ]

    def has_alert(events: Sequence[EventEnvelope]) -> bool:
        return any(each.detail_type == ALERT_SENT and each.detail.get("kind") == "failed" for each in events)

    def has_log(events: Sequence[EventEnvelope]) -> bool:
        keys = (f"lake/job_logs/{end.key.split('/', 1)[1]}" for end in ends(events))
        return any(s3.list_objects_v2(Bucket=bucket, Prefix=key).get("KeyCount") for key in keys)

    waiting: dict[str, Callable[[Sequence[EventEnvelope]], object]] = {
        "the event of a failed job arrives": ends,
        "its log lines are archived": has_log,
        "an alert is sent": has_alert,
    }
    deadline = time.monotonic() + TIMEOUT_S
    while waiting:
        events = LakeEvents(s3, bucket).read(begin.date(), after=id_at(begin - timedelta(seconds=1), b""))
        for name in [name for name, is_there in waiting.items() if is_there(events)]:
            del waiting[name]
            yield DeploymentCheck(name, passed=True, detail=f"after {(datetime.now(UTC) - begin).seconds} s")
        if waiting and time.monotonic() > deadline:
            yield from (DeploymentCheck(name, passed=False, detail=f"not within {TIMEOUT_S:.0f} s") for name in waiting)
            return
        time.sleep(POLL_S if waiting else 0)
