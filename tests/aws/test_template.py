"""The template, its parameters, and the schedules of Glue."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brewhouse.aws.template import (
    SET_BY_DEPLOY,
    check_parameters,
    defaults,
    first_template,
    parse,
    schedule_problem,
    template,
)
from brewhouse.errors import UsageError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("!Ref Bucket", {"Ref": "Bucket"}),
        ("!Condition HasKey", {"Condition": "HasKey"}),
        ("!Sub ${AWS::StackName}-lake", {"Fn::Sub": "${AWS::StackName}-lake"}),
        ("!GetAtt Queue.Arn", {"Fn::GetAtt": ["Queue", "Arn"]}),
        ("!GetAtt Stack.Outputs.Lake", {"Fn::GetAtt": ["Stack", "Outputs.Lake"]}),
        ("!GetAtt [Queue, Arn]", {"Fn::GetAtt": ["Queue", "Arn"]}),
        ("!If [HasKey, !Ref KmsKeyArn, no]", {"Fn::If": ["HasKey", {"Ref": "KmsKeyArn"}, False]}),
        ("!Transform {Name: x, a: !Ref b}", {"Fn::Transform": {"Name": "x", "a": {"Ref": "b"}}}),
    ],
)  # fmt: skip
def test_a_tag_becomes_its_json_form(text: str, value: object) -> None:
    assert parse(f"key: {text}") == {"key": value}


def test_the_deployed_template_is_json_without_tags_and_equal_when_parsed_again() -> None:
    assert json.loads(template()) == parse(template())


def test_the_first_template_has_the_bucket_and_every_parameter() -> None:
    whole, first = json.loads(template()), json.loads(first_template(template()))
    assert first["Parameters"] == whole["Parameters"]
    assert set(first["Resources"]) == {"Bucket", "BucketPolicy"}
    assert set(first["Outputs"]) == {"Bucket"}


def test_parameters_without_a_default_are_set_by_deploy() -> None:
    parameters = json.loads(template())["Parameters"]
    assert set(parameters) - set(defaults()) == {
        "BucketName",
        "ScriptKey",
        "ModulesKey",
        "FunctionsKey",
    }
    assert defaults()["NumberOfWorkers"] == "2"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("Nothing", "1", "Unknown parameter Nothing. Known: AlertEmail, "),
        ("NumberOfWorker", "1", "Unknown parameter NumberOfWorker. Did you mean NumberOfWorkers?"),
        ("BucketName", "mine", "Unknown parameter BucketName."),
        ("Engine", "flink", "Engine must be one of spark, duckdb (got 'flink'). Engine that runs the models"),
        ("NumberOfWorkers", "1", "NumberOfWorkers must be a whole number from 2 to 50 (got '1'). Workers of a job"),
        ("NumberOfWorkers", "many", "NumberOfWorkers must be a whole number from 2 to 50 (got 'many')."),
        ("LogRetentionDays", "31", "LogRetentionDays must be one of 1, 3, 5, "),
        ("AlertEmail", "nobody", "AlertEmail must match ^([^@"),
        ("SourceUrl", "https://api.example.org/", "SourceUrl must match ^https?:"),
        (
            "Schedule",
            "daily",
            "Schedule must be cron(minutes hours day-of-month month day-of-week year) (got 'daily').",
        ),
        ("Schedule", "cron(0 6 * * * *)", "Invalid Schedule cron(0 6 * * * *): exactly one of day of month and"),
    ],
)
def test_a_parameter_that_the_stack_would_reject_is_rejected(name: str, value: str, message: str) -> None:
    with pytest.raises(UsageError) as refused:
        check_parameters({name: value}, template())
    assert str(refused.value).startswith(message)


def test_the_defaults_are_accepted() -> None:
    settable = {name: value for name, value in defaults().items() if name not in SET_BY_DEPLOY}
    check_parameters(settable, template())


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
