"""Deployment: the parameters of the stack, the uploads, and checks of the deployed stack."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brewhouse.aws.glue_workflow import ACTIVE
from brewhouse.aws.package import PackageFile, PackageManifest
from brewhouse.aws.session import Account, get_or_none, reason_of, translated_aws_errors
from brewhouse.aws.stacks import POLL_S, Stack
from brewhouse.errors import BrewhouseError, UsageError

STACK_NAME = re.compile(r"[a-z](?:[a-z0-9-]{0,28}[a-z0-9])?")
QUEUES = ("events", "dead-letters")
ZONES = ("bronze", "silver", "gold", "monitoring")
_QUEUE_DELETION_S = 60  # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_DeleteQueue.html


@dataclass(frozen=True)
class DeploymentCheck:
    """The result of a check of a deployed stack; `passed` is None if it cannot be known yet."""

    name: str
    passed: bool | None
    detail: str = ""


CheckResult = tuple[bool | None, str]
"""Whether a check passed, and a detail."""


def run_checks(
    checks: Mapping[str, Callable[..., CheckResult]], *arguments: object, strict: bool
) -> Iterator[DeploymentCheck]:
    """Run checks by name with arguments; one that AWS does not answer has failed if strict, else it is unknown."""
    from botocore.exceptions import BotoCoreError, ClientError

    for name, check in checks.items():
        try:
            passed, detail = check(*arguments)
        except (BotoCoreError, ClientError, BrewhouseError) as error:
            reason = reason_of(error)
            passed, detail = (False, reason) if strict else (None, f"could not be checked: {reason}")
        yield DeploymentCheck(name, passed, detail)


def bucket_name(account: Account, stack: str) -> str:
    """Return the name of a stack's bucket; bucket names are unique worldwide."""
    return f"{stack}-{account.number}-{account.region}"


def validate_stack_name(stack: str) -> None:
    """Reject stack names too long for the bucket name, or with characters that it cannot have."""
    if not STACK_NAME.fullmatch(stack):
        raise UsageError(f"Invalid stack name: {stack}.", hint="Use at most 30 lower-case letters, digits and hyphens.")


def bucket_exists(account: Account, bucket: str) -> bool:
    """Return whether a bucket exists and belongs to the account.

    Raises:
        BrewhouseError: It belongs to another account, or access is denied.
    """
    with translated_aws_errors(f"arn:aws:s3:::{bucket}"):
        owned = {"Bucket": bucket, "ExpectedBucketOwner": account.number}
        return get_or_none(account.client("s3").head_bucket, **owned) is not None


def queues_of(account: Account, stack: str) -> list[str]:
    """Find the queues of a stack, which outlive it with the events in them, and return their URLs."""
    found = (get_or_none(account.client("sqs").get_queue_url, QueueName=f"{stack}-{name}") for name in QUEUES)
    return [str(each["QueueUrl"]) for each in found if each]


def parameters_of_account(account: Account, name: str) -> dict[str, str]:
    """Return the parameters of a new stack that depend on the account."""
    bucket = bucket_name(account, name)
    return {
        "BucketName": bucket,
        "DataExists": str(bucket_exists(account, bucket)).lower(),
        "QueuesExist": str(len(queues_of(account, name)) == len(QUEUES)).lower(),
    }


def upload(account: Account, bucket: str, folder: Path, manifest: PackageManifest) -> list[PackageFile]:
    """Upload the files of a package that the bucket does not have whole, by size and checksum, and return them."""
    client = account.client("s3")
    sent = []
    for file in manifest.uploads:
        with translated_aws_errors(f"arn:aws:s3:::{bucket}/{file.key}"):
            head = get_or_none(client.head_object, Bucket=bucket, Key=file.key)
            if head and head["ContentLength"] == file.size_bytes and head["Metadata"].get("sha256") == file.sha256:
                continue
            with (folder / file.name).open("rb") as content:
                extra = {"ChecksumAlgorithm": "SHA256", "Metadata": {"sha256": file.sha256}}
                client.upload_fileobj(content, bucket, file.key, ExtraArgs=extra)
        sent.append(file)
    return sent


