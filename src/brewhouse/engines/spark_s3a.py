"""S3A, with which Spark itself reads a lake on S3: its packages and its configuration.

Of the AWS SDK only the modules that S3A calls are fetched: 11 MB instead of the 640 MB bundle of `hadoop-aws`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from brewhouse.errors import UsageError
from brewhouse.lake import s3

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SCHEME = "s3a://"
_CLASS = "org.apache.hadoop.fs.s3a.S3AFileSystem"
HINT = "or turn spark_s3a off: then the Python workers read."


@dataclass(frozen=True)
class _Sdk:
    """The AWS SDK of a version of `hadoop-aws`: the version of its parent POM or a later patch."""

    version: str
    modules: tuple[str, ...]  # what S3A calls and what resolves credentials, in place of the bundle
    bundle: str
    credentials: str  # provider class that resolves credentials as `aws` does


_V1 = _Sdk(
    "1.12.262",
    tuple(f"com.amazonaws:aws-java-sdk-{name}" for name in ("s3", "sts", "dynamodb")),
    "com.amazonaws:aws-java-sdk-bundle",
    "com.amazonaws.auth.DefaultAWSCredentialsProviderChain",
)
_V2 = _Sdk(
    "2.29.52",  # 2.24.6, which Hadoop 3.4.1 names, was not published for every module
    tuple(
        f"software.amazon.awssdk:{name}"
        for name in ("s3", "s3-transfer-manager", "apache-client", "netty-nio-client", "sts", "sso", "ssooidc")
    ),
    "software.amazon.awssdk:bundle",
    "software.amazon.awssdk.auth.credentials.DefaultCredentialsProvider",
)
_SDKS = {"3.3.4": _V1, "3.4.1": _V2, "3.4.2": _V2}  # Hadoop of Spark 3.5, 4.0 and 4.1
_EXCLUDED = (  # the first is not called, the others are part of Spark
    *("software.amazon.s3.analyticsaccelerator", "com.fasterxml.jackson.core", "com.fasterxml.jackson.dataformat"),
    *("commons-codec", "commons-logging", "io.netty", "joda-time", "org.apache.httpcomponents", "org.slf4j"),
)


def settings(jars: Path) -> dict[str, str]:
    """Return the Spark configuration of a session with S3A.

    Args:
        jars: Spark's folder of libraries; nothing is fetched if it has `hadoop-aws`.

    Raises:
        UsageError: The version of Spark's Hadoop is not supported, or AWS cannot be used.
    """
    client = "hadoop-client-api-"
    hadoop = next((file.stem.removeprefix(client) for file in jars.glob(f"{client}*.jar")), "")
    sdk = _SDKS.get(hadoop)
    if sdk is None:
        raise UsageError(
            f"Spark has {f'Hadoop {hadoop}' if hadoop else 'no Hadoop client'}; spark_s3a supports {', '.join(_SDKS)}.",
            hint=f"Start a session with S3A yourself, {HINT}",
        )
    config = {"spark.hadoop.fs.s3a.aws.credentials.provider": sdk.credentials}
    if url := s3.endpoint("s3"):
        config |= {"spark.hadoop.fs.s3a.endpoint": url, "spark.hadoop.fs.s3a.path.style.access": "true"}
    if region := s3.session().region_name:
        config["spark.hadoop.fs.s3a.endpoint.region"] = region
    if not any(jars.glob("*hadoop-aws-*.jar")):
        modules = (f"{module}:{sdk.version}" for module in sdk.modules)
        config["spark.jars.packages"] = ",".join((f"org.apache.hadoop:hadoop-aws:{hadoop}", *modules))
        config["spark.jars.excludes"] = ",".join((sdk.bundle, *(f"{group}:*" for group in _EXCLUDED)))
    return config


def require(session: SparkSession) -> None:
    """Raise UsageError if a session lacks S3A."""
    if session.sparkContext._jsc.hadoopConfiguration().getClassByNameOrNull(_CLASS) is None:
        raise UsageError(
            "The Spark session lacks S3A, which spark_s3a requires.",
            hint=f"Add hadoop-aws in the version of its Hadoop to `spark.jars.packages`, see docs/spark.md, {HINT}",
        )
