"""Removal of what a deleted stack keeps: its bucket, with every version of every object, its databases and queues."""

from __future__ import annotations

import time

from brewhouse.aws.deploy import queues_of
from brewhouse.aws.session import Account, translated_aws_errors
from brewhouse.aws.stacks import POLL_S

_QUEUE_DELETION_S = 60  # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_DeleteQueue.html


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
