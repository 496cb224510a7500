"""Errors of AWS and the disk become messages that name what is missing or denied, with a hint."""

from __future__ import annotations

import errno
import json
import os
import socket
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pyiceberg.exceptions
import pytest
from botocore.exceptions import ClientError
from obstore.store import LocalStore
from tests.s3_caches import forget

from brewhouse.errors import BrewhouseError
from brewhouse.iceberg.tables import Tables
from brewhouse.lake import s3
from brewhouse.lake.duckdb_access import enable_s3
from brewhouse.lake.error_translation import translate_error, translated_errors
from brewhouse.lake.lake import Lake, Shared
from brewhouse.query.connection import connect

KEY = "arn:aws:kms:r:1:key/k"
KEY_DENIED = (
    f"User: arn:aws:iam::1:user/ann is not authorized to perform: kms:Decrypt on resource: &quot;{KEY}&quot; as"
)
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
        assert f"{url} does not answer." in refusal(lambda: Lake.at(f"{bucket}/lake").store.put("x", b""))
    forget()


@pytest.mark.parametrize(
    ("response", "message"),
    [
        ("301 Moved Permanently: <Code>PermanentRedirect</Code>", "Bucket b is in another region. Set AWS_REGION"),
        ("400 Bad Request: <Code>AuthorizationHeaderMalformed</Code>", "in another region"),
        ("403 Forbidden: <Code>InvalidAccessKeyId</Code>", "does not accept the credentials: InvalidAccessKeyId"),
        ("400 Bad Request: <Code>ExpiredToken</Code>", "does not accept the credentials: ExpiredToken"),
        ("403 Forbidden: <Code>AccessDenied</Code>", "AWS denies s3:GetObject on arn:aws:s3:::b/a/x."),
        ("403 Forbidden: ", "AWS denies s3:GetObject on arn:aws:s3:::b/a/x."),
        (
            "403 Forbidden: <Code>RequestTimeTooSkewed</Code>",
            "clock of this machine differs from that of AWS: RequestTime",
        ),
        ("403 Forbidden: <Code>SignatureDoesNotMatch</Code><Message>Signature expired: 1.</Message>", "Set the clock"),
        ("400 Bad Request: <Code>RequestTimeout</Code>", "AWS closed a connection that was too slow: RequestTimeout."),
        (
            "400 Bad Request: <Code>KMS.DisabledException</Code>",
            "The KMS key of the bucket cannot be used: KMS.Disabled",
        ),
        ("403 Forbidden: <Code>AccountProblem</Code>", "AWS does not serve this account: AccountProblem."),
        ("403 Forbidden: <Code>InvalidObjectState</Code>", "The object is archived: InvalidObjectState."),
        ("403 Forbidden: <Code>QuotaExceeded</Code>", "A quota of AWS or of the storage is exceeded: QuotaExceeded."),
        ("503 Slow Down: <Code>SlowDown</Code>", "AWS is busy or limits the rate of requests: SlowDown. Run again"),
        ("404 Not Found: <Code>NoSuchBucket</Code>", "Bucket b does not exist. Create it with"),
        ("400 Bad Request: ", "S3 refuses s3:GetObject on arn:aws:s3:::b/a/x: 400. Check the credentials, AWS_REGION"),
        (
            "400 Bad Request: <Code>Novel</Code><Message>It&apos;s new.</Message>",
            "S3 refuses s3:GetObject on arn:aws:s3:::b/a/x: Novel: It's new. Check",
        ),
        (
            f"403 Forbidden: <Code>AccessDenied</Code><Message>{KEY_DENIED}</Message>",
            f"denies kms:Decrypt on {KEY}. Allow",
        ),
        ("404 Not Found: <Code>NoSuchKey</Code>", ""),
        ("412 Precondition Failed: <Code>PreconditionFailed</Code>", ""),
    ],
)
def test_each_response_of_s3_has_its_message(response: str, message: str) -> None:
    text = f"Error performing GET https://s3.eu-west-1.amazonaws.com/b/a/x in 1ms - returned status code: {response}"
    assert message in message_of(OSError(text))
    assert bool(message_of(OSError(text))) == bool(message)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "Generic LocalFileSystem error: Unable to copy: No space left on device (os error 28)\n\nDebug:\nX {\n}",
            "Unable to copy: No space left on device",
        ),
        (
            'IO Error: Could not write file "x": No space left on device',
            'Could not write file "x": No space left on device',
        ),
        ("database or disk is full", "database or disk is full"),
    ],
)
def test_a_full_disk_is_reported_on_one_line(text: str, line: str) -> None:
    assert message_of(OSError(text)) == f"The disk is full: {line}. Free disk space, then run again."


def raised(call: Callable[[], object]) -> Exception:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - each library has its own
        call()
    return caught.value


def test_a_place_that_cannot_be_written_is_reported_on_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    below, long = tmp_path / "file" / "x", tmp_path / ("x" * 300)
    errors = {
        raised(below.read_bytes): f"Not a directory: '{below}'",
        raised(tmp_path.read_bytes): f"Is a directory: '{tmp_path}'",
        raised(long.touch): f"File name too long: '{long}'",
        raised(lambda: LocalStore(prefix=tmp_path).put("file/x", b"")): "Not a directory",
        raised(lambda: duckdb.execute(f"COPY (SELECT 1) TO '{below}'")): "Not a directory",
        raised(lambda: sqlite3.connect(below).execute("CREATE TABLE a (b)")): "unable to open database file",
    }
    for error, part in errors.items():
        message = message_of(error)
        assert message.startswith("A file cannot be accessed: ")
        assert part in message
        assert message.endswith(". Check the path and its permissions.")
        assert "\n" not in message
    assert translate_error(ValueError("Permission denied")) is None
    assert translate_error(FileNotFoundError(2, "No such file or directory", "x")) is None


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


