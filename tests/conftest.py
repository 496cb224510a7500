"""What several tests begin with: an engine, raw pages, small tables, an emulator of AWS."""

from __future__ import annotations

import gzip
import importlib.util
import itertools
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from brewhouse.engines.duckdb import DuckDBEngine
from brewhouse.jobs.inputs import attach_nothing_previous, attach_places
from brewhouse.lake import s3
from brewhouse.lake.lake import Lake, Shared
from brewhouse.models.model import models_of, parse

Transform = Callable[..., DuckDBEngine]
Given = Callable[[str, Mapping[str, str], Sequence[Sequence[Any]]], DuckDBEngine]


@pytest.fixture(scope="module")
def engine() -> Iterator[DuckDBEngine]:
    engine = DuckDBEngine(512)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def transform(engine: DuckDBEngine, tmp_path_factory: pytest.TempPathFactory) -> Transform:
    """Write each argument, a list of records (objects, or lines as sent), as a page, and run the silver models."""
    folder: Path = tmp_path_factory.mktemp("pages")

    def run(*pages: Sequence[Mapping[str, Any] | str]) -> DuckDBEngine:
        files = []
        for number, records in enumerate(pages, start=1):
            file = folder / f"page-{number:05}.abcdef123456.jsonl.gz"
            lines = [record if isinstance(record, str) else json.dumps(record) for record in records]
            file.write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode(), 1))
            files.append(str(file))
        engine.attach_raw_snapshot(files, "RUN1", "2026-08-02T12:00:00+00:00")
        silver = models_of("silver")
        for model in models_of("staging"):
            engine.compute(model)
        attach_places(engine)
        attach_nothing_previous(engine, next(model for model in silver if model.name == "silver.breweries"))
        for model in silver:
            engine.compute(model)
        return engine

    return run


@pytest.fixture(scope="module")
def given(engine: DuckDBEngine) -> Given:
    """Make a small table: its name, its columns with their SQL types, its rows."""

    def make(name: str, columns: Mapping[str, str], rows: Sequence[Sequence[Any]]) -> DuckDBEngine:
        def select(row: Sequence[Any], condition: str = "") -> str:
            values = ("NULL" if value is None else _quoted(str(value)) for value in row)
            cells = (f"CAST({v} AS {t}) AS {c}" for v, (c, t) in zip(values, columns.items(), strict=True))
            return f"SELECT {', '.join(cells)}{condition}"

        nothing = select([None] * len(columns), " WHERE false")
        engine.compute(parse(name, " UNION ALL ".join([*(select(row) for row in rows), nothing])))
        return engine

    return make


@pytest.fixture(scope="session")
def aws_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where an emulator of AWS answers."""
    with _emulator(tmp_path_factory.mktemp("aws")) as url:
        yield url


@pytest.fixture(scope="session")
def strict_aws_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where an emulator of AWS answers that asks who may do what."""
    with _emulator(tmp_path_factory.mktemp("strict-aws"), AUTH="true") as url:
        yield url


@pytest.fixture(scope="module")
def bucket(aws_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An empty bucket, as `s3://name`, in an account of its own, which the environment points at."""
    with pytest.MonkeyPatch.context() as patch:
        yield enter_account(patch, aws_url, tmp_path_factory.mktemp("home"))
        s3.forget()


@pytest.fixture
def shared_lake(bucket: str) -> Lake:
    """A lake on S3, empty, with databases of its own; its lock expires soon."""
    name = f"lake{next(_NUMBERS)}"
    return Lake.at(f"{bucket}/deep/{name}", Shared(catalog_database=name, lock_expires_s=2))


@contextmanager
def _emulator(folder: Path, **variables: str) -> Iterator[str]:
    if importlib.util.find_spec("ministack") is None:
        pytest.skip("the emulator of AWS, ministack, is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    only_loopback = {"BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port), "IOT_MTLS_ENABLED": "0", "SFTP_ENABLED": "0"}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "ministack"],
        cwd=folder,
        env={**kept, "TMPDIR": str(folder), "LOG_LEVEL": "ERROR", **only_loopback, **variables},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        while True:
            try:
                with urllib.request.urlopen(f"{url}/_ministack/health", timeout=5):
                    break
            except OSError:
                assert process.poll() is None, "the emulator did not start"
                time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait(30)


_NUMBERS = itertools.count(100_000_000_001)


def enter_account(patch: pytest.MonkeyPatch, url: str, home: Path) -> str:
    """Make the process, and those it starts, work in an empty account with one bucket; gives its URL."""
    account = str(next(_NUMBERS))
    for name in [name for name in os.environ if name.startswith(("AWS_", "BREWHOUSE_", "PYICEBERG_"))]:
        patch.delenv(name)
    told = {
        "AWS_ACCESS_KEY_ID": account,
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "eu-central-1",
        "AWS_ENDPOINT_URL": url,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(home / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(home / "credentials"),
    }
    for name, value in told.items():
        patch.setenv(name, value)
    s3.forget()
    assert s3.endpoint("s3") == s3.endpoint("glue") == url, "a request would leave this machine"
    name = f"bucket-{account}"
    who = f"AWS4-HMAC-SHA256 Credential={account}/20260802/eu-central-1/s3/aws4_request"
    where = (
        b"<CreateBucketConfiguration><LocationConstraint>eu-central-1</LocationConstraint></CreateBucketConfiguration>"
    )
    making = urllib.request.Request(f"{url}/{name}", where, {"Authorization": who}, method="PUT")
    with urllib.request.urlopen(making, timeout=30):  # by hand, since boto3 needs half a second for it
        pass
    return f"s3://{name}"


def _quoted(text: str) -> str:
    """Quote a text as Spark SQL does."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
