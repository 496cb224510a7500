"""The template as text and as a whole: what linters and our own checks say of it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import pytest

from brewhouse.aws.template import MAX_BYTES, MAX_BYTES_IN_REQUEST, first_template, parse, template
from brewhouse.aws.template_checks import GLUE_PYTHON, cron_problem, problems
from brewhouse.query.saved_queries import for_athena, saved_queries

Change = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="module")
def stack() -> dict[str, Any]:
    return parse(template())


def test_cfn_lint_finds_nothing() -> None:
    from cfnlint.api import ManualArgs, lint

    assert [str(match) for match in lint(template(), config=ManualArgs(regions=["eu-central-1", "us-east-1"]))] == []


def test_our_own_checks_find_nothing(stack: dict[str, Any]) -> None:
    assert problems(stack, {}) == []


def test_the_template_is_short_enough_and_what_comes_first_fits_into_a_request() -> None:
    assert len(template().encode()) <= MAX_BYTES
    assert len(first_template(template()).encode()) <= MAX_BYTES_IN_REQUEST


def test_what_comes_first_is_a_template_by_itself() -> None:
    from cfnlint.api import ManualArgs, lint

    found = lint(first_template(template()), config=ManualArgs(regions=["eu-central-1"]))
    assert [str(match) for match in found if match.rule.id not in {"W2001", "W8001"}] == []  # what is not used yet


def test_every_parameter_is_described_and_limited_and_used(stack: dict[str, Any]) -> None:
    for name, facts in stack["Parameters"].items():
        assert facts["Description"], name
        assert {"AllowedValues", "AllowedPattern", "MinValue"} & set(facts), name
        assert f'"Ref": "{name}"' in template() or f"${{{name}}}" in template(), name
    groups = stack["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    assert sorted(name for group in groups for name in group["Parameters"]) == sorted(stack["Parameters"])


def test_whatever_is_allowed_on_everything_says_why_beside_it() -> None:
    source = files("brewhouse.aws").joinpath("stack.yaml").read_text("utf-8")
    lines = [line for line in source.splitlines() if 'Resource: "*"' in line]
    assert lines
    assert all("#" in line for line in lines)


def test_every_role_can_be_bounded(stack: dict[str, Any]) -> None:
    roles = [facts for facts in stack["Resources"].values() if facts["Type"] == "AWS::IAM::Role"]
    assert roles
    assert all(role["Properties"]["PermissionsBoundary"]["Fn::If"][0] == "HasBoundary" for role in roles)


def test_the_named_queries_are_the_saved_ones(stack: dict[str, Any]) -> None:
    named = {
        facts["Properties"]["Name"]: facts["Properties"]["QueryString"]["Fn::Sub"]
        for facts in stack["Resources"].values()
        if facts["Type"] == "AWS::Athena::NamedQuery"
    }
    assert named == {query.title: for_athena(query.sql, "${CatalogDatabase}") for query in saved_queries()}


def test_the_jobs_need_no_package_index_and_read_what_deploy_uploads(stack: dict[str, Any]) -> None:
    jobs = [facts["Properties"] for facts in stack["Resources"].values() if facts["Type"] == "AWS::Glue::Job"]
    assert [job["DefaultArguments"]["--job"] for job in jobs] == ["extract", "transform", "aggregate", "maintain"]
    for job in jobs:
        assert job["DefaultArguments"]["--python-modules-installer-option"] == "--no-index"
        assert job["Command"]["ScriptLocation"] == {"Fn::Sub": "s3://${BucketName}/${ScriptKey}"}


def _resource(name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda stack: stack["Resources"][name]["Properties"]


def _statement(stack: dict[str, Any], name: str) -> dict[str, Any]:
    statement: dict[str, Any] = _resource(name)(stack)["PolicyDocument"]["Statement"][0]
    return statement


_BREAKS: list[tuple[str, Change]] = [
    ("the schedule cron", lambda s: s["Parameters"]["Schedule"].update(Default="cron(0 6 * * * *)")),
    ("Glue version 4.0", lambda s: _resource("ExtractJob")(s).update(GlueVersion="4.0")),
    ("1 workers", lambda s: _resource("ExtractJob")(s).update(NumberOfWorkers=1)),
    ("told that it is 1", lambda s: _resource("ExtractJob")(s).update(MaxRetries=0)),
    ("has no timeout", lambda s: _resource("ExtractJob")(s).pop("Timeout")),
    ("is not started", lambda s: _resource("AfterExtractTrigger")(s).pop("StartOnCreation")),
    ("has no condition", lambda s: _resource("AfterExtractTrigger")(s)["Predicate"].update(Conditions=[])),
    (
        "logical operator",
        lambda s: _resource("AfterExtractTrigger")(s)["Predicate"]["Conditions"][0].pop("LogicalOperator"),
    ),
    (
        "is no AWS::Glue::Job",
        lambda s: _resource("AfterExtractTrigger")(s)["Predicate"]["Conditions"][0].update(JobName={"Ref": "Crawler"}),
    ),
    (
        "is no AWS::Glue::Crawler",
        lambda s: _resource("AfterAggregateTrigger")(s).update(Actions=[{"CrawlerName": "some name"}]),
    ),
    ("has one start", lambda s: _resource("MaintenanceTrigger")(s).update(WorkflowName={"Ref": "Workflow"})),
    ("would be lost", lambda s: s["Resources"]["Bucket"].update(DeletionPolicy="Delete")),
    (
        "on every resource",
        lambda s: _resource("ExtractRole")(s)["Policies"][0]["PolicyDocument"]["Statement"][0].update(Resource="*"),
    ),
    (
        "by a pattern",
        lambda s: _resource("ExtractRole")(s)["Policies"][0]["PolicyDocument"]["Statement"][0].update(Action="s3:*"),
    ),
    ("Iceberg table", lambda s: _resource("EventsTable")(s).update(OpenTableFormatInput={"IcebergInput": {}})),
    ("JobRule: what its target does not take", lambda s: _resource("JobRule")(s)["Targets"][0].pop("DeadLetterConfig")),
    (
        "CallRule: EventTopic does not let it in",
        lambda s: _statement(s, "EventTopicPolicy")["Condition"]["ArnEquals"]["aws:SourceArn"].pop(),
    ),
    ("EventTopic: lets CallRule in", lambda s: s["Resources"].pop("CallRule")),
    ("LookRule: Notifier does not let it in", lambda s: s["Resources"].pop("LookPermission")),
    ("bring its whole batch back", lambda s: _resource("ArchiverMapping")(s).pop("FunctionResponseTypes")),
    ("its queue has no dead-letter queue", lambda s: _resource("EventQueue")(s).pop("RedrivePolicy")),
    ("before the function can be done", lambda s: _resource("Archiver")(s).update(Timeout=61)),
    ("kept for ever", lambda s: _resource("NotifierLog")(s).pop("RetentionInDays")),
    ("AlertTopic: takes messages", lambda s: s["Resources"].pop("AlertTopicPolicy")),
    ("NoSuccessAlarm: tells nobody", lambda s: _resource("NoSuccessAlarm")(s).pop("AlarmActions")),
    ("a week with periods of an hour", lambda s: _resource("NoSuccessAlarm")(s).update(EvaluationPeriods=169)),
    ("a day is the most", lambda s: _resource("DeadLettersAlarm")(s).update(EvaluationPeriods=289)),
    ("allows ['6.0']", lambda s: s["Parameters"]["GlueVersion"].update(AllowedValues=["6.0"])),
]


@pytest.mark.parametrize(("found", "change"), _BREAKS, ids=[found for found, _ in _BREAKS])
def test_our_own_checks_find(stack: dict[str, Any], found: str, change: Change) -> None:
    broken = copy.deepcopy(stack)
    change(broken)
    assert [problem for problem in problems(broken, {}) if found in problem]


def test_a_parameter_given_is_checked_in_place_of_its_default(stack: dict[str, Any]) -> None:
    assert problems(stack, {"NumberOfWorkers": "1"})
    assert problems(stack, {"Schedule": "cron(nonsense)"})


@pytest.mark.parametrize(
    "schedule",
    ["cron(0 6 * * ? *)", "cron(15 12 ? * MON-FRI *)", "cron(0/10 * ? * MON *)", "cron(0 8 1 * ? 2026-2028)",
     "cron(0 0 L * ? *)", "cron(0 0 ? * 2#1 *)", "cron(0,30 8 * JAN,JUL ? *)"],
)  # fmt: skip
def test_a_schedule_glue_takes_is_right(schedule: str) -> None:
    assert cron_problem(schedule) == ""


@pytest.mark.parametrize(
    "schedule",
    ["nonsense", "cron(nonsense)", "0 6 * * ? *", "cron(0 6 * * ?)", "cron(60 6 * * ? *)", "cron(0 24 * * ? *)",
     "cron(0 6 32 * ? *)", "cron(0 6 * * * *)", "cron(0 6 ? * ? *)", "cron(0 6 ? * 8 *)", "cron(0 6 * FOO ? *)",
     "cron(0 6 * * ? 1066)", "cron(? 6 * * ? *)"],
)  # fmt: skip
def test_a_schedule_glue_refuses_is_found(schedule: str) -> None:
    assert cron_problem(schedule)


def test_every_glue_version_has_locked_dependencies() -> None:
    for version in GLUE_PYTHON.values():
        assert files("brewhouse.aws").joinpath(f"python{version}.lock").is_file()
