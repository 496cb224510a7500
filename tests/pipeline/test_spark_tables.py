"""Tables made on Spark are maintained, rebuilt and read like any other; Iceberg in Spark reads both engines' tables."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest
from pyiceberg.catalog import load_catalog
from tests.mock_api.server import MockApiServer

from brewhouse.iceberg.tables import Tables
from brewhouse.lake.damage import DamagedFileError
from brewhouse.lake.lake import Lake
from brewhouse.lake.raw_snapshots import complete, complete_runs
from brewhouse.mock_api.dataset import generate
from brewhouse.pipeline.compare import compare
from brewhouse.pipeline.maintenance import run_maintenance
from brewhouse.pipeline.rebuild import run_rebuild
from brewhouse.pipeline.workflow import run_workflow
from brewhouse.query.connection import connect
from brewhouse.settings import Settings, load

ROWS = 300
ICEBERG = "org.apache.iceberg:iceberg-spark-runtime-4.1_2.13:1.11.0,org.apache.iceberg:iceberg-aws-bundle:1.11.0"
READ = """
import json, sys
from pyspark.sql import SparkSession
given = json.load(sys.stdin)
builder = SparkSession.builder.master("local[1]")
for name, value in given["settings"].items():
    builder = builder.config(name, value)
session = builder.getOrCreate()
for table in given["tables"]:
    rows = session.table(table) if table.startswith("glue.") else session.read.format("iceberg").load(table)
    print("ROWS", json.dumps([rows.columns, sorted(rows.toJSON().collect())]))
"""


pytestmark = pytest.mark.usefixtures("spark_session")


def settings(engine: str, url: str = "http://127.0.0.1:1/v1", **changes: object) -> Settings:
    return load({"engine": engine, "source_url": url, **changes}, environ={})


def content(lake: Lake) -> dict[str, list[tuple[object, ...]]]:
    with closing(connect(lake)) as connection:
        return {
            name: connection.execute(f"SELECT * FROM {name} ORDER BY ALL").fetchall()
            for name in sorted(Tables(lake).names())
        }


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake of two runs: the first snapshot taken up by the embedded engine, the second by Spark."""
    lake = Lake(tmp_path_factory.mktemp("spark") / "a lake")
    records = list(generate(ROWS, unusable=3))
    with MockApiServer(records) as source:
        run_workflow(lake, settings("duckdb", source.url))
        source.remove([str(record["id"]) for record in records[:20]])
        run_workflow(lake, settings("spark", source.url))
    return lake


def test_a_damaged_page_is_named_on_spark(made: Lake, tmp_path: Path) -> None:
    lake = Lake(shutil.copytree(made.root, tmp_path / "lake"))
    page = sorted(complete(lake)[1].folder.glob("page-*"))[1]
    content = page.read_bytes()
    page.write_bytes(gzip.compress(gzip.decompress(content).replace(b"e", b"a", 1)))
    with pytest.raises(DamagedFileError) as raised:
        compare(lake, settings("spark"), *complete_runs(lake))
    assert str(page) in raised.value.what
    page.unlink()
    with pytest.raises(DamagedFileError, match="does not exist"):
        compare(lake, settings("spark"), *complete_runs(lake))


def test_changes_are_the_same_across_engines(made: Lake) -> None:
    with closing(connect(made)) as connection:
        kinds = connection.execute("SELECT kind, count(*) FROM silver.brewery_changes GROUP BY 1 ORDER BY 1").fetchall()
    assert dict(kinds)["removed"] >= 17
    runs = sorted(folder.name.removeprefix("run=") for folder in made.bronze.glob("date=*/run=*"))
    results = [compare(made, settings(engine), runs[0], runs[1]) for engine in ("duckdb", "spark")]
    assert results[0] == results[1]


