"""The tables on S3 are read by those who share no code with what wrote them: DuckDB's Iceberg extension."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from tests.mock_api.server import MockApiServer

from brewhouse.lake import s3
from brewhouse.lake.lake import Lake
from brewhouse.mock_api.dataset import generate
from brewhouse.pipeline.workflow import run_workflow
from brewhouse.query.connection import connect
from brewhouse.settings import load

DUCKDB = "1.5.5"  # the newest with extensions on PyPI, which DuckDB 2.0 does not have yet
EXTENSIONS = ("httpfs", "avro", "iceberg")
READ = """
import importlib.util, json, pathlib, sys
import duckdb

given = json.load(sys.stdin)
connection = duckdb.connect()
for name in given["extensions"]:
    package = pathlib.Path(importlib.util.find_spec("duckdb_extension_" + name).origin).parent
    (file,) = package.rglob(name + ".duckdb_extension")
    connection.load_extension(str(file))
connection.execute("SET TimeZone = 'UTC'")
secret = ", ".join(key + " '" + value + "'" for key, value in given["secret"].items())
connection.execute("CREATE SECRET (TYPE s3, USE_SSL false, URL_STYLE 'path', " + secret + ")")
for name, location in given["tables"].items():
    table = "iceberg_scan('" + location + "')"
    rows = connection.execute("SELECT COLUMNS(*)::VARCHAR FROM " + table + " ORDER BY ALL").fetchall()
    print(json.dumps([name, rows]))
"""


@pytest.fixture(scope="module")
def duckdb_with_iceberg(pytestconfig: pytest.Config) -> Path:
    """A Python that has DuckDB with its Iceberg extension, in an environment of its own, made once."""
    uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
    home = pytestconfig.cache.mkdir(f"duckdb-{DUCKDB}") / "environment"
    python = home / "bin" / "python"
    wanted = [f"{name}=={DUCKDB}" for name in ("duckdb", *(f"duckdb-extension-{each}" for each in EXTENSIONS))]
    making = [uv, "venv", "--allow-existing", "--python", sys.executable, str(home)]
    for command in (making, [uv, "pip", "install", "--python", str(python), *wanted]):
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            pytest.skip("needs uv, to make an environment for another DuckDB")
        if done.returncode:
            pytest.skip(f"needs a package index, for {', '.join(wanted)}: {done.stderr[-200:]}")
    return python


@pytest.fixture
def made(shared_lake: Lake) -> Lake:
    """A lake on S3 of two runs."""
    records = list(generate(300, unusable=3))
    with MockApiServer(records) as source:
        settings = load({"source_url": source.url, "extract_retry_wait_s": 0}, environ={})
        run_workflow(shared_lake, settings)
        source.remove([str(record["id"]) for record in records[:20]])
        run_workflow(shared_lake, settings)
    return shared_lake


def test_duckdbs_iceberg_extension_reads_the_same_rows_of_every_table(made: Lake, duckdb_with_iceberg: Path) -> None:
    glue = s3.client("glue")
    locations = {
        f"{zone}.{table['Name']}": table["Parameters"]["metadata_location"]
        for zone in ("silver", "gold")
        for table in glue.get_tables(DatabaseName=f"{made.shared.catalog_database_prefix}_{zone}")["TableList"]
    }
    secret = {
        "KEY_ID": os.environ["AWS_ACCESS_KEY_ID"],
        "SECRET": os.environ["AWS_SECRET_ACCESS_KEY"],
        "REGION": os.environ["AWS_REGION"],
        "ENDPOINT": os.environ["AWS_ENDPOINT_URL"].removeprefix("http://"),
    }
    given = {"extensions": EXTENSIONS, "secret": secret, "tables": locations}
    ended = subprocess.run(
        [duckdb_with_iceberg, "-c", READ], input=json.dumps(given), capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    read = dict(map(json.loads, ended.stdout.splitlines()))
    assert len(read) == len(locations) > 6
    with closing(connect(made)) as connection:
        for name, rows in read.items():
            expected = connection.execute(f"SELECT COLUMNS(*)::VARCHAR FROM {name} ORDER BY ALL").fetchall()
            assert [tuple(row) for row in rows] == expected, name
