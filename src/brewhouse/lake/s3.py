"""Access to Amazon S3 with the credentials, region and endpoint of the AWS tools.

boto3 reads `AWS_PROFILE`, `AWS_REGION`, `AWS_ENDPOINT_URL` and the files in `~/.aws`, so that what works for the `aws`
command works here. Objects go through obstore, which supports conditional puts.
"""

from __future__ import annotations

import os
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from brewhouse.errors import UsageError, install_command

if TYPE_CHECKING:
    import boto3
    from obstore.store import RetryConfig, S3Store

SCHEME = "s3://"
_CREDENTIALS_TTL = timedelta(minutes=5)  # boto3 renews credentials that expire within 10 minutes
_RETRIES: RetryConfig = {"max_retries": 5, "retry_timeout": timedelta(seconds=60)}


@cache
def session() -> boto3.Session:
    """Open a boto3 session configured by the environment and `~/.aws`.

    Raises:
        UsageError: boto3 is not installed, the profile does not exist, or no credentials are configured.
    """
    require_aws_extra()
    import boto3
    from botocore.exceptions import BotoCoreError

    try:
        opened = boto3.Session(region_name=os.environ.get("AWS_REGION"))  # boto3 itself only reads AWS_DEFAULT_REGION
        credentials = opened.get_credentials()
    except BotoCoreError as error:
        raise UsageError(f"The AWS configuration is invalid: {error}.", hint="Check AWS_PROFILE and ~/.aws.") from error
    if credentials is None:
        what = "No AWS credentials are configured."
        raise UsageError(what, hint="Set AWS_PROFILE, or log in with `aws configure` or `aws sso login`.")
    return opened


def require_aws_extra() -> None:
    """Refuse a lake on S3 without the libraries of the extra `aws`."""
    try:
        import boto3  # noqa: F401
        import fsspec  # noqa: F401
    except ImportError as error:
        what = f"A lake on S3 needs {error.name}, which is not installed."
        raise UsageError(what, hint=f"Run `{install_command('aws')}`.") from error


@cache
def client(service: str) -> Any:  # noqa: ANN401 - boto3 creates its classes at run time
    """Create a boto3 client of an AWS service, once per process since that is slow."""
    from botocore.config import Config

    retries = {"max_attempts": 5, "mode": "standard"}
    return session().client(service, config=Config(connect_timeout=5, read_timeout=30, retries=retries))


def endpoint(service: str) -> str | None:
    """Return the endpoint configured for a service, as by `AWS_ENDPOINT_URL`; None means Amazon's own."""
    from botocore.configprovider import ConfiguredEndpointProvider

    core = session()._session  # boto3 exposes the configuration it read only through its botocore session
    url: str | None = ConfiguredEndpointProvider(core.full_config, core.get_scoped_config(), service).provide()
    return url


@cache
def bucket_store(bucket: str, prefix: str = "") -> S3Store:
    """Open a bucket, or the part of it below a prefix, as an object store."""
    require_aws_extra()
    from obstore.auth.boto3 import Boto3CredentialProvider

    from brewhouse.lake.object_store import RetryingStore

    url, region = endpoint("s3"), session().region_name
    return RetryingStore(
        bucket,
        prefix=prefix or None,
        credential_provider=Boto3CredentialProvider(session(), ttl=_CREDENTIALS_TTL),
        config={**({"region": region} if region else {}), **({"endpoint": url} if url else {})},
        client_options={"allow_http": url is not None and url.startswith("http:")},
        retry_config=_RETRIES,
    )
