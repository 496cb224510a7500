"""S3A, with which Spark reads and writes a lake on S3: its packages and its configuration.

Of the AWS SDK only the modules that S3A calls are fetched: 11 MB instead of the 640 MB bundle of `hadoop-aws`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from brewhouse.errors import UsageError
from brewhouse.lake import s3

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SCHEME = "s3a://"
_CLASS = "org.apache.hadoop.fs.s3a.S3AFileSystem"
_HADOOP = "3.4.2"  # of Spark 4.1
_SDK_VERSION = "2.29.52"  # with which that Hadoop was built
_SDK_MODULES = ("s3", "s3-transfer-manager", "apache-client", "netty-nio-client", "sts", "sso", "ssooidc")
_EXCLUDED = (  # the first two are not called, the others are part of Spark
    "software.amazon.awssdk:bundle",
    "software.amazon.s3.analyticsaccelerator:*",
    *("com.fasterxml.jackson.core:*", "com.fasterxml.jackson.dataformat:*", "commons-codec:*", "commons-logging:*"),
    *("io.netty:*", "joda-time:*", "org.apache.httpcomponents:*", "org.slf4j:*"),
)
_CREDENTIALS = "software.amazon.awssdk.auth.credentials.DefaultCredentialsProvider"  # resolves them as `aws` does


def settings(jars: Path) -> dict[str, str]:
    """Return the Spark configuration of a session with S3A.

    Args:
        jars: Spark's folder of libraries; nothing is fetched if it has `hadoop-aws`.

    Raises:
        UsageError: Spark has another version of Hadoop, or AWS cannot be used.
    """
    client = "hadoop-client-api-"
    hadoop = next((file.stem.removeprefix(client) for file in jars.glob(f"{client}*.jar")), "")
    if hadoop != _HADOOP:
        raise UsageError(
            f"Spark has {f'Hadoop {hadoop}' if hadoop else 'no Hadoop client'}; a lake on S3 requires {_HADOOP}.",
            hint="Install PySpark 4.1, or start a session with S3A yourself.",
        )
    config = {"spark.hadoop.fs.s3a.aws.credentials.provider": _CREDENTIALS}
    if url := s3.endpoint("s3"):
        config |= {"spark.hadoop.fs.s3a.endpoint": url, "spark.hadoop.fs.s3a.path.style.access": "true"}
    if region := s3.session().region_name:
        config["spark.hadoop.fs.s3a.endpoint.region"] = region
    if not any(jars.glob("*hadoop-aws-*.jar")):
        modules = (f"software.amazon.awssdk:{module}:{_SDK_VERSION}" for module in _SDK_MODULES)
        config["spark.jars.packages"] = ",".join((f"org.apache.hadoop:hadoop-aws:{hadoop}", *modules))
        config["spark.jars.excludes"] = ",".join(_EXCLUDED)
    return config


def require(session: SparkSession) -> None:
    """Raise UsageError if a session lacks S3A."""
    if session.sparkContext._jsc.hadoopConfiguration().getClassByNameOrNull(_CLASS) is None:
        raise UsageError(
            "The Spark session lacks S3A, which a lake on S3 requires.",
            hint="Add hadoop-aws in the version of its Hadoop to `spark.jars.packages`, see docs/spark.md.",
        )
