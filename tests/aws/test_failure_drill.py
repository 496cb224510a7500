"""A job that fails on purpose must cause an event, an alert and archived log lines; what does not come is reported."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.aws.cloud import STACK

from brewhouse.aws import failure_drill
from brewhouse.aws.functions.lake_events import LakeEvents
from brewhouse.aws.session import Account
from brewhouse.aws.stacks import get_stack
from brewhouse.events.envelope import ALERT_SENT, JOB, Event
from brewhouse.ids import new_id

EVENT, LOG, ALERT = "the event of a failed job arrives", "its log lines are archived", "an alert is sent"


@pytest.fixture
def drill(deployed: Account, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, bool | None]]:
    """Run the drill in an account that causes these effects when the job is started."""
    monkeypatch.setattr(failure_drill, "POLL_S", 0.01)
    monkeypatch.setattr(failure_drill, "TIMEOUT_S", 0.2)
    asked: list[dict[str, Any]] = []
    glue, stack = deployed.client("glue"), get_stack(deployed, STACK)
    glue.meta.events.register("provide-client-params.glue.StartJobRun", lambda params, **_: asked.append(params))
    lake_events = LakeEvents(deployed.client("s3"), stack.parameters["BucketName"])

    def put(detail_type: str, source: str = "brewhouse", **detail: Any) -> Event:  # noqa: ANN401
        now = datetime.now(UTC).isoformat()
        event = Event(id=new_id(), detail_type=detail_type, time=now, source=source, detail=detail)
        lake_events.put(event)
        return event

    def run(*effects: str, state: str = "FAILED", suffix: str = "", kind: str = "failed") -> dict[str, bool | None]:
        def cause(parsed: dict[str, Any], **_: object) -> None:
            run_id = parsed["JobRunId"] + suffix
            end = put(JOB, "aws.glue", jobName="extract", jobRunId=run_id, state=state) if EVENT in effects else None
            if end and LOG in effects:
                lake_events.put_log(end, [(datetime.now(UTC), "refused")])
            if ALERT in effects:
                put(ALERT_SENT, kind=kind)

        glue.meta.events.register("after-call.glue.StartJobRun", cause, unique_id="effects")
        found = {check.name: check.passed for check in failure_drill.failure_drill(deployed, stack)}
        glue.meta.events.unregister("after-call.glue.StartJobRun", unique_id="effects")
        assert asked[-1] == {"JobName": f"{STACK}-extract", "Arguments": {"--source-url": "http://127.0.0.1:9"}}
        return found

    return run


def test_all_effects_of_a_failure_are_found(drill: Callable[..., dict[str, bool | None]]) -> None:
    assert drill(EVENT, LOG, ALERT) == {EVENT: True, LOG: True, ALERT: True}
    assert drill(EVENT, LOG, ALERT, suffix="_attempt_1") == {EVENT: True, LOG: True, ALERT: True}


def test_a_missing_effect_fails_after_the_time(drill: Callable[..., dict[str, bool | None]]) -> None:
    assert drill(EVENT, state="SUCCEEDED") == {EVENT: False, LOG: False, ALERT: False}
    assert drill(ALERT, kind="recovered") == {EVENT: False, LOG: False, ALERT: False}
    assert drill(EVENT) == {EVENT: True, LOG: False, ALERT: False}
    assert drill(ALERT) == {ALERT: True, EVENT: False, LOG: False}
