"""Results of Athena are typed, and written in every format; the emulator runs simple queries in DuckDB."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import boto3
import pyarrow.parquet as pq
import pytest
from botocore.stub import Stubber

from brewhouse.aws.athena import AthenaResult, _value, run_query
from brewhouse.aws.session import Account
from brewhouse.aws.stacks import Stack
from brewhouse.aws.verify import count_rows
from brewhouse.errors import UsageError

Call = Callable[..., tuple[int, str, str]]
SQL = "SELECT 'a' AS name, 42 AS number"
BREW = Stack("arn", "brew", "CREATE_COMPLETE", {"CatalogDatabase": "beer"}, {})


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


@pytest.fixture
def athena(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Account, Stubber]]:
    """An account whose Athena answers as recorded."""
    monkeypatch.setattr("brewhouse.aws.athena.POLL_S", 0)
    account = Account("1", "eu-central-1", "arn", boto3.Session("key", "secret", region_name="eu-central-1"))
    with Stubber(account.client("athena")) as stub:
        yield account, stub
        stub.assert_no_pending_responses()


def add_states(stub: Stubber, *states: str, **status: str) -> None:
    stub.add_response("start_query_execution", {"QueryExecutionId": "q"})
    for state in states:
        stub.add_response("get_query_execution", {"QueryExecution": {"Status": {"State": state, **status}}})


def page(columns: Mapping[str, str], *rows: Sequence[str | None], token: str = "") -> dict[str, Any]:
    """Return an answer with rows, and the token of the next page."""
    info = [{"Name": name, "Type": kind} for name, kind in columns.items()]
    data = [{"Data": [{} if value is None else {"VarCharValue": value} for value in row]} for row in rows]
    answer = {"ResultSet": {"ResultSetMetadata": {"ColumnInfo": info}, "Rows": data}}
    return {**answer, "NextToken": token} if token else answer


def test_a_query_is_polled_until_it_ends_and_all_pages_are_read(athena: tuple[Account, Stubber]) -> None:
    account, stub = athena
    columns = {"name": "varchar", "number": "bigint"}
    add_states(stub, "QUEUED", "RUNNING", "SUCCEEDED")
    stub.add_response("get_query_results", page(columns, ("name", "number"), ("a", "1"), token="next"))
    stub.add_response("get_query_results", page(columns, ("b", None)), {"QueryExecutionId": "q", "NextToken": "next"})
    result = run_query(account, BREW, "SELECT 1")
    assert result.description == [("name", "varchar"), ("number", "bigint")]
    assert result.rows == [("a", 1), ("b", None)]
    assert result.scanned_bytes == 0
    assert result.relation().to_arrow_table().to_pydict() == {"name": ["a", "b"], "number": [1, None]}


def test_a_result_without_a_header_row_keeps_its_first_row(athena: tuple[Account, Stubber]) -> None:
    account, stub = athena
    add_states(stub, "SUCCEEDED")
    stub.add_response("get_query_results", page({"table": "varchar"}, ("breweries",)))
    assert run_query(account, BREW, "SHOW TABLES").rows == [("breweries",)]


def test_a_result_without_rows_has_columns(athena: tuple[Account, Stubber]) -> None:
    account, stub = athena
    add_states(stub, "SUCCEEDED")
    stub.add_response("get_query_results", page({"name": "varchar"}, ("name",)))
    result = run_query(account, BREW, "SELECT 1 WHERE false")
    assert result.rows == []
    assert result.relation().columns == ["name"]


@pytest.mark.parametrize(
    ("state", "status", "reason"),
    [
        ("FAILED", {"StateChangeReason": "TABLE_NOT_FOUND"}, "TABLE_NOT_FOUND"),
        ("CANCELLED", {"StateChangeReason": "Bytes scanned limit was exceeded"}, "Bytes scanned limit was exceeded"),
        ("CANCELLED", {}, "Athena gave no reason"),
    ],
)
def test_a_query_that_does_not_succeed_has_its_reason(
    athena: tuple[Account, Stubber], state: str, status: dict[str, str], reason: str
) -> None:
    account, stub = athena
    add_states(stub, state, **status)
    with pytest.raises(UsageError, match=f"could not run the query: {reason} Tables are named by zone"):
        run_query(account, BREW, "SELECT 1")
