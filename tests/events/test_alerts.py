"""One message per incident when it opens and one when it is over, whatever happens in between."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brewhouse.events.alerts import WORKFLOW, Message, is_quiet, pending_notifications
from brewhouse.events.envelope import ALERT_SENT, CHECK, DRIFT, JOB, RUN, Event

ALL = ("failed", "checks_failed", "recovered", "late", "drift")
START = datetime(2026, 8, 2, 12, tzinfo=UTC)
JOBS = ("extract", "transform", "aggregate")


class Story:
    """Events of runs, one an hour, and what was sent meanwhile."""

    def __init__(self, kinds: tuple[str, ...] = ALL, late_after_hours: float = 0.0) -> None:
        self.events: list[Event] = []
        self.kinds = kinds
        self.late_after_hours = late_after_hours
        self.now = START
        self.sent: list[Message] = []
        self._ids = (f"{number:06}" for number in count())

    def say(self, kind: str, run: str, /, **detail: object) -> None:
        self.events.append(
            Event(id=next(self._ids), detail_type=kind, time=self.now.isoformat(), detail={"runId": run, **detail})
        )

    def run(
        self,
        outcome: str = "SUCCEEDED",
        job: str = "aggregate",
        *,
        jobs: tuple[str, ...] = JOBS,
        workflow: str = WORKFLOW,
        check: bool = False,
        drift: tuple[str, ...] = (),
    ) -> None:
        self.now += timedelta(hours=1)
        run = f"R{len(self.events)}"
        self.say(RUN, run, state="RUNNING", workflow=workflow)
        for name in jobs[: jobs.index(job) + 1] if outcome != "SUCCEEDED" else jobs:
            self.say(JOB, run, jobName=name, state="RUNNING")
            for what in drift:
                self.say(DRIFT, run, jobName=name, name="unknown_field", detail=what, count=1, example="x")
            if check and name == job:
                found = {"name": "id is unique", "table": "silver.breweries", "severity": "error", "found": 2}
                self.say(CHECK, run, jobName=name, checks=[{**found, "example": "a", "passed": False}])
            state = outcome if name == job else "SUCCEEDED"
            self.say(JOB, run, jobName=name, state=state, seconds=1.0, message=f"{name} {state}", counts={"records": 3})
        self.now += timedelta(minutes=1)
        why = "" if outcome == "SUCCEEDED" else "no"
        self.say(RUN, run, state=outcome, workflow=workflow, seconds=3.0, message=why)

    def look(self, *, arrives: bool = True) -> list[str]:
        """Send what is due, as `notify` does; tell its kinds."""
        messages = pending_notifications(
            self.events, now=self.now, kinds=self.kinds, late_after_hours=self.late_after_hours
        )
        if arrives:
            for message in messages:
                self.say(ALERT_SENT, message.run, kind=message.kind, incidents=list(message.incidents), receiver="")
            self.sent += messages
        return [message.kind for message in messages]


def test_a_workflow_that_never_failed_sends_nothing() -> None:
    story = Story()
    story.run()
    story.run()
    assert story.look() == []


def test_many_failures_are_one_message_and_the_recovery_is_another() -> None:
    story = Story()
    for _ in range(3):
        story.run("FAILED", "extract")
        story.look()
    story.run()
    story.look()
    story.run()
    story.look()
    assert [message.kind for message in story.sent] == ["failed", "recovered"]
    assert (story.sent[0].job, story.sent[0].why) == ("extract", ("no",))
    assert story.sent[1].failures == 3


@given(st.lists(st.tuples(st.sampled_from(["SUCCEEDED", "FAILED", "STOPPED"]), st.integers(0, 2), st.booleans())))
def test_every_incident_has_one_message_and_one_recovery(
    runs: list[tuple[str, int, bool]],
) -> None:
    story = Story()
    is_open = False
    expected: list[bool] = []
    for outcome, looks, check in runs:
        story.run(outcome, "transform", check=check and outcome == "FAILED")
        for _ in range(looks + 1):
            story.look()
        if (outcome == "FAILED" and not is_open) or (outcome == "SUCCEEDED" and is_open):
            is_open = not is_open
            expected.append(is_open)
    assert [message.kind != "recovered" for message in story.sent] == expected


@given(st.lists(st.tuples(st.sampled_from(["SUCCEEDED", "FAILED"]), st.booleans(), st.booleans())))
def test_an_unreliable_receiver_gets_each_message_at_most_once_and_no_recovery_alone(
    runs: list[tuple[str, bool, bool]],
) -> None:
    story = Story()
    for outcome, first, second in runs:
        story.run(outcome, "extract")
        story.look(arrives=first)
        story.look(arrives=second)
    sent = [(key, message.kind) for message in story.sent for key in message.incidents]
    assert len(sent) == len(set(sent))
    for place, message in enumerate(story.sent):
        before = {key for earlier in story.sent[:place] for key in earlier.incidents}
        assert message.kind != "recovered" or set(message.incidents) <= before


def test_a_failed_check_has_a_message_of_its_own() -> None:
    story = Story()
    story.run("FAILED", "transform", check=True)
    assert story.look() == ["checks_failed"]
    assert story.sent[0].why == ("silver.breweries: id is unique: 2 violations, such as a",)


def test_an_incident_is_not_over_before_the_job_that_failed_succeeds() -> None:
    story = Story()
    story.run("FAILED", "transform")
    story.look()
    story.run("SUCCEEDED", jobs=("extract",))
    assert story.look() == []
    story.run("SUCCEEDED", jobs=("transform",))
    assert story.look() == ["recovered"]


def test_workflows_fail_and_recover_independently() -> None:
    story = Story()
    story.run("FAILED", "maintain", jobs=("maintain",), workflow="maintain")
    assert story.look() == ["failed"]
    story.run()
    assert story.look() == []
    story.run("SUCCEEDED", jobs=("maintain",), workflow="maintain")
    assert story.look() == ["recovered"]


def test_only_wanted_kinds_are_sent() -> None:
    story = Story(kinds=("checks_failed", "recovered"))
    story.run("FAILED", "extract")
    assert story.look() == []
    story.run("FAILED", "transform", check=True)
    assert story.look() == ["checks_failed"]
    story.run()
    assert story.look() == ["recovered"]


def test_an_unreported_failure_has_no_recovery_message() -> None:
    story = Story()
    story.run("FAILED", "extract")
    story.run()
    assert story.look() == []


def test_a_late_workflow_is_reported_once_and_so_is_its_recovery() -> None:
    story = Story(late_after_hours=24)
    story.run()
    assert story.look() == []
    for _ in range(3):
        story.now += timedelta(hours=25)
        story.look()
    story.run()
    story.look()
    assert [message.kind for message in story.sent] == ["late", "recovered"]


def test_a_success_that_a_wrong_clock_dated_in_the_future_does_not_hide_a_late_workflow() -> None:
    story = Story(late_after_hours=24)
    story.run()
    story.now += timedelta(days=9999)
    story.run()
    story.now = START + timedelta(hours=24)  # the clock is right again
    assert story.look() == []
    story.now += timedelta(hours=2)
    assert story.look() == ["late"]


def test_a_reported_failure_is_not_reported_as_late_too() -> None:
    story = Story(late_after_hours=24)
    story.run()
    story.run("FAILED", "extract")
    story.look()
    story.now += timedelta(hours=48)
    assert story.look() == []


def test_a_failure_of_a_late_workflow_is_reported_and_one_recovery_ends_both() -> None:
    story = Story(late_after_hours=24)
    story.run()
    story.now += timedelta(hours=48)
    story.look()
    story.run("FAILED", "extract")
    story.look()
    story.run()
    story.look()
    assert [message.kind for message in story.sent] == ["late", "failed", "recovered"]


def test_drift_is_reported_if_the_previous_snapshot_did_not_have_it() -> None:
    story = Story()
    story.run(drift=("color",))
    assert story.look() == ["drift"]
    story.run(drift=("color",))
    assert story.look() == []
    story.run(drift=("color", "size"))
    assert story.look() == ["drift"]
    assert "size" in story.sent[-1].why[0]


def test_two_receivers_are_notified_independently() -> None:
    story = Story()
    story.run("FAILED", "extract")
    story.look()
    messages = pending_notifications(story.events, now=story.now, kinds=ALL, receiver="another")
    assert [message.kind for message in messages] == ["failed"]


@pytest.mark.parametrize(
    ("hours", "hour", "expected"),
    [
        ("22:00-07:00", 23, True),
        ("22:00-07:00", 12, False),
        ("09:00-17:00", 9, True),
        ("09:00-17:00", 17, False),
        ("", 3, False),
    ],
)
def test_quiet_hours_may_span_midnight(hours: str, hour: int, expected: bool) -> None:
    assert is_quiet(START.replace(hour=hour), hours) is expected
