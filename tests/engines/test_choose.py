"""The engine is the one that the settings ask for."""

from __future__ import annotations

import subprocess
import sys

import pytest

from brewhouse.engines.choose import open_engine
from brewhouse.engines.duckdb import DuckDBEngine
from brewhouse.engines.spark import SparkEngine
from brewhouse.errors import UsageError
from brewhouse.settings import load


def test_it_is_the_embedded_one_unless_asked_otherwise() -> None:
    with open_engine(load({}, environ={})) as engine:
        assert isinstance(engine, DuckDBEngine)


@pytest.mark.usefixtures("spark_session")
def test_it_is_spark_when_asked_for() -> None:
    with open_engine(load({}, environ={"BREWHOUSE_ENGINE": "spark"})) as engine:
        assert isinstance(engine, SparkEngine)


def test_no_other_one_can_be_asked_for() -> None:
    with pytest.raises(UsageError, match="engine"):
        load({"engine": "abacus"}, environ={})


def test_nothing_of_spark_is_imported_for_the_embedded_one() -> None:
    code = (
        "import sys; import brewhouse.pipeline.workflow; from brewhouse.engines.choose import open_engine; "
        "from brewhouse.settings import load; open_engine(load({}, environ={})).__enter__(); "
        "assert not {'pyspark', 'py4j', 'pandas'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
