"""S3A, by which Spark itself reads a lake on S3: which packages bring it, and how it finds the objects.

Of the AWS SDK only the modules that S3A calls are taken, a fortieth of the bundle that `hadoop-aws` asks for.
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
"""What the places of S3 begin with in Spark."""
_CLASS = "org.apache.hadoop.fs.s3a.S3AFileSystem"


@dataclass(frozen=True)
class _Sdk:
    """The AWS SDK that `hadoop-aws` takes.

    Attributes:
        version: Its version: what the parent of `hadoop-aws` names, or a later one of the same line.
        modules: What S3A calls, and what finds credentials.
        bundle: All of it in one file, which these stand for.
        credentials: Finds credentials where `aws` does.
    """

    version: str
    modules: tuple[str, ...]
    bundle: str
    credentials: str


_V1 = _Sdk(
    "1.12.262",
    tuple(f"com.amazonaws:aws-java-sdk-{name}" for name in ("s3", "sts", "dynamodb")),
    "com.amazonaws:aws-java-sdk-bundle",
    "com.amazonaws.auth.DefaultAWSCredentialsProviderChain",
)
_V2 = _Sdk(
    "2.29.52",  # 2.24.6, which Hadoop 3.4.1 names, was not published of every module
    tuple(
        f"software.amazon.awssdk:{name}"
        for name in ("s3", "s3-transfer-manager", "apache-client", "netty-nio-client", "sts", "sso", "ssooidc")
    ),
    "software.amazon.awssdk:bundle",
    "software.amazon.awssdk.auth.credentials.DefaultCredentialsProvider",
)
_SDKS = {"3.3.4": _V1, "3.4.1": _V2, "3.4.2": _V2}  # Hadoop of Spark 3.5, 4.0 and 4.1
_NOT_NEEDED = ("software.amazon.s3.analyticsaccelerator:*",)
_SPARKS_OWN = tuple(
    f"{group}:*"
    for group in (
        *("com.fasterxml.jackson.core", "com.fasterxml.jackson.dataformat", "commons-codec", "commons-logging"),
        *("io.netty", "joda-time", "org.apache.httpcomponents", "org.slf4j"),
    )
)


def settings(jars: Path) -> dict[str, str]:
    """Say how a session is started that has S3A.

    Args:
        jars: Folder of Spark's own libraries; if `hadoop-aws` is among them, nothing is fetched.

    Raises:
        UsageError: Spark has a Hadoop whose S3A is not known here, or AWS cannot be used.
    """
    client = "hadoop-client-api-"
    hadoop = next((file.stem.removeprefix(client) for file in jars.glob(f"{client}*.jar")), "")
    sdk = _SDKS.get(hadoop)
    if sdk is None:
        raise UsageError(
            f"Spark has Hadoop {hadoop or 'of its own'}; spark_s3a knows {', '.join(_SDKS)}.",
            hint="Start a session that has S3A yourself, or leave spark_s3a out: the workers' Python reads then.",
        )
    found = {f"spark.hadoop.fs.s3a.{name}": value for name, value in _place(sdk).items()}
    if not any(jars.glob("*hadoop-aws-*.jar")):
        modules = (f"{module}:{sdk.version}" for module in sdk.modules)
        found["spark.jars.packages"] = ",".join((f"org.apache.hadoop:hadoop-aws:{hadoop}", *modules))
        found["spark.jars.excludes"] = ",".join((sdk.bundle, *_NOT_NEEDED, *_SPARKS_OWN))
    return found


def raise_on_failure(session: SparkSession) -> None:
    """Make sure that a session, whoever started it, has S3A.

    Raises:
        UsageError: It has not.
    """
    if session.sparkContext._jsc.hadoopConfiguration().getClassByNameOrNull(_CLASS) is None:
        raise UsageError(
            "This session of Spark has no S3A, which spark_s3a asks for.",
            hint="Start it with hadoop-aws of its Hadoop's version among `spark.jars.packages`, see docs/spark.md, "
            "or leave spark_s3a out: the workers' Python reads then.",
        )


def _place(sdk: _Sdk) -> dict[str, str]:
    """Say where S3 is and who asks; on another machine, the credentials are those found there."""
    told = {"aws.credentials.provider": sdk.credentials}
    if url := s3.endpoint("s3"):
        told |= {"endpoint": url, "path.style.access": "true"}
    if region := s3.session().region_name:
        told["endpoint.region"] = region
    return told
