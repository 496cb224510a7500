"""S3A: packages in the version of Spark's Hadoop, configuration, and early errors if it is missing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.s3_caches import forget

from brewhouse.engines import spark_s3a
from brewhouse.errors import UsageError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

NOWHERE = """<ivysettings><settings defaultResolver="nowhere"/><resolvers>
<ibiblio name="nowhere" m2compatible="true" root="http://127.0.0.1:1/"/></resolvers></ivysettings>"""


@pytest.fixture
def jars(tmp_path: Path) -> Path:
    """The libraries of a Spark 4.1."""
    (tmp_path / "hadoop-client-api-3.4.2.jar").touch()
    return tmp_path


@pytest.mark.usefixtures("bucket")
def test_the_packages_match_sparks_hadoop_and_exclude_the_bundle(jars: Path) -> None:
    config = spark_s3a.settings(jars)
    packages = config["spark.jars.packages"].split(",")
    assert packages[:2] == ["org.apache.hadoop:hadoop-aws:3.4.2", "software.amazon.awssdk:s3:2.29.52"]
    assert "software.amazon.awssdk:bundle" in config["spark.jars.excludes"].split(",")


@pytest.mark.usefixtures("bucket")
@pytest.mark.parametrize("name", ["hadoop-aws-3.4.2.jar", "org.apache.hadoop_hadoop-aws-3.4.2.jar"])
def test_nothing_is_fetched_if_spark_has_s3a(jars: Path, name: str) -> None:
    (jars / name).touch()
    assert {name for name in spark_s3a.settings(jars) if not name.startswith("spark.hadoop.fs.s3a.")} == set()


@pytest.mark.usefixtures("bucket")
def test_an_unsupported_hadoop_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "hadoop-client-api-2.7.4.jar").touch()
    with pytest.raises(UsageError, match=r"Spark has Hadoop 2\.7\.4; a lake on S3 requires 3\.4\.2"):
        spark_s3a.settings(tmp_path)


@pytest.mark.usefixtures("bucket")
def test_endpoint_and_region_are_those_of_the_aws_tools(jars: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = spark_s3a.settings(jars)
    assert config["spark.hadoop.fs.s3a.endpoint"] == os.environ["AWS_ENDPOINT_URL"]
    assert config["spark.hadoop.fs.s3a.path.style.access"] == "true"
    assert config["spark.hadoop.fs.s3a.endpoint.region"] == os.environ["AWS_REGION"]
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    forget()
    assert not {"spark.hadoop.fs.s3a.endpoint", "spark.hadoop.fs.s3a.path.style.access"} & set(spark_s3a.settings(jars))
    forget()


def test_a_session_without_s3a_is_rejected(spark_session: SparkSession) -> None:
    hadoop = spark_session._jsc.hadoopConfiguration()
    loader = hadoop.getClassLoader()
    hadoop.setClassLoader(loader.getParent().getParent())  # that of Java, which lacks Spark's libraries
    try:
        with pytest.raises(UsageError, match="The Spark session lacks S3A"):
            spark_s3a.require(spark_session)
    finally:
        hadoop.setClassLoader(loader)


@pytest.mark.usefixtures("spark_session", "bucket")
def test_unreachable_maven_central_is_an_error_with_the_next_step(tmp_path: Path) -> None:
    settings = tmp_path / "ivysettings.xml"
    settings.write_text(NOWHERE)
    arguments = f"--conf spark.jars.ivySettings={settings} --conf spark.jars.ivy={tmp_path / 'ivy'} pyspark-shell"
    code = (
        "from brewhouse.pipeline.run_context import open_engine; from brewhouse.settings import load; "
        "open_engine(load({'engine': 'spark', 'lake': 's3://bucket'}, environ={})).__enter__()"
    )
    environment = {**os.environ, "PYSPARK_SUBMIT_ARGS": arguments, "JDK_JAVA_OPTIONS": "-XX:TieredStopAtLevel=1"}
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert "BrewhouseError: Spark cannot be started" in ended.stderr
    assert "unresolved dependency: org.apache.hadoop#hadoop-aws" in ended.stderr


@pytest.mark.usefixtures("bucket")
def test_libraries_of_spark_itself_are_not_fetched_again(jars: Path) -> None:
    excluded = spark_s3a.settings(jars)["spark.jars.excludes"].split(",")
    assert all(artifact.count(":") == 1 for artifact in excluded)
    assert {"org.slf4j:*", "commons-codec:*", "io.netty:*", "software.amazon.awssdk:bundle"} <= set(excluded)


@pytest.mark.usefixtures("bucket")
def test_without_a_hadoop_client_the_error_names_the_supported_version(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no Hadoop client; a lake on S3 requires 3\.4\.2"):
        spark_s3a.settings(tmp_path)
