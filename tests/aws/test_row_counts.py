"""Row counts of Athena are compared with those that the runs reported in their events."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from botocore.stub import Stubber
from tests.events.any_events import AnyEventLog

from brewhouse.aws.row_counts import row_count_checks
from brewhouse.aws.session import Account
from brewhouse.aws.stacks import Stack
from brewhouse.events.envelope import PUBLISHED, RUN
from brewhouse.lake.lake import Lake


@pytest.fixture
def stack(account: Account) -> Stack:
    bucket = f"brew-{account.number}"
    account.client("s3").create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": account.region})
    return Stack("arn", "brew", "CREATE_COMPLETE", {"BucketName": bucket, "CatalogDatabase": "beer"}, {})


def publish(stack: Stack, run: str, tables: Mapping[str, int], state: str = "SUCCEEDED") -> None:
    """Write the events of a run that published tables."""
    log = AnyEventLog(Lake.at(f"s3://{stack.parameters['BucketName']}/lake"), run)
    this = {"jobName": "breweries", "workflow": "breweries", "workflowRunId": f"wr_{run}"}
    log.write(RUN, {**this, "state": "RUNNING"})
    log.write(PUBLISHED, {"tables": [{"table": name, "rows": rows} for name, rows in tables.items()]})
    log.write(RUN, {**this, "state": state})


def answer(athena: Stubber, rows: Mapping[str, int]) -> None:
    """Let Athena return the row count of each table."""
    info = [{"Name": "name", "Type": "varchar"}, {"Name": "row_count", "Type": "bigint"}]
    data = [["name", "row_count"], *([name, str(count)] for name, count in rows.items())]
    result = {
        "ResultSetMetadata": {"ColumnInfo": info},
        "Rows": [{"Data": [{"VarCharValue": value} for value in row]} for row in data],
    }
    athena.add_response("start_query_execution", {"QueryExecutionId": "q"})
    athena.add_response("get_query_execution", {"QueryExecution": {"Status": {"State": "SUCCEEDED"}}})
    athena.add_response("get_query_results", {"ResultSet": result})


def results(account: Account, stack: Stack, workflow_run: str | None = None) -> list[tuple[bool | None, str]]:
    return [(check.passed, check.detail) for check in row_count_checks(account, stack, workflow_run)]


def test_without_a_run_the_result_is_unknown(account: Account, stack: Stack) -> None:
    assert results(account, stack) == [(None, "no run has published a table yet")]


def test_the_last_publication_of_each_table_is_compared(account: Account, stack: Stack) -> None:
    publish(stack, "R1", {"gold.a": 1, "silver.b": 5})
    publish(stack, "R2", {"gold.a": 2})
    with Stubber(account.client("athena")) as athena:
        answer(athena, {"gold.a": 2, "silver.b": 4})
        assert results(account, stack) == [(True, "2 rows"), (False, "the run reported 5 rows, Athena counts 4")]


def test_a_table_that_athena_does_not_return_fails(account: Account, stack: Stack) -> None:
    publish(stack, "R1", {"gold.a": 1})
    with Stubber(account.client("athena")) as athena:
        answer(athena, {})
        assert results(account, stack) == [(False, "the run reported 1 rows, Athena counts None")]


@pytest.mark.parametrize(
    ("workflow_run", "state", "result"),
    [
        ("wr_R1", "SUCCEEDED", (True, "succeeded")),
        ("wr_R1", "FAILED", (False, "failed")),
        ("wr_R2", "SUCCEEDED", (False, "no events")),
    ],
)
def test_the_given_workflow_run_must_have_succeeded(
    account: Account, stack: Stack, workflow_run: str, state: str, result: tuple[bool, str]
) -> None:
    publish(stack, "R1", {"gold.a": 1}, state)
    with Stubber(account.client("athena")) as athena:
        answer(athena, {"gold.a": 1})
        assert results(account, stack, workflow_run) == [result, (True, "1 rows")]


def test_a_failed_query_is_a_failed_check(account: Account, stack: Stack) -> None:
    publish(stack, "R1", {"gold.a": 1})
    with Stubber(account.client("athena")) as athena:
        athena.add_client_error("start_query_execution", "InvalidRequestException", "no table gold.a")
        [(passed, detail)] = results(account, stack)
    assert passed is False
    assert "Athena could not run the query: no table gold.a" in detail
