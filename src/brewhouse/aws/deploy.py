"""Deploying: what the stack gets as parameters, uploading what changed, and making sure that it will run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brewhouse.aws.package import PackageFile, PackageManifest
from brewhouse.aws.session import Account, is_missing, plain_errors
from brewhouse.aws.stacks import Stack
from brewhouse.aws.template import parse
from brewhouse.aws.template_checks import problems
from brewhouse.errors import UsageError

NAME = re.compile(r"[a-z](?:[a-z0-9-]{0,28}[a-z0-9])?")
_OURS = ("BucketName", "DataExists", "ScriptKey", "WheelKey", "DependenciesKey", "FunctionsKey")


@dataclass(frozen=True)
class Check:
    """Something that must be true of a deployed stack.

    Attributes:
        name: What is looked at.
        passed: Whether it is as it should be; None when it cannot be known yet.
        detail: What was found.
    """

    name: str
    passed: bool | None
    detail: str


def bucket_of(account: Account, stack: str) -> str:
    """Name the bucket of a stack; bucket names are unique in the world."""
    return f"{stack}-{account.number}-{account.region}"


def check_name(stack: str) -> None:
    """Say no to a stack's name that its bucket could not carry.

    Raises:
        UsageError: It is none.

    Example:
        >>> check_name("brewhouse-test")
    """
    if not NAME.fullmatch(stack):
        raise UsageError(
            f"A stack cannot be called {stack}.", hint="Use lower-case letters, digits and hyphens, 30 at the most."
        )


def is_bucket(account: Account, bucket: str) -> bool:
    """Say whether a bucket is there and ours.

    Raises:
        BrewhouseError: Somebody else's, or it may not be looked at.
    """
    from botocore.exceptions import ClientError

    with plain_errors(f"arn:aws:s3:::{bucket}"):
        try:
            account.client("s3").head_bucket(Bucket=bucket, ExpectedBucketOwner=account.number)
        except ClientError as error:
            if is_missing(error):
                return False
            raise
    return True


def parameters_for(
    account: Account,
    name: str,
    before: Stack | None,
    manifest: PackageManifest,
    template: str,
    given: Mapping[str, str],
) -> dict[str, str]:
    """Work out the parameters of a deployment; those left out keep their value or default.

    Args:
        account: Where.
        name: Of the stack.
        before: The stack as it is, if it is.
        manifest: Of what is deployed.
        template: Its text.
        given: By the user.

    Raises:
        UsageError: A parameter that is none, is not the user's to set, or would be taken and not work.
    """
    parsed = parse(template)
    for unknown in set(given) - (set(parsed["Parameters"]) - set(_OURS)):
        free = ", ".join(sorted(set(parsed["Parameters"]) - set(_OURS)))
        raise UsageError(f"There is no parameter {unknown} to set.", hint=f"There are: {free}.")
    ours = {
        "GlueVersion": manifest.glue_version,
        "ScriptKey": manifest.script.key,
        "WheelKey": manifest.wheel.key,
        "DependenciesKey": manifest.dependencies.key,
        "FunctionsKey": manifest.functions.key,
    }
    if before is None or before.status == "REVIEW_IN_PROGRESS":
        bucket = bucket_of(account, name)
        ours |= {"BucketName": bucket, "DataExists": str(is_bucket(account, bucket)).lower()}
    parameters = {**given, **ours}
    known = dict(before.parameters) if before else {}
    if found := problems(parsed, {**known, **parameters}):
        raise UsageError(f"This would be accepted and not work: {' '.join(found)}", hint="Change the parameter.")
    return parameters


def upload(account: Account, bucket: str, folder: Path, manifest: PackageManifest) -> list[PackageFile]:
    """Upload what the bucket does not have.

    Args:
        account: Where.
        bucket: Of the stack.
        folder: The package.
        manifest: What is in it.

    Returns:
        What was sent.
    """
    from boto3.s3.transfer import TransferConfig

    client = account.client("s3")
    sent = []
    for file in manifest.uploads:
        if not _is_there(account, bucket, file):
            with plain_errors(f"arn:aws:s3:::{bucket}/{file.key}"), (folder / file.name).open("rb") as content:
                client.upload_fileobj(
                    content,
                    bucket,
                    file.key,
                    ExtraArgs={"ChecksumAlgorithm": "SHA256", "Metadata": {"sha256": file.sha256}},
                    Config=TransferConfig(use_threads=True),
                )
            sent.append(file)
    return sent


def url_of(account: Account, bucket: str, file: PackageFile) -> str:
    """Give the URL under which CloudFormation reads a file that was uploaded."""
    return f"{account.client('s3').meta.endpoint_url}/{bucket}/{file.key}"


def start_triggers(account: Account, stack: str) -> list[str]:
    """Read every trigger's state back, and start those that would never fire.

    Args:
        account: Where.
        stack: Its name.

    Returns:
        The triggers that had to be started.
    """
    started = []
    for trigger in triggers(account, stack):
        if trigger["Type"] != "ON_DEMAND" and trigger["State"] not in {"ACTIVATED", "ACTIVATING"}:
            account.client("glue").start_trigger(Name=trigger["Name"])
            started.append(trigger["Name"])
    return started


def triggers(account: Account, stack: str) -> list[dict[str, Any]]:
    """Read the triggers of a stack, by name."""
    glue = account.client("glue")
    names = resources(account, stack, "AWS::Glue::Trigger")
    return [glue.get_trigger(Name=name)["Trigger"] for name in sorted(names)]


def resources(account: Account, stack: str, kind: str) -> list[str]:
    """Read the names a stack's resources of one type have in the account."""
    pages = account.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stack)
    return [
        each["PhysicalResourceId"]
        for page in pages
        for each in page["StackResourceSummaries"]
        if each["ResourceType"] == kind and not each["ResourceStatus"].startswith("DELETE")
    ]


