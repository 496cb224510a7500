"""The engine is the one that the settings select."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from brewhouse.engines.duckdb import DuckDBEngine
from brewhouse.engines.spark import SparkEngine
from brewhouse.errors import UsageError
from brewhouse.pipeline.run_context import open_engine
from brewhouse.settings import load


def test_the_embedded_engine_is_the_default() -> None:
    with open_engine(load({}, environ={})) as engine:
        assert isinstance(engine, DuckDBEngine)


@pytest.mark.usefixtures("spark_session")
def test_spark_is_used_if_selected() -> None:
    with open_engine(load({}, environ={"BREWHOUSE_ENGINE": "spark"})) as engine:
        assert isinstance(engine, SparkEngine)


def test_an_unknown_engine_is_rejected() -> None:
    with pytest.raises(UsageError, match="engine"):
        load({"engine": "abacus"}, environ={})


def test_the_embedded_engine_imports_nothing_of_spark() -> None:
    code = (
        "import sys; import brewhouse.pipeline.workflow; from brewhouse.pipeline.run_context import open_engine; "
        "from brewhouse.settings import load; open_engine(load({}, environ={})).__enter__(); "
        "assert not {'pyspark', 'py4j', 'pandas'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("fails", [True, False])
def test_the_engine_is_closed_on_exit(fails: bool) -> None:
    folders = []

    def work() -> None:
        with open_engine(load({}, environ={})) as engine:
            folders.append(Path(engine.rows("SELECT current_setting('temp_directory') AS f")[0]["f"]))
            assert folders[0].exists()
            if fails:
                raise KeyError("failed")

    if fails:
        with pytest.raises(KeyError):
            work()
    else:
        work()
    assert not folders[0].exists()


def test_the_memory_limit_of_the_settings_applies() -> None:
    limits = []
    for limit_mb in ("1024", "4096"):
        with open_engine(load({"memory_limit_mb": limit_mb}, environ={})) as engine:
            limits.append(engine.rows("SELECT current_setting('memory_limit') AS m")[0]["m"])
    assert limits[0] != limits[1]


@pytest.mark.usefixtures("spark_session")
def test_the_session_stays_open_when_the_engine_is_closed() -> None:
    for _ in range(2):
        with open_engine(load({"engine": "spark"}, environ={})) as engine:
            assert engine.rows("SELECT 1 AS n") == [{"n": 1}]
