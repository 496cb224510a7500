"""Templates are parsed with the tags of CloudFormation, and queries become named queries."""

from __future__ import annotations

import json
import sys

import pytest

from brewhouse.aws.template import defaults, first_template, parse, template
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


def test_without_pyyaml_the_extra_to_install_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(UsageError, match=r"pip install .*\[aws\]"):
        parse("a: 1")
