"""Errors of boto3: the message names the denied action and resource, or what is missing in the configuration."""

from __future__ import annotations

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
)

from brewhouse.errors import BrewhouseError, UsageError
from brewhouse.lake.aws_errors import denial_in, translate_boto3_error

ANN = "arn:aws:iam::1:user/ann"
ROLE = "arn:aws:sts::1:assumed-role/r/s"


def refusal(code: str, message: str, operation: str = "PutObject") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, operation)


@pytest.mark.parametrize(
    ("message", "error"),
    [
        (
            f"User: {ANN} is not authorized to perform: iam:CreateRole on resource: arn:x because no policy allows it",
            f"AWS denies iam:CreateRole on arn:x. Allow it for {ANN}.",
        ),
        (
            f'Message: "User: {ROLE} is not authorized to perform: glue:X on resource: "arn:t", with an explicit deny',
            f"AWS denies glue:X on arn:t. Allow it for {ROLE}.",
        ),
        (
            f"User: {ANN} is not authorized to perform: athena:StartQueryExecution",
            f"AWS denies athena:StartQueryExecution. Allow it for {ANN}.",
        ),
        (
            "Lake Formation: not authorized to perform: glue:GetTable",
            "AWS denies glue:GetTable. Allow it for the user or role that runs this.",
        ),
    ],
)
def test_a_denial_names_action_resource_and_principal(message: str, error: str) -> None:
    assert str(denial_in(message)) == error
    assert str(translate_boto3_error(refusal("AccessDeniedException", message))) == error


def test_a_message_without_a_permission_is_not_a_denial() -> None:
    assert denial_in("Resource handler returned message: the name is taken") is None


def test_the_given_resource_is_named_where_aws_names_none() -> None:
    message = f"User: {ANN} is not authorized to perform: glue:GetTables"
    assert "glue:GetTables on the catalog." in str(denial_in(message, "the catalog"))
    assert "glue:GetTables on arn:t." in str(denial_in(f"{message} on resource: arn:t", "the catalog"))


@pytest.mark.parametrize(
    ("operation", "action"),
    [
        ("PutObject", "s3:PutObject"),
        ("ListMultipartUploads", "s3:ListMultipartUploads"),
        ("HeadBucket", "s3:HeadBucket"),
        ("GetQueueAttributes", "sqs:GetQueueAttributes"),
        ("CreateStack", "CreateStack"),
    ],
)
@pytest.mark.parametrize("code", ["AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "403"])
def test_an_action_that_aws_does_not_name_is_derived_from_the_operation(code: str, operation: str, action: str) -> None:
    error = translate_boto3_error(refusal(code, "Access Denied", operation), "arn:aws:s3:::b/k")
    assert str(error).startswith(f"AWS denies {action} on arn:aws:s3:::b/k.")


@pytest.mark.parametrize(
    "code",
    ["ExpiredToken", "ExpiredTokenException", "InvalidClientTokenId", "SignatureDoesNotMatch",
     "UnrecognizedClientException"],
)  # fmt: skip
@pytest.mark.parametrize(("message", "reason"), [("The token is old.", "The token is old."), ("", None)])
def test_rejected_credentials_have_the_reason_and_a_next_step(code: str, message: str, reason: str | None) -> None:
    error = translate_boto3_error(refusal(code, message))
    assert error is not None
    assert error.what == f"AWS does not accept the credentials: {reason or f'{code}.'}"
    assert "aws sso login" in error.hint


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (NoRegionError(), UsageError, "No AWS region is set. Set AWS_REGION"),
        (NoCredentialsError(), UsageError, "Unable to locate credentials. Set AWS_PROFILE"),
        (ProfileNotFound(profile="beer"), UsageError, "(beer) could not be found. Set AWS_PROFILE"),
        (EndpointConnectionError(endpoint_url="http://x"), BrewhouseError, "AWS does not answer: Could not connect"),
        (ConnectTimeoutError(endpoint_url="http://x"), BrewhouseError, "AWS does not answer: Connect timeout"),
        (PartialCredentialsError(provider="env", cred_var="k"), BrewhouseError, "AWS cannot be used: Partial"),
    ],
)
def test_errors_of_the_configuration_and_the_network_are_explained(
    error: Exception, kind: type[BrewhouseError], text: str
) -> None:
    translated = translate_boto3_error(error)
    assert type(translated) is kind
    assert text in str(translated)
    assert ".." not in str(translated)


@pytest.mark.parametrize(
    ("code", "reason", "text"),
    [
        ("RequestExpired", "", "The clock of this machine differs from that of AWS: RequestExpired. Set the clock"),
        ("InvalidSignatureException", "Signature expired: 1 is earlier than 2", "The clock of this machine differs"),
        ("InvalidSignatureException", "The secret is wrong.", "does not accept the credentials: The secret is wrong."),
        ("ResourceNumberLimitExceededException", "100 tables", "A quota of AWS or of the storage is exceeded: 100 tab"),
        ("GlueEncryptionException", "No key.", "The KMS key of the bucket cannot be used: No key. Enable the key"),
        ("KMS.KMSInvalidStateException", "", "The KMS key of the bucket cannot be used: KMS.KMSInvalid"),
        ("NoSuchBucket", "", "Bucket of the request does not exist. Create it with"),
    ],
)
def test_a_code_has_one_meaning_whatever_service_returns_it(code: str, reason: str, text: str) -> None:
    error = translate_boto3_error(refusal(code, reason))
    assert text in str(error)


@pytest.mark.parametrize("error", [refusal("EntityAlreadyExists", "there is one"), ValueError("x"), KeyError("Error")])
def test_other_errors_are_not_translated(error: Exception) -> None:
    assert translate_boto3_error(error) is None
