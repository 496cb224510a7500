"""Removing what a stack leaves behind: its bucket, with every version of every object, and its databases."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from brewhouse.aws.session import Account, plain_errors


def databases_of(account: Account, bucket: str) -> list[str]:
    """Find the Glue databases whose tables lie in a bucket, by what the stack wrote on them."""
    pages = account.client("glue").get_paginator("get_databases").paginate()
    found = [database for page in pages for database in page["DatabaseList"]]
    return sorted(each["Name"] for each in found if each.get("Parameters", {}).get("brewhouse.bucket") == bucket)


def remove_databases(account: Account, names: list[str]) -> None:
    """Delete databases with the tables in them."""
    for name in names:
        account.client("glue").delete_database(Name=name)


def remove_bucket(account: Account, bucket: str) -> int:
    """Delete a bucket with every version of every object in it, and uploads that were never finished.

    Returns:
        How many versions there were.
    """
    client = account.client("s3")
    gone = 0
    with plain_errors(f"arn:aws:s3:::{bucket}/*"):
        for upload in _all(client, "list_multipart_uploads", bucket, "Uploads"):
            client.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
        for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket):
            found = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
            objects = [{"Key": each["Key"], "VersionId": each["VersionId"]} for each in found]
            if objects:
                client.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
            gone += len(objects)
        client.delete_bucket(Bucket=bucket)
    return gone


def _all(client: Any, operation: str, bucket: str, key: str) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - boto3
    for page in client.get_paginator(operation).paginate(Bucket=bucket):
        yield from page.get(key, [])
