"""The template: cfn-lint and the checks of `template_checks.py` find nothing in it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import date, timedelta
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from tests.aws.api_calls import shape_problems
from tests.aws.resolved_template import ACCOUNT, REGION, STACK, VARIANTS, resolve
from tests.aws.template_checks import problems

from brewhouse.aws.functions import notifier
from brewhouse.aws.functions.job_runs import output_group
from brewhouse.aws.package import GLUE_PYTHON
from brewhouse.aws.preflight import as_list
from brewhouse.aws.template import first_template, parse, template
from brewhouse.backfill.version_sources import list_versions
from brewhouse.errors import UsageError
from brewhouse.query.saved_queries import for_athena, saved_queries

Change = Callable[[dict[str, Any]], object]
METRICS = ("metrics", "observability-metrics", "job-insights")


@pytest.fixture(scope="module")
def stack() -> dict[str, Any]:
    return parse(template())


def test_cfn_lint_finds_nothing() -> None:
    from cfnlint.api import ManualArgs, lint

    config = ManualArgs(regions=["eu-central-1", "us-east-1", "sa-east-1"], include_checks=["I"])
    assert [str(match) for match in lint(template(), config=config)] == []


def test_our_own_checks_find_nothing(stack: dict[str, Any]) -> None:
    assert problems(stack) == []


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_property_satisfies_the_input_shapes_of_its_service(stack: dict[str, Any], variant: str) -> None:
    assert shape_problems(resolve(stack, VARIANTS[variant])) == []


@pytest.mark.parametrize(
    ("name", "change", "found"),
    [
        ("ExtractJob", {"WorkerType": "G.3X"}, "WorkerType is 'G.3X', not one of"),
        ("ExtractJob", {"Workers": 2}, 'Unknown parameter in input: "Workers"'),
        ("ExtractJob", {"Description": "x" * 2049}, "Description is 'x"),
        ("ExtractJob", {"GlueVersion": "six"}, "GlueVersion is 'six', unlike"),
        ("ExtractJob", {"DefaultArguments": {"--retries": 1}}, "DefaultArguments.--retries, value: 1"),
        ("ArchiverMapping", {"BatchSize": 10_001}, "BatchSize is 10001, more than 10000"),
        ("Archiver", {"Runtime": "python4"}, "Runtime is 'python4'"),
        ("EventQueue", {"KmsKey": "x"}, "Attributes (key: KmsKey) is 'KmsKey'"),
        ("NotifierRole", {"Description": "\u2014" * 3}, "Description is"),
        ("Bucket", {"VersioningConfiguration": {"Status": "On"}}, "Status is 'On'"),
        ("NoSuccessAlarm", {"AlarmName": ""}, "Invalid length for parameter AlarmName"),
    ],
)
def test_a_property_that_its_service_would_reject_is_found(
    stack: dict[str, Any], name: str, change: dict[str, Any], found: str
) -> None:
    resources = resolve(stack)
    resources[name]["Properties"] |= change
    assert [problem for problem in shape_problems({name: resources[name]}) if found in problem]


def test_the_template_fits_into_a_bucket_and_the_first_one_into_a_request() -> None:
    """https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html."""
    assert len(template().encode()) <= 1_000_000
    assert len(first_template(template()).encode()) <= 51_200


def test_the_first_template_is_valid_on_its_own() -> None:
    from cfnlint.api import ManualArgs, lint

    found = lint(first_template(template()), config=ManualArgs(regions=["eu-central-1"]))
    assert [str(match) for match in found if match.rule.id not in {"W2001", "W8001"}] == []  # not used yet


def test_every_parameter_is_described_and_limited_and_used(stack: dict[str, Any]) -> None:
    for name, facts in stack["Parameters"].items():
        assert facts["Description"], name
        assert {"AllowedValues", "AllowedPattern", "MinValue"} & set(facts), name
        assert f'"Ref": "{name}"' in template() or f"${{{name}}}" in template(), name
    groups = stack["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    assert sorted(name for group in groups for name in group["Parameters"]) == sorted(stack["Parameters"])


def test_a_permission_on_every_resource_has_a_comment_with_the_reason() -> None:
    source = files("brewhouse.aws").joinpath("stack.yaml").read_text("utf-8")
    lines = [line for line in source.splitlines() if 'Resource: "*"' in line]
    assert lines
    assert all("#" in line for line in lines)


def test_every_role_has_the_permissions_boundary(stack: dict[str, Any]) -> None:
    roles = [facts for facts in stack["Resources"].values() if facts["Type"] == "AWS::IAM::Role"]
    assert roles
    assert all(role["Properties"]["PermissionsBoundary"]["Fn::If"][0] == "HasBoundary" for role in roles)


def test_the_functions_may_read_what_they_ask_for(stack: dict[str, Any]) -> None:
    """The emulator's policies do not know log streams, workflows and triggers."""
    resources, here = resolve(stack), f"{REGION}:{ACCOUNT}"
    groups = [
        facts["Properties"]["LogGroupName"] for facts in resources.values() if "LogGroupName" in facts["Properties"]
    ]
    assert output_group(STACK) in groups
    prefixes = [
        facts["Properties"].get("DefaultArguments", {}).get("--custom-logGroup-prefix") for facts in resources.values()
    ]
    assert {f"{prefix}/output" for prefix in prefixes if prefix} == {output_group(STACK)}
    log = ("logs:GetLogEvents", f"arn:aws:logs:{here}:log-group:{output_group(STACK)}:*")
    assert log in _allowed(resources["ArchiverRole"])
    triggers = [("glue:GetTrigger", f"arn:aws:glue:{here}:trigger/{STACK}-after-{job}") for job in notifier._CHAIN[:-1]]
    workflow = ("glue:GetWorkflow", f"arn:aws:glue:{here}:workflow/{STACK}")
    assert {log, workflow, *triggers} <= _allowed(resources["NotifierRole"])


