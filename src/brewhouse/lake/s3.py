"""Access to Amazon S3, with the credentials, region and endpoint that the AWS tools use too.

`AWS_PROFILE`, `AWS_REGION`, `AWS_ENDPOINT_URL` and the files in `~/.aws` are read by boto3, so that what works with
the `aws` command works here; the objects themselves go through obstore, which has conditional puts.
"""

from __future__ import annotations

import os
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from brewhouse.errors import UsageError

if TYPE_CHECKING:
    import boto3
    from obstore.store import S3Store

SCHEME = "s3://"
_CREDENTIALS_FOR = timedelta(minutes=5)  # boto3 renews them when they have less than 10 minutes left
_PATIENCE: dict[str, Any] = {"max_retries": 5, "retry_timeout": timedelta(seconds=60)}


@cache
def session() -> boto3.Session:
    """Open a session with what the environment and the files in `~/.aws` say.

    Raises:
        UsageError: boto3 is not installed, the profile does not exist, or there are no credentials.
    """
    try:
        import boto3
        from botocore.exceptions import BotoCoreError
    except ImportError as error:
        raise UsageError(
            "A lake on S3 needs boto3, which is not installed.", hint="Install `brewhouse[aws]`."
        ) from error
    try:
        opened = boto3.Session(region_name=os.environ.get("AWS_REGION"))  # boto3 itself only knows AWS_DEFAULT_REGION
        known = opened.get_credentials()
    except BotoCoreError as error:
        raise UsageError(f"AWS cannot be used: {error}.", hint="Look at AWS_PROFILE and ~/.aws.") from error
    if known is None:
        raise UsageError(
            "There are no AWS credentials.",
            hint="Set AWS_PROFILE, or log in with `aws configure` or `aws sso login`.",
        )
    return opened


@cache
def client(service: str) -> Any:  # noqa: ANN401 - boto3 makes its classes as it goes
    """Open a service of AWS, as boto3 does; that takes a while, so it is done once."""
    from botocore.config import Config

    return session().client(service, config=Config(retries={"max_attempts": 5, "mode": "standard"}))


def endpoint(service: str) -> str | None:
    """Tell the endpoint configured for a service, as by `AWS_ENDPOINT_URL`; None is Amazon's own."""
    from botocore.configprovider import ConfiguredEndpointProvider

    core = session()._session  # boto3 has no other way to the configuration it read
    url: str | None = ConfiguredEndpointProvider(core.full_config, core.get_scoped_config(), service).provide()
    return url


@cache
def bucket_store(bucket: str, prefix: str = "") -> S3Store:
    """Open a bucket, or what is below a prefix of it."""
    from obstore.store import S3Store

    return S3Store(bucket, prefix=prefix or None, **_access())


def _access() -> dict[str, Any]:
    from obstore.auth.boto3 import Boto3CredentialProvider

    url = endpoint("s3")
    return {
        "credential_provider": Boto3CredentialProvider(session(), ttl=_CREDENTIALS_FOR),
        "config": {
            **({"region": session().region_name} if session().region_name else {}),
            **({"endpoint": url} if url else {}),
        },
        "client_options": {"allow_http": url is not None and url.startswith("http:")},
        "retry_config": _PATIENCE,
    }
