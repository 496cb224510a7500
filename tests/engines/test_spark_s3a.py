"""S3A comes in the version of Spark's Hadoop, knows where S3 is, and its lack is told before anything is done."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.s3_caches import forget

from brewhouse.engines import spark_s3a
from brewhouse.engines.choose import open_engine
from brewhouse.errors import UsageError
from brewhouse.settings import load

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
@pytest.mark.parametrize(
    ("hadoop", "module", "bundle"),
    [
        ("3.4.2", "software.amazon.awssdk:s3:2.29.52", "software.amazon.awssdk:bundle"),
        ("3.3.4", "com.amazonaws:aws-java-sdk-s3:1.12.262", "com.amazonaws:aws-java-sdk-bundle"),
    ],
)
def test_what_is_fetched_fits_sparks_hadoop_and_is_not_the_whole_sdk(
    tmp_path: Path, hadoop: str, module: str, bundle: str
) -> None:
    (tmp_path / f"hadoop-client-api-{hadoop}.jar").touch()
    told = spark_s3a.settings(tmp_path)
    assert told["spark.jars.packages"].split(",")[:2] == [f"org.apache.hadoop:hadoop-aws:{hadoop}", module]
    assert bundle in told["spark.jars.excludes"].split(",")


@pytest.mark.usefixtures("bucket")
@pytest.mark.parametrize("name", ["hadoop-aws-3.4.2.jar", "org.apache.hadoop_hadoop-aws-3.4.2.jar"])
def test_nothing_is_fetched_where_spark_has_it(jars: Path, name: str) -> None:
    (jars / name).touch()
    assert {name for name in spark_s3a.settings(jars) if not name.startswith("spark.hadoop.fs.s3a.")} == set()


@pytest.mark.usefixtures("bucket")
def test_a_hadoop_it_does_not_know_is_told(tmp_path: Path) -> None:
    (tmp_path / "hadoop-client-api-2.7.4.jar").touch()
    with pytest.raises(UsageError, match=r"Spark has Hadoop 2\.7\.4; spark_s3a supports"):
        spark_s3a.settings(tmp_path)


@pytest.mark.usefixtures("bucket")
def test_it_looks_for_s3_where_the_aws_tools_do(jars: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = spark_s3a.settings(jars)
    assert told["spark.hadoop.fs.s3a.endpoint"] == os.environ["AWS_ENDPOINT_URL"]
    assert told["spark.hadoop.fs.s3a.path.style.access"] == "true"
    assert told["spark.hadoop.fs.s3a.endpoint.region"] == os.environ["AWS_REGION"]
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    forget()
    assert not {"spark.hadoop.fs.s3a.endpoint", "spark.hadoop.fs.s3a.path.style.access"} & set(spark_s3a.settings(jars))
    forget()


def test_a_session_without_it_is_refused(spark_session: SparkSession) -> None:
    spark_session.createDataFrame([], "n int")  # makes it the active one, whatever ran before
    asked = load({"engine": "spark", "spark_s3a": "true"}, environ={})
    with pytest.raises(UsageError, match="The Spark session lacks S3A"), open_engine(asked):
        pass


@pytest.mark.usefixtures("spark_session", "bucket")
def test_maven_central_out_of_reach_is_told_with_what_to_do(tmp_path: Path) -> None:
    settings = tmp_path / "ivysettings.xml"
    settings.write_text(NOWHERE)
    told = f"--conf spark.jars.ivySettings={settings} --conf spark.jars.ivy={tmp_path / 'ivy'} pyspark-shell"
    code = (
        "from brewhouse.engines.choose import open_engine; from brewhouse.settings import load; "
        "open_engine(load({'engine': 'spark', 'spark_s3a': True}, environ={})).__enter__()"
    )
    environment = {**os.environ, "PYSPARK_SUBMIT_ARGS": told, "JDK_JAVA_OPTIONS": "-XX:TieredStopAtLevel=1"}
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert "BrewhouseError: Spark cannot be started" in ended.stderr
    assert "unresolved dependency: org.apache.hadoop#hadoop-aws" in ended.stderr