def _allowed(role: dict[str, Any]) -> set[tuple[str, str]]:
    """Return the actions of a role, each with a resource."""
    statements = [s for policy in role["Properties"]["Policies"] for s in policy["PolicyDocument"]["Statement"]]
    return {(action, on) for s in statements for action in as_list(s["Action"]) for on in as_list(s["Resource"])}


def test_the_description_says_why_the_tables_need_no_crawler(stack: dict[str, Any]) -> None:
    assert stack["Description"].endswith(
        "The jobs commit the silver and gold tables to the Glue catalog, so these need no crawler."
    )


def test_the_named_queries_are_the_saved_ones(stack: dict[str, Any]) -> None:
    named = {
        facts["Properties"]["Name"]: facts["Properties"]["QueryString"]["Fn::Sub"]
        for facts in stack["Resources"].values()
        if facts["Type"] == "AWS::Athena::NamedQuery"
    }
    assert named == {query.title: for_athena(query.sql, "${CatalogDatabase}") for query in saved_queries()}


def _first_dates(stack: dict[str, Any]) -> dict[str, str]:
    tables = {name: facts for name, facts in resolve(stack).items() if facts["Type"] == "AWS::Glue::Table"}
    parameters = {name: facts["Properties"]["TableInput"]["Parameters"] for name, facts in tables.items()}
    return {name: found["projection.date.range"].split(",")[0] for name, found in parameters.items()}


def test_every_date_that_backfill_accepts_is_a_partition_of_bronze(stack: dict[str, Any], tmp_path: Path) -> None:
    first = date.fromisoformat(_first_dates(stack)["RawBreweriesTable"])
    file = tmp_path / "breweries.csv"
    file.write_bytes(b"x")
    assert list_versions([file], str(first))
    with pytest.raises(UsageError, match="is before"):
        list_versions([file], str(first - timedelta(days=1)))


def test_the_partitions_of_events_begin_before_glue_had_events(stack: dict[str, Any]) -> None:
    assert _first_dates(stack)["EventsTable"] < "2017-08-14"


def test_the_jobs_need_no_package_index_and_read_what_deploy_uploads(stack: dict[str, Any]) -> None:
    jobs = [facts["Properties"] for facts in stack["Resources"].values() if facts["Type"] == "AWS::Glue::Job"]
    assert [job["DefaultArguments"]["--job"] for job in jobs] == ["extract", "transform", "aggregate", "maintain"]
    for job in jobs:
        assert job["DefaultArguments"]["--python-modules-installer-option"] == "--no-index"
        assert job["Command"]["ScriptLocation"] == {"Fn::Sub": "s3://${BucketName}/${ScriptKey}"}