DENIED_HINT = "Allow it for the user or role that runs this."


@pytest.mark.parametrize(
    "error", [pyiceberg.exceptions.ForbiddenError("no"), pyiceberg.exceptions.UnauthorizedError("no")]
)
def test_a_denial_of_a_rest_catalog_names_its_configuration(error: Exception) -> None:
    known = translate_error(error)
    assert known is not None
    assert known.what == "The Iceberg REST catalog denies access: no."
    assert known.hint == "Set its credentials in PyIceberg's configuration of the catalog `brewhouse`."


@pytest.mark.parametrize("kind", ["CommitStateUnknownException", "ServerError", "ServiceUnavailableError"])
def test_a_failure_of_a_rest_catalog_is_named(kind: str) -> None:
    error = getattr(pyiceberg.exceptions, kind)("503 busy")
    assert message_of(error).startswith("The Iceberg REST catalog failed: 503 busy. Run again: ")


def test_an_error_of_boto3_is_translated_with_the_catalog_as_its_resource() -> None:
    error = ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "GetTable")
    assert message_of(error) == f"AWS denies GetTable on the Glue Data Catalog. {DENIED_HINT}"
    busy = ClientError({"Error": {"Code": "ThrottlingException"}}, "GetTable")
    assert message_of(busy).startswith("AWS is busy or limits the rate of requests: ThrottlingException.")
    assert translate_error(ClientError({"Error": {"Code": "EntityNotFoundException"}}, "GetTable")) is None


@pytest.mark.parametrize(
    ("request_line", "action", "resource"),
    [
        ("GET http://e/b/a/x", "s3:GetObject", "arn:aws:s3:::b/a/x"),
        ("HEAD http://e/b/a/x", "s3:GetObject", "arn:aws:s3:::b/a/x"),
        ("PUT http://e/b/a/x", "s3:PutObject", "arn:aws:s3:::b/a/x"),
        ("DELETE http://e/b/a/x", "s3:DeleteObject", "arn:aws:s3:::b/a/x"),
        ("POST http://e/b?delete", "s3:DeleteObject", "arn:aws:s3:::b/*"),
        ("GET http://e/b?list-type=2&prefix=a", "s3:ListBucket", "arn:aws:s3:::b"),
    ],
)
def test_a_denied_request_is_named_by_its_action(request_line: str, action: str, resource: str) -> None:
    text = f"Error performing {request_line} in 1ms - status code: 403 Forbidden: <Code>AccessDenied</Code>"
    assert message_of(OSError(text)) == f"AWS denies {action} on {resource}. {DENIED_HINT}"


def test_a_cause_or_context_is_translated_unless_a_readable_error_is_in_between() -> None:
    full = OSError(errno.ENOSPC, "No space left on device")

    def raised(error: Exception, cause: Exception | None, context: Exception | None = None) -> Exception:
        error.__cause__, error.__context__ = cause, context
        return error

    assert "The disk is full" in message_of(raised(ValueError("x"), full))
    assert "The disk is full" in message_of(raised(ValueError("x"), None, raised(KeyError("y"), full)))
    assert translate_error(raised(BrewhouseError("Readable."), full)) is None
    assert translate_error(raised(ValueError("x"), raised(BrewhouseError("Readable."), full))) is None


def test_a_translated_error_keeps_its_cause_and_others_pass_unchanged() -> None:
    full = OSError("database or disk is full")
    with pytest.raises(BrewhouseError) as caught, translated_errors():
        raise full
    assert caught.value.__cause__ is full
    for error in (ValueError("x"), BrewhouseError("Readable."), KeyboardInterrupt()):
        with pytest.raises(type(error)) as passed, translated_errors():
            raise error
        assert passed.value is error


def test_a_full_disk_is_recognised_in_what_python_sqlite_and_duckdb_raise(tmp_path: Path) -> None:
    def write_python() -> None:
        with Path("/dev/full").open("wb", buffering=0) as file:
            file.write(b"x")

    def write_sqlite() -> None:
        with closing(sqlite3.connect(tmp_path / "small.db")) as connection:
            connection.execute("PRAGMA max_page_count = 3")
            connection.execute("CREATE TABLE t AS SELECT zeroblob(100000)")

    def write_duckdb() -> None:
        with duckdb.connect() as connection:
            connection.execute("COPY (SELECT range FROM range(1000000)) TO '/dev/full' (FORMAT csv)")

    for write in (write_python, write_sqlite, write_duckdb):
        assert refusal(write).startswith("The disk is full: ")


def test_an_error_that_duckdb_wraps_is_recognised(bucket: str) -> None:
    with duckdb.connect() as connection:
        enable_s3(connection, [bucket])
        message = refusal(lambda: connection.execute(f"SELECT * FROM read_parquet('{bucket}-absent/x.parquet')"))
    assert message.startswith(f"Bucket {bucket.removeprefix('s3://')}-absent does not exist.")
