"""Errors of AWS and the disk become messages that name what is missing or denied, with a hint."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.s3_caches import forget

from brewhouse.errors import BrewhouseError
from brewhouse.iceberg.tables import Tables
from brewhouse.lake import s3
from brewhouse.lake.error_translation import translate_error, translated_errors
from brewhouse.lake.lake import Lake, Shared
from brewhouse.query.connection import connect

READS = ["s3:GetObject", "s3:ListBucket", "glue:Get*"]


def message_of(error: BaseException) -> str:
    known = translate_error(error)
    return str(known) if known else ""


def refusal(use: Callable[[], object]) -> str:
    with pytest.raises(BrewhouseError) as refused, translated_errors():
        use()
    return str(refused.value)


def test_a_missing_bucket_is_named(bucket: str) -> None:
    lake = Lake.at(f"{bucket}-absent/lake")
    assert "does not exist. Create it with `aws s3 mb" in refusal(lambda: lake.store.put("x", b""))
    assert "does not exist. Create it with `aws s3 mb" in refusal(lambda: list(lake.root.rglob("*")))


def test_an_endpoint_that_does_not_respond_is_named(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # nothing listens there
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        forget()
        monkeypatch.setattr(s3, "_RETRIES", {"max_retries": 0})
        assert f"{url} does not respond." in refusal(lambda: Lake.at(f"{bucket}/lake").store.put("x", b""))
    forget()


@pytest.mark.parametrize(
    ("response", "message"),
    [
        ("301 Moved Permanently: <Code>PermanentRedirect</Code>", "Bucket b is in another region. Set AWS_REGION"),
        ("400 Bad Request: <Code>AuthorizationHeaderMalformed</Code>", "in another region"),
        ("403 Forbidden: <Code>InvalidAccessKeyId</Code>", "rejects the credentials: InvalidAccessKeyId"),
        ("400 Bad Request: <Code>ExpiredToken</Code>", "rejects the credentials: ExpiredToken"),
        ("403 Forbidden: <Code>AccessDenied</Code>", "AWS denies s3:GetObject on arn:aws:s3:::b/a/x."),
        ("403 Forbidden: ", "AWS denies s3:GetObject on arn:aws:s3:::b/a/x."),
        ("404 Not Found: <Code>NoSuchKey</Code>", ""),
        ("412 Precondition Failed: <Code>PreconditionFailed</Code>", ""),
    ],
)
def test_each_response_of_s3_has_its_message(response: str, message: str) -> None:
    text = f"Error performing GET https://s3.eu-west-1.amazonaws.com/b/a/x in 1ms - returned status code: {response}"
    assert message in message_of(OSError(text))
    assert bool(message_of(OSError(text))) == bool(message)


@pytest.mark.parametrize(
    "text",
    [
        "Generic error: Unable to copy: No space left on device (os error 28)\n\nDebug source:\nGeneric {\n}",
        'IO Error: Could not write file "x": No space left on device',
        "database or disk is full",
    ],
)
def test_a_full_disk_is_reported_on_one_line(text: str) -> None:
    assert (
        message_of(OSError(text)) == f"The disk is full: {text.partition(chr(10))[0]}. Free disk space, then run again."
    )


def test_other_errors_are_not_translated() -> None:
    assert translate_error(ValueError("x")) is None
    assert translate_error(BrewhouseError("Translated before.")) is None


Allow = Callable[[list[str]], None]


@pytest.fixture
def allow(strict_aws_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Allow]:
    """Become a user of an emulator that enforces IAM, with these permissions only."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, os.devnull)
    monkeypatch.setenv("AWS_ENDPOINT_URL", strict_aws_url)
    forget()
    s3.client("s3").create_bucket(Bucket="strict")
    users = s3.client("iam")
    users.create_user(UserName="reader")
    key: dict[str, Any] = users.create_access_key(UserName="reader")["AccessKey"]

    def become(actions: list[str]) -> None:
        statement = [{"Effect": "Allow", "Action": actions, "Resource": "*"}]
        policy = json.dumps({"Version": "2012-10-17", "Statement": statement})
        users.put_user_policy(UserName="reader", PolicyName="only", PolicyDocument=policy)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
        forget()

    yield become
    forget()


def test_a_missing_permission_is_named_by_action_and_resource(allow: Allow) -> None:
    lake = Lake.at("s3://strict/lake", Shared(catalog_database_prefix="strict"))
    allow(READS)
    assert "AWS denies s3:PutObject on arn:aws:s3:::strict/lake/x." in refusal(lambda: lake.store.put("x", b""))
    assert "AWS denies s3:DeleteObject on arn:aws:s3:::strict/*." in refusal((lake.root / "x").unlink)
    assert Tables(lake).names() == []
    allow(["s3:*"])
    assert "AWS denies glue:GetDatabases on the Glue Data Catalog." in refusal(lambda: Tables(lake).names())
    allow(["glue:*"])
    assert "AWS denies s3:GetObject on arn:aws:s3:::strict/lake/commit.json." in refusal(lambda: connect(lake))
    assert "AWS denies s3:ListBucket on arn:aws:s3:::strict." in refusal(lambda: list(lake.root.rglob("*")))