def test_spark_is_the_engine_and_leaves_its_event_logs_where_they_expire(stack: dict[str, Any]) -> None:
    assert stack["Parameters"]["Engine"]["Default"] == "spark"
    rule = stack["Rules"]["SparkVersion"]
    assert rule["RuleCondition"] == {"Fn::Equals": [{"Ref": "Engine"}, "spark"]}
    assert rule["Assertions"][0]["Assert"] == {"Fn::Equals": [{"Ref": "GlueVersion"}, "6.0"]}
    jobs = {
        facts["Properties"]["DefaultArguments"]["--job"]: facts["Properties"]
        for facts in stack["Resources"].values()
        if facts["Type"] == "AWS::Glue::Job"
    }
    assert all(job["DefaultArguments"][f"--enable-{name}"] == "true" for job in jobs.values() for name in METRICS)
    extract = jobs.pop("extract")
    assert (extract["WorkerType"], extract["NumberOfWorkers"]) == ("G.1X", 2)
    for job in jobs.values():
        arguments = job["DefaultArguments"]
        assert arguments["--engine"] == {"Ref": "Engine"}
        assert arguments["--spark-worker-type"] == job["WorkerType"] == {"Ref": "WorkerType"}
        assert arguments["--spark-workers"] == job["NumberOfWorkers"] == {"Ref": "NumberOfWorkers"}
        assert arguments["--enable-auto-scaling"] == {"Fn::If": ["Scales", "true", "false"]}
        assert arguments["--enable-spark-ui"] == "true"
        assert arguments["--spark-event-logs-path"] == {"Fn::Sub": "s3://${BucketName}/spark-ui/"}
    [rule] = [
        rule
        for rule in _resource("Bucket")(stack)["LifecycleConfiguration"]["Rules"]
        if rule.get("Prefix") == "spark-ui/"
    ]
    assert rule["ExpirationInDays"] == {"Ref": "LogRetentionDays"}
    statements = _resource("TablesRole")(stack)["Policies"][0]["PolicyDocument"]["Statement"]
    [write] = [each for each in statements if each.get("Sid") == "WriteSparkEventLogs"]
    assert "s3:PutObject" in write["Action"]
    assert write["Resource"]["Fn::Sub"].endswith("/spark-ui/*")


