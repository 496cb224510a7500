"""Schedules: what Glue accepts is valid, anything else is rejected before a deployment."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brewhouse.aws.glue_schedule import schedule_problem

DAYS = "exactly one of day of month and day of week must be ?"
FIELDS = "it must be cron() with six fields, UTC"


@pytest.mark.parametrize(
    "schedule",
    ["cron(0 6 * * ? *)", "cron(15 12 ? * MON-FRI *)", "cron(0/10 * ? * MON *)", "cron(0 8 1 * ? 2026-2028)",
     "cron(0 0 L * ? *)", "cron(0 0 LW * ? *)", "cron(0 0 31W * ? *)", "cron(0 0 ? * 2#1 *)", "cron(0 0 ? * 6L *)",
     "cron(0,30 8 * JAN,JUL ? *)"],
)  # fmt: skip
def test_a_schedule_that_glue_accepts_is_valid(schedule: str) -> None:
    assert schedule_problem(schedule) == ""


@pytest.mark.parametrize(
    ("schedule", "problem"),
    [
        ("nonsense", FIELDS),
        ("cron(nonsense)", FIELDS),
        ("0 6 * * ? *", FIELDS),
        ("cron(0 6 * * ?)", FIELDS),
        ("cron(0  6 * * ? *)", FIELDS),
        ("cron(0 6 * * * *)", DAYS),
        ("cron(0 6 ? * ? *)", DAYS),
        ("cron(60 6 * * ? *)", "60 is an invalid minute"),
        ("cron(? 6 * * ? *)", "? is an invalid minute"),
        ("cron(MON 6 * * ? *)", "MON is an invalid minute"),
        ("cron(0 24 * * ? *)", "24 is an invalid hour"),
        ("cron(0 6 32 * ? *)", "32 is an invalid day of month"),
        ("cron(0 6 32W * ? *)", "32W is an invalid day of month"),
        ("cron(0 6 * FOO ? *)", "FOO is an invalid month"),
        ("cron(0 6 ? * 8 *)", "8 is an invalid day of week"),
        ("cron(0 6 ? * 2#6 *)", "2#6 is an invalid day of week"),
        ("cron(0 6 * * ? 1066)", "1066 is an invalid year"),
    ],
)
def test_a_schedule_that_glue_rejects_is_explained(schedule: str, problem: str) -> None:
    assert schedule_problem(schedule) == problem


@given(st.integers(-5, 70), st.integers(-5, 30))
def test_a_time_of_day_is_valid_within_the_limits_of_a_clock(minute: int, hour: int) -> None:
    is_valid = schedule_problem(f"cron({minute} {hour} * * ? *)") == ""
    assert is_valid == (0 <= minute < 60 and 0 <= hour < 24)


@given(st.text(max_size=30))
def test_any_text_gets_an_answer(text: str) -> None:
    assert isinstance(schedule_problem(text), str)
    assert schedule_problem(f"cron({text})") == "" or schedule_problem(f"cron({text})")