def start_triggers(account: Account, stack: str) -> list[str]:
    """Start the triggers of a stack that would never fire, and return their names."""
    inactive = [trigger["Name"] for trigger in triggers(account, stack) if trigger["State"] not in ACTIVE]
    for name in inactive:
        account.client("glue").start_trigger(Name=name)
    return inactive


def triggers(account: Account, stack: str) -> list[dict[str, Any]]:
    """Return the triggers of a stack, sorted by name."""
    glue = account.client("glue")
    return [glue.get_trigger(Name=name)["Trigger"] for name in resources(account, stack, "AWS::Glue::Trigger").values()]


def resources(account: Account, stack: str, kind: str) -> dict[str, str]:
    """Return the physical ids of a stack's resources of one type by their logical ids, sorted."""
    pages = account.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stack)
    found = {
        each["LogicalResourceId"]: each["PhysicalResourceId"]
        for page in pages
        for each in page["StackResourceSummaries"]
        if each["ResourceType"] == kind and not each["ResourceStatus"].startswith("DELETE")
    }
    return dict(sorted(found.items(), key=lambda each: each[1]))


def stack_checks(account: Account, stack: Stack) -> Iterator[DeploymentCheck]:
    """Check that triggers are active, uploads and databases exist, and the workgroup limits queries."""
    for trigger in triggers(account, stack.name):
        is_active, state = trigger["State"] in ACTIVE, trigger["State"].lower()
        detail = state if is_active else f"{state}, so what follows it never starts: `brewhouse aws deploy` starts it"
        yield DeploymentCheck(f"trigger {trigger['Name']} is active", is_active, detail)
    bucket = stack.parameters["BucketName"]
    for key in ("ScriptKey", "ModulesKey", "FunctionsKey"):
        head = get_or_none(account.client("s3").head_object, Bucket=bucket, Key=stack.parameters[key])
        detail = f"{head['ContentLength']} bytes" if head else "missing"
        yield DeploymentCheck(f"s3://{bucket}/{stack.parameters[key]} exists", head is not None, detail)
    for zone in ZONES:
        name = stack.database(zone)
        exists = get_or_none(account.client("glue").get_database, Name=name) is not None
        yield DeploymentCheck(f"database {name} exists", exists, "" if exists else "missing")
    group = account.client("athena").get_work_group(WorkGroup=stack.name)["WorkGroup"]["Configuration"]
    limit = group.get("BytesScannedCutoffPerQuery")
    enforced = bool(group.get("EnforceWorkGroupConfiguration")) and str(limit) == stack.parameters["QueryLimitBytes"]
    yield DeploymentCheck(f"workgroup {stack.name} limits the bytes scanned by a query", enforced, f"{limit} bytes")


def databases_of(account: Account, bucket: str) -> list[str]:
    """Find the Glue databases that a stack marked as belonging to its bucket."""
    pages = account.client("glue").get_paginator("get_databases").paginate()
    found = [database for page in pages for database in page["DatabaseList"]]
    return sorted(each["Name"] for each in found if each.get("Parameters", {}).get("brewhouse.bucket") == bucket)


def remove_queues(account: Account, stack: str) -> None:
    """Delete the queues of a stack, and wait until SQS no longer finds them, as the next deployment must not either."""
    for url in queues_of(account, stack):
        account.client("sqs").delete_queue(QueueUrl=url)
    deadline = time.monotonic() + _QUEUE_DELETION_S
    while queues_of(account, stack) and time.monotonic() < deadline:
        time.sleep(POLL_S)


def remove_bucket(account: Account, bucket: str) -> int:
    """Delete a bucket with every version of every object, and unfinished uploads; return the number of versions."""
    client = account.client("s3")
    deleted = 0
    with translated_aws_errors(f"arn:aws:s3:::{bucket}/*"):
        for page in client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket):
            for upload in page.get("Uploads", []):
                client.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
        for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket):
            versions = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
            objects = [{"Key": each["Key"], "VersionId": each["VersionId"]} for each in versions]
            if objects:
                client.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
            deleted += len(objects)
        client.delete_bucket(Bucket=bucket)
    return deleted
