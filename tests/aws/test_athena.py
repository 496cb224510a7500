"""Results of Athena are typed, and written in every format; the emulator runs simple queries in DuckDB."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path

import boto3
import pyarrow.parquet as pq
import pytest
from botocore.stub import Stubber

from brewhouse.aws.athena import AthenaResult, _value
from brewhouse.aws.row_counts import count_rows
from brewhouse.aws.session import Account
from brewhouse.aws.stacks import Stack

Call = Callable[..., tuple[int, str, str]]
SQL = "SELECT 'a' AS name, 42 AS number"


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


def test_a_query_is_billed_for_at_least_ten_megabytes() -> None:
    assert AthenaResult([], [], 10).cost_usd == pytest.approx(0.00005)
    assert AthenaResult([], [], 10**12).cost_usd == pytest.approx(5)


@pytest.fixture
def result_location(deployed: Account) -> None:
    """Set a location for the results of the workgroup: the emulator has no managed results."""
    place = {"OutputLocation": f"s3://brew-{deployed.number}-{deployed.region}/results/"}
    deployed.client("athena").update_work_group(
        WorkGroup="brew", ConfigurationUpdates={"ResultConfigurationUpdates": place}
    )


@pytest.mark.usefixtures("result_location")
def test_a_query_is_written_in_every_format(call: Call, tmp_path: Path) -> None:
    code, out, err = call("query", SQL, "--stack", "brew", "--format", "csv")
    assert (code, out) == (0, "name,number\na,42\n")
    assert "bytes scanned" in err
    assert "USD" in err
    (row,) = json.loads(call("query", SQL, "--stack", "brew", "--json")[1])
    assert row["name"] == "a"
    file = tmp_path / "result.parquet"
    assert call("query", SQL, "--stack", "brew", "--format", "parquet", "--output", file)[0] == 0
    assert pq.read_table(file).num_rows == 1


@pytest.mark.usefixtures("result_location")
def test_a_failed_query_is_a_usage_error(call: Call) -> None:
    code, _, err = call("query", "SELECT nothing FROM nowhere", "--stack", "brew")
    assert code == 2
    assert "Athena could not run the query" in err


def test_a_query_is_either_sql_or_saved(call: Call) -> None:
    assert call("query")[0] == 2
    assert call("query", "SELECT 1", "--saved", "top_cities")[0] == 2


def test_all_tables_are_counted_by_one_query() -> None:
    session = boto3.Session("key", "secret", region_name="eu-central-1")
    account = Account("1", "eu-central-1", "arn", session)
    stack = Stack("arn", "brew", "CREATE_COMPLETE", {"CatalogDatabase": "beer"}, {})
    sql = (
        "SELECT 'gold.a' AS name, count(*) AS row_count FROM beer_gold.a UNION ALL "
        "SELECT 'silver.b' AS name, count(*) AS row_count FROM beer_silver.b"
    )
    asked = {"QueryString": sql, "WorkGroup": "brew", "QueryExecutionContext": {"Database": "beer_gold"}}
    columns = [{"Name": "name", "Type": "varchar"}, {"Name": "row_count", "Type": "bigint"}]
    rows = [["name", "row_count"], ["gold.a", "12"], ["silver.b", "0"]]
    result = {
        "ResultSetMetadata": {"ColumnInfo": columns},
        "Rows": [{"Data": [{"VarCharValue": value} for value in row]} for row in rows],
    }
    succeeded = {"Status": {"State": "SUCCEEDED"}, "Statistics": {"DataScannedInBytes": 2_000}}
    with Stubber(account.client("athena")) as athena:
        athena.add_response("start_query_execution", {"QueryExecutionId": "q"}, asked)
        athena.add_response("get_query_execution", {"QueryExecution": succeeded}, {"QueryExecutionId": "q"})
        athena.add_response("get_query_results", {"ResultSet": result}, {"QueryExecutionId": "q"})
        assert count_rows(account, stack, ["gold.a", "silver.b"]) == {"gold.a": 12, "silver.b": 0}
