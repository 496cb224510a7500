"""Results of Athena: typed, in every format. The emulator answers in DuckDB's SQL: only simple queries are asked."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from brewhouse.aws.athena import Result, _value
from brewhouse.aws.session import Account

Call = Callable[..., tuple[int, str, str]]
ASKED = "SELECT 'a' AS name, 42 AS number"


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("bigint", "42", 42),
        ("double", "1.5", 1.5),
        ("decimal(10,2)", "1.50", Decimal("1.50")),
        ("boolean", "false", False),
        ("date", "2026-08-02", date(2026, 8, 2)),
        ("varchar", "42", "42"),
        ("varchar", "", ""),
        ("timestamp(3) with time zone", "2026-08-02 12:00:00.000 UTC", "2026-08-02 12:00:00.000 UTC"),
        ("bigint", None, None),
    ],
)
def test_a_value_has_the_type_of_its_column(kind: str, text: str | None, value: object) -> None:
    assert _value(kind, text) == value


def test_a_small_query_costs_what_ten_megabytes_do() -> None:
    assert Result([], [], 10).cost_usd == pytest.approx(0.00005)
    assert Result([], [], 10**12).cost_usd == pytest.approx(5)


@pytest.fixture
def answering(deployed: Account) -> None:
    """Give the workgroup a place for results: the emulator has no managed ones."""
    place = {"OutputLocation": f"s3://brew-{deployed.number}-{deployed.region}/results/"}
    deployed.client("athena").update_work_group(
        WorkGroup="brew", ConfigurationUpdates={"ResultConfigurationUpdates": place}
    )


@pytest.mark.usefixtures("answering")
def test_a_query_is_written_in_every_format(call: Call, tmp_path: Path) -> None:
    code, out, err = call("query", ASKED, "--stack", "brew", "--format", "csv")
    assert (code, out) == (0, "name,number\na,42\n")
    assert "bytes scanned" in err
    assert "USD" in err
    (row,) = json.loads(call("query", ASKED, "--stack", "brew", "--json")[1])
    assert row["name"] == "a"
    file = tmp_path / "result.parquet"
    assert call("query", ASKED, "--stack", "brew", "--format", "parquet", "--output", file)[0] == 0
    assert pq.read_table(file).num_rows == 1


@pytest.mark.usefixtures("answering")
def test_a_query_that_cannot_be_run_is_said(call: Call) -> None:
    code, _, err = call("query", "SELECT nothing FROM nowhere", "--stack", "brew")
    assert code == 2
    assert "Athena could not run the query" in err


def test_a_query_is_either_written_out_or_saved(call: Call) -> None:
    assert call("query")[0] == 2
    assert call("query", "SELECT 1", "--saved", "top_cities")[0] == 2
