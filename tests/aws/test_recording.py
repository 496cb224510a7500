"""Responses are recorded without data of the account, and replaying them gives the same results."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
from tests.aws.cloud import RECORDED, STACK
from tests.aws.replay import replay

from brewhouse.aws.recording import RESPONSES, recording, scrubbed
from brewhouse.aws.session import Account
from brewhouse.aws.stacks import Stack, get_stack
from brewhouse.aws.verify import verify

Call = Callable[..., tuple[int, str, str]]
ACCOUNT = Account(
    "210987654321", "eu-central-1", "arn:aws:sts::210987654321:assumed-role/Admin/ann", boto3.Session("k", "s")
)


def scrub(text: str, stack: str = "beer", database: str = "pub") -> str:
    return scrubbed(text, ACCOUNT, Stack("arn", stack, "CREATE_COMPLETE", {"CatalogDatabase": database}, {}))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("210987654321", "123456789012"),
        ('"ann.b+x@corp.example.com", "ann.b+x@corp.example.com"', '"someone-1@example.org", "someone-1@example.org"'),
        (
            "User: arn:aws:sts::210987654321:assumed-role/Admin/ann@corp is not",
            "User: arn:aws:sts::123456789012:assumed-role/name-1 is not",
        ),
        ('"arn:aws:iam::210987654321:user/ann", "ann"', '"arn:aws:iam::123456789012:user/name-1", "name-1"'),
        (
            "arn:aws:kms:eu-central-1:210987654321:key/0f0f0f0f-1111-2222-3333-444444444444",
            "arn:aws:kms:eu-central-1:123456789012:key/00000000-0000-0000-0000-000000000001",
        ),
        ('"Id": "0f0f0f0f-1111-2222-3333-444444444444"', '"Id": "00000000-0000-0000-0000-000000000001"'),
        ("AROAIOSFODNN7EXAMPLE", "AIDA0000000000000001"),
        (f"jr_{'a1' * 32}_attempt_1 wr_{'b2' * 32}", f"jr_{1:064}_attempt_1 wr_{1:064}"),
        ('"S3BucketName": "corp-secret-logs"', '"S3BucketName": "name-1"'),
        ('"sourceIPAddress": "203.0.113.77", "203.0.113.77"', '"sourceIPAddress": "name-1", "name-1"'),
        ('"sourceIPAddress": "glue.amazonaws.com"', '"sourceIPAddress": "glue.amazonaws.com"'),
        (r'"{\"userName\":\"ann\",\"x\":\"ann\"}"', r'"{\"userName\":\"name-1\",\"x\":\"name-1\"}"'),
        ('"userName": "ann", "AROAIOSFODNN7EXAMPLE:ann"', '"userName": "name-1", "AIDA0000000000000001:name-1"'),
        (
            "arn:aws:s3:::corp-logs/x arn:aws:sns:eu-central-1:210987654321:corp",
            "arn:aws:s3:::name-1/x arn:aws:sns:eu-central-1:123456789012:name-2",
        ),
        ("arn:aws:iam::210987654321:root", "arn:aws:iam::123456789012:root"),
        (
            "arn:aws:glue:eu-central-1:210987654321:job/beer-extract",
            "arn:aws:glue:eu-central-1:123456789012:job/brewhouse-extract",
        ),
        (
            "arn:aws:s3:::beer-210987654321-eu-central-1/lake/*",
            "arn:aws:s3:::brewhouse-123456789012-eu-central-1/lake/*",
        ),
        (
            "arn:aws:glue:eu-central-1:210987654321:database/pub_gold",
            "arn:aws:glue:eu-central-1:123456789012:database/brewhouse_gold",
        ),
        ("arn:aws:glue:eu-central-1:210987654321:catalog", "arn:aws:glue:eu-central-1:123456789012:catalog"),
        ("strawbeer beers pubs", "strawbeer beers pubs"),
    ],
)
def test_data_of_the_account_is_replaced(text: str, expected: str) -> None:
    assert scrub(text) == expected


@pytest.mark.parametrize(
    "recorded", [None, *RECORDED.glob(RESPONSES)], ids=lambda file: "here" if file is None else "AWS"
)
def test_replaying_a_recording_gives_the_same_results(deployed: Account, tmp_path: Path, recorded: Path | None) -> None:
    before: list[tuple[str, bool | None]] = []
    if recorded is None:
        recorded = tmp_path / "new" / "folder" / RESPONSES
        stack = get_stack(deployed, STACK)
        with recording(deployed, stack, recorded.parent):
            before = [(check.name, check.passed) for check in verify(deployed, stack)]
    text = recorded.read_text()
    assert deployed.number not in text
    assert "ResponseMetadata" not in text
    responses: dict[str, Any] = json.loads(text)
    assert {"glue.GetTrigger", "iam.SimulatePrincipalPolicy", "cloudwatch.GetMetricStatistics"} <= set(responses)
    assert not [name for name in responses if name.startswith("s3.")]
    replay(deployed, responses)
    played = get_stack(deployed, "brewhouse")
    place = {"LocationConstraint": deployed.region}
    deployed.client("s3").create_bucket(Bucket=played.parameters["BucketName"], CreateBucketConfiguration=place)
    after = [(check.name, check.passed) for check in verify(deployed, played)]
    assert len(after) > 50
    assert not before or alike(after) == alike(before)


def alike(checks: list[tuple[str, bool | None]]) -> list[str]:
    """Return the results with the recorded name of the stack, without those of the lake, which is not recorded."""
    found = {name: passed for name, passed in checks if not name.startswith(("s3://", "Athena reads"))}
    own = re.compile(rf"(?<!\w){STACK}(?!\w)")
    return [own.sub("brewhouse", f"{name}: {passed}") for name, passed in found.items()]


def test_the_command_records_and_reports_the_folder(deployed: Account, call: Call, tmp_path: Path) -> None:
    call("verify", "--stack", STACK, "--record", tmp_path / "recorded", "--json")
    assert json.loads((tmp_path / "recorded" / RESPONSES).read_text())["glue.GetTrigger"]
    assert deployed.number not in (tmp_path / "recorded" / RESPONSES).read_text()
