"""Deployment: the stack, its checks, and what a deleted stack keeps."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from tests.aws import emulator
from tests.aws.cloud import STACK

from brewhouse.aws.deploy import remove_queues
from brewhouse.aws.session import Account
from brewhouse.aws.stacks import Stack, find_stack
from brewhouse.aws.template import template
from brewhouse.cli.stack_changes import _updatable
from brewhouse.errors import BrewhouseError
from brewhouse.query.saved_queries import saved_queries

Call = Callable[..., tuple[int, str, str]]


def states(account: Account) -> dict[str, str]:
    glue = account.client("glue")
    names = ("start", "after-extract", "after-transform", "after-aggregate", "maintenance")
    return {name: glue.get_trigger(Name=f"{STACK}-{name}")["Trigger"]["State"] for name in names}


def bucket(account: Account) -> str:
    return f"{STACK}-{account.number}-{account.region}"


def timeout(account: Account) -> int:
    return int(account.client("glue").get_job(JobName=f"{STACK}-extract")["Job"]["Timeout"])


def keys(account: Account) -> list[str]:
    return [each["Key"] for each in account.client("s3").list_objects_v2(Bucket=bucket(account)).get("Contents", [])]


def test_the_tests_remove_only_unsupported_types_from_the_template() -> None:
    _, removed = emulator.split_unsupported(template())
    assert sorted({facts["Type"] for facts in removed}) == sorted(emulator.UNSUPPORTED)
    assert len(removed) == 1 + len(saved_queries())


def test_the_emulator_does_not_support_exactly_these_types(account: Account) -> None:
    cloudformation, s3 = account.client("cloudformation"), account.client("s3")
    s3.create_bucket(Bucket="templates", CreateBucketConfiguration={"LocationConstraint": account.region})

    def upload(name: str, text: str) -> str:
        s3.put_object(Bucket="templates", Key=name, Body=text.encode())
        return f"{s3.meta.endpoint_url}/templates/{name}"

    with pytest.raises(cloudformation.exceptions.ClientError) as refused:
        cloudformation.validate_template(TemplateURL=upload("whole", template()))
    trail = "AWS::CloudTrail::Trail"  # accepted if its condition is false
    assert all(kind in str(refused.value) for kind in (*emulator.UNSUPPORTED, trail))
    supported = json.loads(emulator.split_unsupported(template())[0])
    assert supported["Resources"].pop("Trail")["Type"] == trail
    cloudformation.validate_template(TemplateURL=upload("supported", json.dumps(supported)))


def test_one_command_creates_everything(account: Account, deploy: Call) -> None:
    code, out, err = deploy()
    assert (code, err) == (0, "")
    assert set(states(account).values()) == {"ACTIVATED"}
    assert len(keys(account)) == 4
    assert "FAILED" not in out
    assert out.count("ok  ") == 5 + 16  # checks before and after
    assert "not yet  alerts have a subscriber" in out
    glue = account.client("glue")
    for job in ("extract", "transform", "aggregate", "maintain"):
        found = glue.get_job(JobName=f"{STACK}-{job}")["Job"]
        assert found["Command"]["ScriptLocation"].split("/", 3)[3] in keys(account)
        assert found["DefaultArguments"]["--additional-python-modules"].split("/", 3)[3] in keys(account)


def test_the_receiver_of_alerts_is_subscribed(account: Account, deploy: Call, call: Call) -> None:
    code, out, err = deploy("--parameter", "AlertEmail=ann@example.org", "--parameter", "LateAfterHours=50")
    assert (code, err) == (0, "")
    assert "ann@example.org receives alerts" in out
    status = json.loads(call("status", "--stack", STACK, "--json")[1])
    assert [(each["protocol"], each["to"]) for each in status["alerts"]] == [("email", "ann@example.org")]
    assert [each["messages"] for each in status["queues"]] == [0, 0]
    assert [each["alarm"] for each in status["alarms"]] == [
        f"{STACK}-{name}" for name in ("archiver-behind", "archiver-errors", "dead-letters", "no-success")
    ]
    alarm = account.client("cloudwatch").describe_alarms(AlarmNames=[f"{STACK}-no-success"])["MetricAlarms"][0]
    assert alarm["Threshold"] == 50


def test_an_alarm_is_published_to_subscribers(deployed: Account) -> None:
    sqs, sns = deployed.client("sqs"), deployed.client("sns")
    inbox = sqs.create_queue(QueueName="inbox")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=inbox, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    topic = f"arn:aws:sns:{deployed.region}:{deployed.number}:{STACK}-alerts"
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    for name in ("dead-letters", "archiver-behind", "archiver-errors", "no-success"):
        cloudwatch = deployed.client("cloudwatch")
        cloudwatch.set_alarm_state(AlarmName=f"{STACK}-{name}", StateValue="ALARM", StateReason="test")
        [message] = sqs.receive_message(QueueUrl=inbox, WaitTimeSeconds=2)["Messages"]
        assert f"{STACK}-{name}" in message["Body"]
        sqs.delete_message(QueueUrl=inbox, ReceiptHandle=message["ReceiptHandle"])


def test_the_bucket_is_private_versioned_and_requires_tls(deployed: Account) -> None:
    s3 = deployed.client("s3")
    assert all(s3.get_public_access_block(Bucket=bucket(deployed))["PublicAccessBlockConfiguration"].values())
    assert s3.get_bucket_versioning(Bucket=bucket(deployed))["Status"] == "Enabled"
    policy = json.loads(s3.get_bucket_policy(Bucket=bucket(deployed))["Policy"])
    assert policy["Statement"][0]["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_a_second_deploy_changes_nothing(deployed: Account, deploy: Call) -> None:
    before = find_stack(deployed, STACK)
    code, out, err = deploy()
    assert (code, err) == (0, "")
    assert "nothing to change" in out
    assert "uploaded" not in out
    assert find_stack(deployed, STACK) == before


def test_an_update_uploads_and_changes_only_what_differs(deployed: Account, deploy: Call) -> None:
    artefacts = {
        "glue_job.py": b"print('a script')",
        "modules-python3.13.gluewheels.zip": b"other wheels",
    }
    code, out, err = deploy(artefacts=artefacts)
    assert (code, err) == (0, "")
    assert [line.split()[1] for line in out.splitlines() if line.startswith("uploaded")] == [
        "modules-python3.13.gluewheels.zip"
    ]
    changed = [line.split()[:2] for line in out.splitlines() if line.strip().startswith("modify")]
    assert sorted(name for _, name in changed) == ["AggregateJob", "ExtractJob", "MaintainJob", "TransformJob"]
    assert len(keys(deployed)) == 5


def test_a_parameter_keeps_its_value_until_it_is_set_again(deployed: Account, deploy: Call) -> None:
    assert deploy("--parameter", "TimeoutMinutes=45")[0] == 0
    assert timeout(deployed) == 45
    code, out, _ = deploy()
    assert code == 0
    assert "nothing to change" in out
    assert timeout(deployed) == 45


def test_the_crawler_can_be_disabled(account: Account, deploy: Call) -> None:
    assert deploy("--parameter", "RunCrawler=false")[0] == 0
    glue = account.client("glue")
    assert glue.get_crawlers()["Crawlers"] == []
    with pytest.raises(glue.exceptions.EntityNotFoundException):
        glue.get_trigger(Name=f"{STACK}-after-aggregate")
    tables = glue.get_tables(DatabaseName="brewhouse_bronze")["TableList"]
    assert [table["Name"] for table in tables] == ["breweries"]


def test_an_inactive_trigger_is_started(deployed: Account, deploy: Call) -> None:
    deployed.client("glue").stop_trigger(Name=f"{STACK}-after-extract")
    assert states(deployed)["after-extract"] != "ACTIVATED"
    code, out, _ = deploy()
    assert code == 0
    assert f"started trigger {STACK}-after-extract, which was inactive" in out
    assert states(deployed)["after-extract"] == "ACTIVATED"


def test_a_deleted_artefact_is_uploaded_again(deployed: Account, deploy: Call) -> None:
    deployed.client("s3").delete_object(Bucket=bucket(deployed), Key=keys(deployed)[0])
    code, out, _ = deploy()
    assert code == 0
    assert out.count("uploaded") == 1


def test_a_failed_first_deploy_names_the_cause_and_can_be_repeated(account: Account, deploy: Call) -> None:
    account.client("glue").create_job(
        Name=f"{STACK}-aggregate", Role="r", Command={"Name": "glueetl", "ScriptLocation": "s3://x/y"}
    )
    code, _, err = deploy()
    assert code == 1
    assert "AggregateJob" in err
    assert "already exists" in err.lower()
    glue = account.client("glue")
    with pytest.raises(glue.exceptions.EntityNotFoundException):
        glue.get_job(JobName=f"{STACK}-extract")
    glue.delete_job(JobName=f"{STACK}-aggregate")
    assert deploy()[0] == 0
    assert set(states(account).values()) == {"ACTIVATED"}


def _with_job_of_an_existing_name(text: str) -> str:
    changed: dict[str, Any] = json.loads(text)
    changed["Resources"]["OtherJob"] = {
        "Type": "AWS::Glue::Job",
        "Properties": {**changed["Resources"]["ExtractJob"]["Properties"], "Name": "existing"},
    }
    changed["Resources"]["ExtractJob"]["Properties"]["Timeout"] = 77
    return json.dumps(changed)


def test_a_failed_update_is_rolled_back_and_leaves_the_lake_unchanged(deployed: Account, deploy: Call) -> None:
    deployed.client("s3").put_object(Bucket=bucket(deployed), Key="lake/bronze/x", Body=b"kept")
    deployed.client("glue").create_job(
        Name="existing", Role="r", Command={"Name": "glueetl", "ScriptLocation": "s3://x/y"}
    )
    code, _, err = deploy(change=_with_job_of_an_existing_name)
    assert code == 1
    assert "UPDATE_ROLLBACK_COMPLETE" in err
    assert "OtherJob" in err
    assert timeout(deployed) == 30
    assert "lake/bronze/x" in keys(deployed)
    assert set(states(deployed).values()) == {"ACTIVATED"}


def test_destroy_keeps_the_lake_and_the_next_deploy_uses_it(deployed: Account, deploy: Call, call: Call) -> None:
    deployed.client("s3").put_object(Bucket=bucket(deployed), Key="lake/bronze/x", Body=b"kept")
    code, out, err = call("destroy", "--stack", STACK, "--yes")
    assert (code, err) == (0, "")
    assert f"Kept: s3://{bucket(deployed)}" in out
    assert "brewhouse_bronze, brewhouse_gold, brewhouse_monitoring, brewhouse_silver" in out
    assert find_stack(deployed, STACK) is None
    assert "lake/bronze/x" in keys(deployed)
    code, _, err = deploy()
    assert (code, err) == (0, "")
    again = find_stack(deployed, STACK)
    assert again
    assert again.parameters["DataExists"] == "true"
    assert "lake/bronze/x" in keys(deployed)


def test_events_in_the_queues_outlive_the_stack_and_reach_the_next_one(
    deployed: Account, deploy: Call, call: Call
) -> None:
    sqs = deployed.client("sqs")
    before = find_stack(deployed, STACK)
    assert before
    sqs.send_message(QueueUrl=before.outputs["DeadLetterQueue"], MessageBody="waiting")
    code, out, err = call("destroy", "--stack", STACK, "--yes")
    assert (code, err) == (0, "")
    assert f"{STACK}-events, {STACK}-dead-letters" in out
    assert deploy()[::2] == (0, "")
    again = find_stack(deployed, STACK)
    assert again
    assert again.parameters["QueuesExist"] == "true"
    found = sqs.receive_message(QueueUrl=again.outputs["DeadLetterQueue"])["Messages"]
    assert [message["Body"] for message in found] == ["waiting"]


def test_destroy_with_data_deletes_everything(deployed: Account, call: Call) -> None:
    s3 = deployed.client("s3")
    for body in (b"old", b"new"):
        s3.put_object(Bucket=bucket(deployed), Key="lake/x", Body=body)
    s3.delete_object(Bucket=bucket(deployed), Key="lake/x")
    s3.create_multipart_upload(Bucket=bucket(deployed), Key="lake/half")
    code, _, err = call("destroy", "--stack", STACK, "--with-data", "--yes")
    assert (code, err) == (0, "")
    assert s3.list_buckets()["Buckets"] == []
    assert not deployed.client("sqs").list_queues().get("QueueUrls")
    assert deployed.client("glue").get_databases()["DatabaseList"] == []
    assert deployed.client("iam").list_roles()["Roles"] == []
    assert deployed.client("logs").describe_log_groups()["logGroups"] == []


@pytest.mark.usefixtures("deployed")
def test_a_retained_lake_can_be_deleted_later(call: Call) -> None:
    assert call("destroy", "--stack", STACK, "--yes")[0] == 0
    code, out, err = call("destroy", "--stack", STACK, "--with-data", "--yes")
    assert (code, err) == (0, "")
    assert "4 databases" in out
    assert call("destroy", "--stack", STACK, "--with-data", "--yes")[0] == 2


@pytest.mark.parametrize(
    ("status", "is_updated"),
    [("REVIEW_IN_PROGRESS", False), ("UPDATE_COMPLETE", True), ("UPDATE_ROLLBACK_COMPLETE", True)],
)
def test_a_stack_in_review_is_created_and_a_complete_one_updated(
    account: Account, status: str, is_updated: bool
) -> None:
    stack = Stack("arn", STACK, status, {}, {})
    assert _updatable(account, stack) == (stack if is_updated else None)


@pytest.mark.parametrize("status", ["CREATE_IN_PROGRESS", "UPDATE_ROLLBACK_IN_PROGRESS"])
def test_a_stack_that_is_changing_is_an_error(account: Account, status: str) -> None:
    with pytest.raises(BrewhouseError, match=f"CloudFormation is changing brew: {status}"):
        _updatable(account, Stack("arn", STACK, status, {}, {}))


def test_nothing_is_created_without_confirmation(account: Account, package: Callable[[], object], call: Call) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("typer.confirm", lambda _, **__: False)
        code, out, _ = call("deploy", "--stack", STACK, "--packaged", "--folder", package())
    assert code == 1
    assert "Step 1 creates the bucket" in out
    assert "AWS::S3::BucketPolicy" in out
    assert account.client("s3").list_buckets()["Buckets"] == []
    assert find_stack(account, STACK) is None


@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        ("Nothing=1", "Unknown parameter Nothing"),
        ("NumberOfWorkers=1", "NumberOfWorkers must be a whole number from 2 to 50 (got '1')"),
        ("GlueVersion=5.1", "is for Glue 6.0, not 5.1"),
        ("nonsense", "is not a parameter"),
    ],
)
def test_an_invalid_parameter_is_rejected_before_anything_is_created(
    account: Account, deploy: Call, parameter: str, message: str
) -> None:
    code, _, err = deploy("--parameter", parameter)
    assert code == 2
    assert message in err
    assert find_stack(account, STACK) is None


@pytest.mark.parametrize(
    ("variables", "parameters", "code"),
    [
        ({"AWS_REGION": "", "AWS_DEFAULT_REGION": ""}, {}, 2),
        ({}, {"Engine": "flink"}, 2),
        ({}, {"Engine": "spark", "GlueVersion": "5.1"}, 3),  # found by the checks of the account
    ],
)
@pytest.mark.usefixtures("account")
def test_nothing_is_packaged_before_account_and_parameters_are_checked(
    call: Call,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    parameters: dict[str, str],
    code: int,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    given = [word for name, value in parameters.items() for word in ("--parameter", f"{name}={value}")]
    assert call("deploy", "--stack", STACK, "--yes", "--folder", tmp_path / "package", *given)[0] == code
    assert not (tmp_path / "package").exists()


@pytest.mark.parametrize("name", ["Brew", "-brew", "brew_house", "b" * 40, "1brew"])
def test_a_stack_name_that_is_invalid_for_the_bucket_is_rejected(call: Call, name: str) -> None:
    code, _, err = call("deploy", "--stack", name, "--yes")
    assert code == 2
    assert "Invalid stack name" in err or "No such option" in err


def test_a_modified_package_is_rejected(account: Account, package: Callable[[], Any], call: Call) -> None:
    folder = package()
    (folder / "glue_job.py").write_text("something else")
    code, _, err = call("deploy", "--packaged", "--folder", folder, "--yes")
    assert code == 2
    assert "differs from the manifest" in err
    assert account.client("s3").list_buckets()["Buckets"] == []


URLS = {f"brew-{name}": f"https://sqs.eu-central-1.amazonaws.com/1/brew-{name}" for name in ("events", "dead-letters")}


@pytest.fixture
def sqs(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Account, Stubber]]:
    """An account whose SQS answers as recorded."""
    monkeypatch.setattr("brewhouse.aws.deploy.POLL_S", 0)
    account = Account("1", "eu-central-1", "arn", boto3.Session("key", "secret", region_name="eu-central-1"))
    with Stubber(account.client("sqs")) as stub:
        yield account, stub
        stub.assert_no_pending_responses()


def test_a_queue_that_sqs_still_finds_after_its_deletion_is_waited_for(sqs: tuple[Account, Stubber]) -> None:
    account, stub = sqs
    for name, url in URLS.items():
        stub.add_response("get_queue_url", {"QueueUrl": url}, {"QueueName": name})
    for url in URLS.values():
        stub.add_response("delete_queue", {}, {"QueueUrl": url})
    stub.add_client_error("get_queue_url", "AWS.SimpleQueueService.NonExistentQueue")
    stub.add_response("get_queue_url", {"QueueUrl": URLS["brew-dead-letters"]})
    for _ in URLS:
        stub.add_client_error("get_queue_url", "AWS.SimpleQueueService.NonExistentQueue")
    remove_queues(account, "brew")