def checks(account: Account, stack: Stack) -> Iterator[Check]:
    """Look at what a deployment must have: active triggers, what the jobs read, databases, a bounded workgroup."""
    for trigger in triggers(account, stack.name):
        state = trigger["State"]
        yield Check(f"trigger {trigger['Name']} is active", state in {"ACTIVATED", "ACTIVATING"}, state.lower())
    for key in ("ScriptKey", "WheelKey", "DependenciesKey", "FunctionsKey"):
        yield _object_check(account, stack.parameters["BucketName"], stack.parameters[key])
    for zone in ("bronze", "silver", "gold", "monitoring"):
        yield _database_check(account, f"{stack.parameters['CatalogDatabase']}_{zone}")
    group = account.client("athena").get_work_group(WorkGroup=stack.name)["WorkGroup"]["Configuration"]
    limit = group.get("BytesScannedCutoffPerQuery")
    enforced = bool(group.get("EnforceWorkGroupConfiguration")) and str(limit) == stack.parameters["QueryLimitBytes"]
    yield Check(f"workgroup {stack.name} bounds a query", enforced, f"{limit} bytes")


def _object_check(account: Account, bucket: str, key: str) -> Check:
    from botocore.exceptions import ClientError

    try:
        size = account.client("s3").head_object(Bucket=bucket, Key=key)["ContentLength"]
    except ClientError as error:
        if is_missing(error):
            return Check(f"s3://{bucket}/{key} is there", passed=False, detail="missing")
        raise
    return Check(f"s3://{bucket}/{key} is there", passed=True, detail=f"{size} bytes")


def _database_check(account: Account, name: str) -> Check:
    from botocore.exceptions import ClientError

    try:
        account.client("glue").get_database(Name=name)
    except ClientError as error:
        if is_missing(error):
            return Check(f"database {name} is there", passed=False, detail="missing")
        raise
    return Check(f"database {name} is there", passed=True, detail="")


def _is_there(account: Account, bucket: str, file: PackageFile) -> bool:
    """Say whether the bucket has a file, whole: by size and the checksum it was sent with."""
    from botocore.exceptions import ClientError

    with plain_errors(f"arn:aws:s3:::{bucket}/{file.key}"):
        try:
            found = account.client("s3").head_object(Bucket=bucket, Key=file.key)
        except ClientError as error:
            if is_missing(error):
                return False
            raise
    return bool(found["ContentLength"] == file.size_bytes and found["Metadata"].get("sha256") == file.sha256)
