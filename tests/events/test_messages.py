"""The texts of notifications: complete, short, and free of contradictions for every kind."""

from __future__ import annotations

from typing import get_args

import pytest

from brewhouse.events.alerts import Kind, Message
from brewhouse.events.messages import body, subject

SINCE, TIME = "2026-08-01T06:00:00+00:00", "2026-08-02T12:34:56+00:00"


def message(kind: Kind, **changes: object) -> Message:
    fields = {"kind": kind, "incidents": ("a",), "run": "R1", "time": TIME, "since": SINCE} | changes
    return Message(**fields)  # type: ignore[arg-type]  # the fields of a message


def test_a_failure_has_the_job_the_time_the_reason_and_where_to_look() -> None:
    failed = message("failed", job="extract", why=tuple(f"line {number}" for number in range(8)))
    assert subject(failed) == "Brewhouse: extract failed"
    assert body(failed, "https://x/R1", "https://x/R1/log").splitlines() == [
        "The job extract failed at 2026-08-02 12:34 UTC.",
        "",
        *(f"line {number}" for number in range(5)),
        "… and 3 more lines",
        "",
        "The published tables are unchanged. You are notified once, and again when it has recovered.",
        "",
        "Run: https://x/R1",
        "Log: https://x/R1/log",
    ]


@pytest.mark.parametrize(
    ("kind", "changes", "subject_line", "first_line"),
    [
        ("failed", {}, "the breweries workflow failed", "The breweries workflow failed at 2026-08-02 12:34 UTC."),
        ("checks_failed", {"job": "transform"}, "checks of transform failed", "The job transform failed its checks at"),
        (
            "recovered",
            {"failures": 1},
            "the breweries workflow has recovered",
            "It had been failing since 2026-08-01 06:00 UTC (1 run).",
        ),
        ("recovered", {"failures": 2}, "the breweries workflow has recovered", "(2 runs)."),
        (
            "recovered",
            {"failures": 0},
            "the breweries workflow has recovered",
            "It had not succeeded since 2026-08-01 06:00 UTC.",
        ),
        ("late", {"time": SINCE}, "the breweries workflow is late", "has not succeeded since 2026-08-01 06:00 UTC."),
        ("drift", {}, "schema drift in the source", "deviates from its contract"),
        ("test", {}, "test message", "notifications arrive"),
        ("failed", {"workflow": "maintain"}, "the maintain workflow failed", "The maintain workflow failed at"),
    ],
)
def test_each_kind_has_a_subject_and_a_first_line(
    kind: Kind, changes: dict[str, object], subject_line: str, first_line: str
) -> None:
    text = message(kind, **changes)
    assert subject(text) == f"Brewhouse: {subject_line}"
    assert first_line in body(text).splitlines()[0]


@pytest.mark.parametrize("kind", get_args(Kind))
def test_a_subject_is_one_line_and_a_body_ends_with_a_line_break(kind: Kind) -> None:
    text = message(kind, why=("a reason",))
    assert "\n" not in subject(text)
    assert body(text).endswith("\n")
    assert "a reason" in body(text)


def test_a_long_line_is_cut_off() -> None:
    line = body(message("failed", why=("x" * 10_000,))).splitlines()[2]
    assert line == "x" * 500 + "…"


def test_without_links_the_run_is_named_and_its_log_is_not() -> None:
    lines = body(message("failed")).splitlines()
    assert "Run: R1" in lines
    assert not any(line.startswith("Log:") for line in lines)
    assert "Run:" not in body(message("late", run=""))


@pytest.mark.parametrize("kind", ["failed", "checks_failed", "late"])
def test_a_message_about_an_incident_promises_another_at_its_end(kind: Kind) -> None:
    assert "You are notified once, and again when it has recovered." in body(message(kind))
