"""Athena queries: results, scanned bytes and cost."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from brewhouse.aws.functions.job_runs import prices
from brewhouse.aws.session import Account
from brewhouse.aws.stacks import Stack
from brewhouse.errors import UsageError
from brewhouse.query.export import quoted, unique_names
from brewhouse.query.saved_queries import for_athena

if TYPE_CHECKING:
    from duckdb import DuckDBPyRelation

POLL_S = 0.5
_MINIMUM_BYTES = 10_000_000  # the least that a query is billed for
_TYPES: Mapping[str, Callable[[str], Any]] = {
    **dict.fromkeys(("tinyint", "smallint", "integer", "bigint"), int),
    **dict.fromkeys(("float", "double"), float),
    "decimal": Decimal,
    "boolean": lambda text: text == "true",
    "date": date.fromisoformat,
}


@dataclass(frozen=True)
class AthenaResult:
    """The result of a query; columns are described by name and type."""

    description: list[tuple[str, str]]
    rows: list[tuple[Any, ...]]
    scanned_bytes: int

    @property
    def cost_usd(self) -> float:
        """Cost of the query in US dollars."""
        return float(max(self.scanned_bytes, _MINIMUM_BYTES) / 1e12 * prices()["athena_tb"])

    def relation(self) -> DuckDBPyRelation:
        """Return all rows as DuckDB's own result."""
        import duckdb

        columns = list(zip(*self.rows, strict=True)) or [()] * len(self.description)
        names = unique_names([name for name, _ in self.description])
        select = ", ".join(f"unnest(${n}) AS {quoted(name)}" for n, name in enumerate(names, start=1))
        relation = duckdb.sql(f"SELECT {select}", params=list(map(list, columns)))
        assert relation is not None
        return relation


def run_query(account: Account, stack: Stack, sql: str) -> AthenaResult:
    """Run a query in Athena's dialect, with tables named by zone, and wait for its result.

    Raises:
        UsageError: Athena rejects the query, or the query fails.
    """
    client = account.client("athena")
    try:
        query = client.start_query_execution(
            QueryString=for_athena(sql, stack.parameters["CatalogDatabase"]),
            WorkGroup=stack.name,
            QueryExecutionContext={"Database": stack.database("gold")},
        )["QueryExecutionId"]
    except client.exceptions.InvalidRequestException as error:  # a query that cannot be parsed
        raise _query_error(error.response["Error"]["Message"]) from error
    while True:
        execution = client.get_query_execution(QueryExecutionId=query)["QueryExecution"]
        if execution["Status"]["State"] not in {"QUEUED", "RUNNING"}:
            break
        time.sleep(POLL_S)
    if execution["Status"]["State"] != "SUCCEEDED":
        raise _query_error(execution["Status"].get("StateChangeReason", "Athena gave no reason"))
    pages = list(client.get_paginator("get_query_results").paginate(QueryExecutionId=query))
    info = pages[0]["ResultSet"]["ResultSetMetadata"]["ColumnInfo"]
    description = [(column["Name"], column["Type"]) for column in info]
    raw = [[cell.get("VarCharValue") for cell in row["Data"]] for page in pages for row in page["ResultSet"]["Rows"]]
    if raw and raw[0] == [name for name, _ in description]:
        raw = raw[1:]  # the first row of a SELECT holds the column names
    rows = [tuple(_value(kind, text) for (_, kind), text in zip(description, row, strict=True)) for row in raw]
    return AthenaResult(description, rows, execution.get("Statistics", {}).get("DataScannedInBytes", 0))


def _query_error(reason: str) -> UsageError:
    return UsageError(f"Athena could not run the query: {reason}", hint="Tables are named by zone, as gold.<table>.")


def _value(kind: str, text: str | None) -> Any:  # noqa: ANN401 - the type of the column
    return None if text is None else _TYPES.get(kind.split("(", maxsplit=1)[0], str)(text)
