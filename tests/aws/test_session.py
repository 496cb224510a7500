"""Credentials and errors, in plain words."""

from __future__ import annotations

import pytest

from brewhouse.aws.session import Account, in_plain_words, missing_permission, open_account, plain_errors
from brewhouse.errors import BrewhouseError, UsageError


def _error(code: str, message: str, operation: str = "PutObject") -> Exception:
    from botocore.exceptions import ClientError

    error: Exception = ClientError({"Error": {"Code": code, "Message": message}}, operation)
    return error


def test_the_account_is_the_one_of_the_credentials(account: Account) -> None:
    assert account.region == "eu-central-1"
    assert account.number in account.caller
    assert "secret" not in repr(account)


@pytest.mark.usefixtures("account")
def test_a_missing_region_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_REGION")
    with pytest.raises(UsageError, match="AWS_REGION"):
        open_account()


@pytest.mark.usefixtures("account")
def test_missing_credentials_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(UsageError, match="AWS_PROFILE"):
        open_account()


@pytest.mark.usefixtures("account")
def test_an_account_that_cannot_be_reached_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(BrewhouseError, match="cannot be reached"):
        open_account()


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (
            "User: arn:aws:iam::1:user/ann is not authorized to perform: iam:CreateRole on resource: arn:x because no",
            "iam:CreateRole on arn:x, for arn:aws:iam::1:user/ann.",
        ),
        (
            'Message: "User: arn:aws:sts::1:assumed-role/r/s is not authorized to perform: glue:X on resource: arn:t"',
            "glue:X on arn:t, for arn:aws:sts::1:assumed-role/r/s.",
        ),
        (
            "User: arn:aws:iam::1:user/ann is not authorized to perform: athena:StartQueryExecution",
            "athena:StartQueryExecution, for arn:aws:iam::1:user/ann.",
        ),
    ],
)
def test_a_missing_permission_is_told_as_action_and_resource(message: str, said: str) -> None:
    assert missing_permission(message) == f"Permission is missing: {said}"
    assert str(in_plain_words(_error("AccessDeniedException", message, "Any"))).startswith("Permission is missing")


def test_s3_names_nothing_so_action_and_resource_are_ours() -> None:
    with pytest.raises(BrewhouseError, match=r"s3:PutObject on arn:aws:s3:::b/k"), plain_errors("arn:aws:s3:::b/k"):
        raise _error("AccessDenied", "Access Denied")


def test_sqs_names_no_action_either() -> None:
    with pytest.raises(BrewhouseError, match=r"Permission is missing: sqs:GetQueueAttributes\."), plain_errors():
        raise _error("AccessDenied", "Access to the resource is denied.", "GetQueueAttributes")


def test_other_refusals_keep_the_words_of_aws() -> None:
    with pytest.raises(BrewhouseError, match="too many"), plain_errors():
        raise _error("LimitExceeded", "too many", "CreateJob")
