"""checkov and two linters of policies find nothing in the resolved template that it does not explain."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.aws.resolved_template import VARIANTS, resolve

from brewhouse.aws.template import parse, template

PYTHON = Path(sys.prefix, "linters", "bin", "python")
PLANTED = "planted"
_BUCKET = {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "open"}}
_POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": "s3:GetObjekt", "Resource": "arn:aws:s3:::lake/*"},
        {
            "Effect": "Allow",
            "Action": ["iam:PassRole", "lambda:CreateFunction", "lambda:InvokeFunction"],
            "Resource": "*",
        },
    ],
}


@pytest.fixture(scope="module")
def findings() -> list[str]:
    """What the linters find under each set of parameters, and in a bucket and a policy with faults."""
    if not PYTHON.exists():
        pytest.skip("needs the linters: make .venv/.linters")
    stacks = {name: resolve(parse(template()), parameters) for name, parameters in VARIANTS.items()}
    policies = {f"{name}: {role}": document for name, stack in stacks.items() for role, document in _policies(stack)}
    given = {
        "templates": {name: {"Resources": stack} for name, stack in {**stacks, PLANTED: {"Open": _BUCKET}}.items()},
        "policies": {**policies, PLANTED: _POLICY},
    }
    command = [str(PYTHON), "-I", str(Path(__file__).with_name("linters.py"))]
    done = subprocess.run(command, input=json.dumps(given), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_the_linters_find_nothing_that_the_template_does_not_explain(findings: list[str]) -> None:
    assert [finding for finding in findings if PLANTED not in finding] == []


@pytest.mark.parametrize(
    "fault",
    [
        "checkov: /planted.json: AWS::S3::Bucket.Open: CKV_AWS_53",
        "parliament: planted: UNKNOWN_ACTION",
        "cloudsplaining: planted: privilege escalation",
    ],
)
def test_the_linters_find_a_fault(findings: list[str], fault: str) -> None:
    assert [finding for finding in findings if finding.startswith(fault)]


def test_every_explanation_of_a_finding_has_a_reason() -> None:
    resources = resolve(parse(template()), VARIANTS["everything"])
    skipped = [
        skip for facts in resources.values() for skip in facts.get("Metadata", {}).get("checkov", {}).get("skip", [])
    ]
    assert skipped
    assert all(len(skip["comment"].split()) > 4 for skip in skipped)


def _policies(stack: Mapping[str, Any]) -> list[tuple[str, Any]]:
    roles = {name: facts["Properties"] for name, facts in stack.items() if facts["Type"] == "AWS::IAM::Role"}
    return [(name, policy["PolicyDocument"]) for name, role in roles.items() for policy in role["Policies"]]
