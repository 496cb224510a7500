"""Templates are parsed with the tags of CloudFormation, and queries become named queries."""

from __future__ import annotations

import json

import pytest

from brewhouse.aws.template import SET_BY_DEPLOY, check_parameters, defaults, first_template, parse, template
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