def _resource(name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda stack: stack["Resources"][name]["Properties"]


def _statement(stack: dict[str, Any], name: str, number: int = 0) -> dict[str, Any]:
    statement: dict[str, Any] = _resource(name)(stack)["PolicyDocument"]["Statement"][number]
    return statement


RULES = ("JobRule", "CrawlerRule", "CatalogRule", "CallRule", "AlertRule", "LookRule")


def _forget_rule(stack: dict[str, Any], number: int) -> None:
    """Remove a rule from those whose failures the dead-letter queue admits."""
    _statement(stack, "DeadLettersPolicy", 1)["Condition"]["ArnEquals"]["aws:SourceArn"].pop(number)


_BREAKS: list[tuple[str, Change]] = [
    ("invalid schedule cron", lambda s: s["Parameters"]["Schedule"].update(Default="cron(0 6 * * * *)")),
    ("Glue version 4.0", lambda s: _resource("ExtractJob")(s).update(GlueVersion="4.0")),
    ("1 workers", lambda s: _resource("ExtractJob")(s).update(NumberOfWorkers=1)),
    ("the argument --retries is 1", lambda s: _resource("ExtractJob")(s).update(MaxRetries=0)),
    ("has no timeout", lambda s: _resource("ExtractJob")(s).pop("Timeout")),
    ("would never fire", lambda s: _resource("AfterExtractTrigger")(s).pop("StartOnCreation")),
    ("has no condition", lambda s: _resource("AfterExtractTrigger")(s)["Predicate"].update(Conditions=[])),
    (
        "logical operator",
        lambda s: _resource("AfterExtractTrigger")(s)["Predicate"]["Conditions"][0].pop("LogicalOperator"),
    ),
    (
        "is not an AWS::Glue::Job",
        lambda s: _resource("AfterExtractTrigger")(s)["Predicate"]["Conditions"][0].update(JobName="brew-raw"),
    ),
    (
        "is not an AWS::Glue::Crawler",
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
    (
        "JobRule: events that its target rejects",
        lambda s: _resource("JobRule")(s)["Targets"][0].pop("DeadLetterConfig"),
    ),
    ("JobRule: arn:aws:sns:", lambda s: _statement(s, "EventTopicPolicy").update(Resource={"Ref": "AlertTopic"})),
    (
        "EventBridge cannot publish under a condition",
        lambda s: _statement(s, "EventTopicPolicy").update(Condition={"ArnEquals": {"aws:SourceArn": "a"}}),
    ),
    *(
        (
            f"{rule}: arn:aws:sqs:eu-central-1:123456789012:brew-dead-letters does not admit its failures",
            partial(_forget_rule, number=number),
        )
        for number, rule in enumerate(RULES)
    ),
    (
        "EventSubscription: arn:aws:sqs",
        lambda s: _resource("DeadLettersPolicy")(s)["PolicyDocument"]["Statement"].pop(0),
    ),
    (
        "brew-events: arn:aws:sqs",
        lambda s: _resource("DeadLetters")(s)["RedriveAllowPolicy"].update(sourceQueueArns=["another"]),
    ),
    (
        "brew-notifier: its role may not send",
        lambda s: _resource("NotifierCalls")(s)["DestinationConfig"]["OnFailure"].update(
            Destination="arn:aws:sqs:another"
        ),
    ),
    ("changes some of its triggers at once", lambda s: s["Resources"]["AfterTransformTrigger"].pop("DependsOn")),
    (
        "changes some of its triggers at once",
        lambda s: s["Resources"]["AfterTransformTrigger"].update(DependsOn="StartTrigger"),
    ),
    ("DeadLetters: holds data", lambda s: s["Resources"]["DeadLetters"].pop("DeletionPolicy")),
    ("EventQueue: holds data", lambda s: s["Resources"]["EventQueue"].pop("UpdateReplacePolicy")),
    ("Notifier: allows", lambda s: _resource("LookRule")(s)["Targets"].clear()),
    ("LookRule: arn:aws:lambda:", lambda s: s["Resources"].pop("LookPermission")),
    ("return its whole batch", lambda s: _resource("ArchiverMapping")(s).pop("FunctionResponseTypes")),
    ("its queue has no dead-letter queue", lambda s: _resource("EventQueue")(s).pop("RedrivePolicy")),
    ("visibility timeout is shorter", lambda s: _resource("Archiver")(s).update(Timeout=61)),
    ("would never expire", lambda s: _resource("NotifierLog")(s).pop("RetentionInDays")),
    ("AlertTopic: accepts messages", lambda s: s["Resources"].pop("AlertTopicPolicy")),
    ("does not admit other-alarm", lambda s: _resource("NoSuccessAlarm")(s).update(AlarmName="other-alarm")),
    ("NoSuccessAlarm: has no action", lambda s: _resource("NoSuccessAlarm")(s).pop("AlarmActions")),
    ("more than 604800 s", lambda s: _resource("NoSuccessAlarm")(s).update(EvaluationPeriods=169)),
    ("more than 86400 s", lambda s: _resource("DeadLettersAlarm")(s).update(EvaluationPeriods=289)),
    ("allows ['6.0']", lambda s: s["Parameters"]["GlueVersion"].update(AllowedValues=["6.0"])),
]


@pytest.mark.parametrize(("found", "change"), _BREAKS, ids=[f"{n}-{found}" for n, (found, _) in enumerate(_BREAKS)])
def test_our_own_checks_detect(stack: dict[str, Any], found: str, change: Change) -> None:
    broken = copy.deepcopy(stack)
    change(broken)
    assert [problem for problem in problems(broken) if found in problem]


def test_every_glue_version_has_locked_dependencies() -> None:
    for version in GLUE_PYTHON.values():
        assert files("brewhouse.aws").joinpath(f"python{version}.lock").is_file()