def test_pyiceberg_scans_the_rows_of_the_tables_that_spark_wrote(made: Lake) -> None:
    catalog = load_catalog("brewhouse", type="sql", uri=f"sqlite:///{made.catalog_file}")
    for name, rows in content(made).items():
        scanned = Counter(
            tuple(map(str, row.values())) for row in catalog.load_table(name).scan().to_arrow().to_pylist()
        )
        assert scanned - Counter(tuple(map(str, row)) for row in rows) == Counter()
        assert scanned.total() == len(rows)


@pytest.mark.slow
def test_a_rebuild_on_spark_gives_the_same_rows(made: Lake) -> None:
    before = content(made)
    for engine in ("spark", "duckdb"):
        run_rebuild(made, settings(engine))
        assert content(made) == before


def test_maintenance_on_spark_keeps_the_rows_in_fewer_files(made: Lake) -> None:
    before = content(made)
    reports = {report.table: report for report in run_maintenance(made, settings("spark"))}
    changes = reports["silver.brewery_changes"]
    assert (changes.files_compacted, changes.files_written) == (2, 1)
    assert content(made) == before
    assert not any(report.files_compacted for report in run_maintenance(made, settings("duckdb")))


def test_sparks_own_iceberg_reads_the_tables_of_both_engines_and_those_on_s3_by_the_glue_catalog(
    made: Lake, shared_lake: Lake, small_spark: Mapping[str, str]
) -> None:
    with MockApiServer(generate(ROWS, unusable=3)) as source:
        run_workflow(shared_lake, settings("duckdb", source.url))
    tables = ("silver.breweries", "silver.brewery_changes", "gold.breweries_by_location")
    newest = [
        str(max((made.warehouse.joinpath(*name.split(".")) / "metadata").glob("*.metadata.json"))) for name in tables
    ]
    in_glue = [f"glue.{shared_lake.shared.catalog_database_prefix}_{name}" for name in tables]
    ended = subprocess.run(
        [sys.executable, "-c", READ],
        input=json.dumps({"settings": _iceberg_settings(), "tables": [*newest, *in_glue]}),
        env={**os.environ, **small_spark},
        capture_output=True,
        text=True,
        check=False,
    )
    if "unresolved dependency" in ended.stderr or "download failed" in ended.stderr:
        pytest.skip(f"needs Maven Central, for {ICEBERG}")
    read = [json.loads(line[5:]) for line in ended.stdout.splitlines() if line.startswith("ROWS ")]
    assert len(read) == 2 * len(tables), ended.stderr
    for lake, found in ((made, read[: len(tables)]), (shared_lake, read[len(tables) :])):
        with closing(connect(lake)) as connection:
            for name, (columns, rows) in zip(tables, found, strict=True):
                described = connection.execute(f"SELECT * FROM {name}")
                assert columns == [column[0] for column in described.description or ()]
                expected = [dict(zip(columns, row, strict=True)) for row in described.fetchall()]
                assert len(rows) == len(expected)
                shown = {(row.get("id"), row.get("name"), row.get("brewery_count")) for row in map(json.loads, rows)}
                assert shown == {(row.get("id"), row.get("name"), row.get("brewery_count")) for row in expected}


def _iceberg_settings() -> dict[str, str]:
    """Settings of a Spark with Iceberg, as its documentation has them for the Glue catalog, at the emulator."""
    catalog = {
        "": "org.apache.iceberg.spark.SparkCatalog",
        ".type": "glue",
        ".io-impl": "org.apache.iceberg.aws.s3.S3FileIO",
        ".warehouse": "s3://unused",
        ".client.region": os.environ["AWS_REGION"],
        ".glue.endpoint": os.environ["AWS_ENDPOINT_URL"],
        ".s3.endpoint": os.environ["AWS_ENDPOINT_URL"],
        ".s3.path-style-access": "true",
    }
    return {
        "spark.jars.packages": ICEBERG,
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.sql.session.timeZone": "UTC",
        **{f"spark.sql.catalog.glue{name}": value for name, value in catalog.items()},
    }
