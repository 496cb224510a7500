"""The account of the credentials, and errors of AWS as messages with a next step."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from botocore.exceptions import ClientError

from brewhouse.aws.session import Account, denial_or, get_or_none, open_account, translated_aws_errors
from brewhouse.errors import BrewhouseError, UsageError


def refusal(code: str, message: str, operation: str = "PutObject") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, operation)


def raising(error: ClientError) -> Callable[[], None]:
    def operation() -> None:
        raise error

    return operation


def test_the_account_is_the_one_of_the_credentials(account: Account) -> None:
    assert account.region == "eu-central-1"
    assert account.number in account.caller
    assert "secret" not in repr(account)


def test_a_client_is_created_once(account: Account) -> None:
    assert account.client("s3") is account.client("s3")
    assert account.client("s3") is not account.client("sqs")


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize(
    ("unset", "hint"),
    [(["AWS_REGION"], "Set AWS_REGION"), (["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"], "Set AWS_PROFILE")],
)
def test_missing_configuration_is_a_usage_error(monkeypatch: pytest.MonkeyPatch, unset: list[str], hint: str) -> None:
    for name in unset:
        monkeypatch.delenv(name)
    with pytest.raises(UsageError, match=hint):
        open_account()


@pytest.mark.usefixtures("account")
def test_an_unknown_profile_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "beer")
    with pytest.raises(UsageError, match=r"\(beer\) could not be found\. Set AWS_PROFILE"):
        open_account()


@pytest.mark.usefixtures("account")
def test_an_endpoint_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(BrewhouseError, match=r"AWS does not answer: .*127\.0\.0\.1:1"):
        open_account()


def test_a_denied_request_names_the_given_resource() -> None:
    denied = pytest.raises(BrewhouseError, match=r"s3:PutObject on arn:aws:s3:::b/k\.")
    with denied, translated_aws_errors("arn:aws:s3:::b/k"):
        raise refusal("AccessDenied", "Access Denied")


def test_another_refusal_keeps_operation_message_and_code() -> None:
    refused = pytest.raises(BrewhouseError, match=r"AWS refused CreateJob: too many \(InvalidInputException\)\.")
    with refused, translated_aws_errors():
        raise refusal("InvalidInputException", "too many", "CreateJob")


def test_errors_that_are_not_of_aws_pass_unchanged() -> None:
    with pytest.raises(UsageError, match=r"^mine$"), translated_aws_errors():
        raise UsageError("mine")


def test_the_reason_of_a_stack_event_is_shortened_to_the_missing_permission() -> None:
    reason = "User: arn:u is not authorized to perform: sqs:CreateQueue on resource: arn:q (Status 403)"
    assert denial_or(reason) == "AWS denies sqs:CreateQueue on arn:q."
    assert denial_or("brew-extract already exists") == "brew-extract already exists"


@pytest.mark.parametrize(
    "error",
    [
        refusal("404", "Not Found", "HeadObject"),
        refusal("NoSuchBucket", ""),
        refusal("EntityNotFoundException", "", "GetDatabase"),
        refusal("ResourceNotFoundException", "", "FilterLogEvents"),
        refusal("ValidationError", "Stack with id brew does not exist", "DescribeStacks"),
    ],
)
def test_a_missing_resource_is_none(error: ClientError) -> None:
    assert get_or_none(raising(error)) is None


@pytest.mark.parametrize(
    "error",
    [
        refusal("ValidationError", "Stack name is too long", "DescribeStacks"),
        refusal("403", "Forbidden", "HeadObject"),
    ],
)
def test_another_refusal_is_not_a_missing_resource(error: ClientError) -> None:
    with pytest.raises(ClientError) as raised:
        get_or_none(raising(error))
    assert raised.value is error


def test_get_or_none_returns_the_answer_or_none_and_raises_other_refusals(account: Account) -> None:
    s3, bucket = account.client("s3"), f"lake-{account.number}"
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": account.region})
    assert get_or_none(s3.head_object, Bucket=bucket, Key="absent") is None
    s3.put_object(Bucket=bucket, Key="x", Body=b"12")
    assert get_or_none(s3.head_object, Bucket=bucket, Key="x")["ContentLength"] == 2
    with pytest.raises(ClientError, match="BucketAlready"):
        get_or_none(s3.create_bucket, Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": account.region})
