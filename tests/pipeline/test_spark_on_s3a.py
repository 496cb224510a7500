"""Spark itself reads a lake on S3 by S3A of Maven Central, and makes the tables that the embedded engine makes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from tests.mock_api.server import MockApiServer

from brewhouse.lake.lake import Lake
from brewhouse.mock_api.dataset import generate
from brewhouse.pipeline.workflow import run_workflow
from brewhouse.settings import load

Content = Callable[..., dict[str, list[tuple[object, ...]]]]
ROWS = 300
RUN = """
from pyspark.sql import SparkSession
from brewhouse.pipeline.workflow import run_workflow
from brewhouse.lake.lake import lake_of
from brewhouse.settings import load

settings = load({})
run_workflow(lake_of(settings), settings)
file_systems = SparkSession.getActiveSession().sparkContext._jvm.org.apache.hadoop.fs.FileSystem.getAllStatistics()
print("READ", sum(each.getBytesRead() for each in file_systems if each.getScheme() == "s3a"))
"""
pytestmark = [
    pytest.mark.xdist_group("spark"),
    pytest.mark.skipif(shutil.which("java") is None, reason="needs Java 17"),
]


@pytest.mark.slow
def test_the_three_jobs_by_s3a_give_the_rows_of_the_embedded_engine(
    shared_lake: Lake,
    tmp_path: Path,
    small_spark: Mapping[str, str],
    content: Content,
) -> None:
    pytest.importorskip("pyspark", reason="needs PySpark, as `pip install 'brewhouse[spark]'` brings it")
    local = Lake(tmp_path / "lake")
    with MockApiServer(generate(ROWS, unusable=3)) as source:
        run_workflow(local, load({"source_url": source.url}, environ={}))
        variables = {
            **small_spark,
            "BREWHOUSE_SPARK_MASTER": "local[2]",
            "BREWHOUSE_LAKE": str(shared_lake.root),
            "BREWHOUSE_CATALOG_DATABASE_PREFIX": shared_lake.shared.catalog_database_prefix,
            "BREWHOUSE_SOURCE_URL": source.url,
        }
        ended = subprocess.run(
            [sys.executable, "-c", RUN], env={**os.environ, **variables}, capture_output=True, text=True, check=False
        )
    if "unresolved dependency" in ended.stderr or "download failed" in ended.stderr:
        assert "if it is unreachable, put them" in ended.stderr
        pytest.skip("needs Maven Central, for S3A")
    assert ended.returncode == 0, ended.stderr
    read = int(ended.stdout.rpartition("READ ")[2])
    assert read > sum(page.stat().st_size for page in shared_lake.bronze.rglob("*.jsonl.gz"))
    found = content(shared_lake)
    assert len(found["silver.breweries"]) == ROWS - 3
    assert found == content(local)
