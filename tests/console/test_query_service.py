"""Queries wait, run, end or are stopped; their results are paged, sorted and exported until they are forgotten."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from brewhouse.console.query_service import Query, QueryPhase, QueryService, distinct, plain
from brewhouse.console.sandbox import Limits
from brewhouse.errors import BrewhouseError, UsageError
from brewhouse.lake.lake import Lake

NOON = datetime(2026, 8, 2, 12, tzinfo=UTC)
ENDLESS = "SELECT count(*) FROM range(100000000) a, range(100000) b"


@pytest.fixture(scope="module")
def queries(console_lake: Lake) -> Iterator[QueryService]:
    kept = QueryService(console_lake, at_once=2)
    yield kept
    kept.close()


def ended(queries: QueryService, query: Query) -> Query:
    query.wait(60)
    assert queries.get(query.id).state.is_final
    return query


def asked(queries: QueryService, sql: str, at: str | None = None) -> Query:
    return ended(queries, queries.start(sql, at))


@pytest.fixture(scope="module")
def hundred(queries: QueryService) -> Query:
    """A result of 100 rows: a number, a text that is null for every tenth, and a name twice."""
    return asked(
        queries,
        'SELECT n, CASE WHEN n % 10 = 0 THEN NULL ELSE \'é"\' || (100 - n) END AS "sum(t.n)", n / 2 AS N '
        "FROM range(100) t(n)",
    )


def test_a_query_runs_and_is_paged_in_its_own_order(queries: QueryService, hundred: Query) -> None:
    assert hundred.state is QueryPhase.DONE
    first, last = queries.page(hundred.id, 1, 40), queries.page(hundred.id, 3, 40)
    assert [row[0] for row in first.rows] == list(range(40))
    assert [row[0] for row in last.rows] == list(range(80, 100))
    assert (last.number, last.pages) == (3, 3)
    assert queries.page(hundred.id, 99, 40) == last


def test_a_result_is_sorted_by_a_column_with_nothing_last(queries: QueryService, hundred: Query) -> None:
    downwards, upwards = queries.page(hundred.id, sort=-1), queries.page(hundred.id, sort=2)
    assert [row[0] for row in downwards.rows] == list(range(99, -1, -1))
    assert [row[1] for row in upwards.rows[:2]] == ['é"1', 'é"11']
    assert [row[0] for row in upwards.rows[-10:]] == list(range(0, 100, 10))
    with pytest.raises(UsageError, match="no column 4"):
        queries.page(hundred.id, sort=-4)


def test_a_result_is_exported_whole(queries: QueryService, hundred: Query) -> None:
    names = ["n", "sum(t.n)", "N_2"]
    with queries.export(hundred.id, "csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.reader(file))
    assert table[:2] == [names, ["0", "", "0.0"]]
    rows = json.loads(queries.export(hundred.id, "json").read_text("utf-8"))
    assert rows[11] == {"n": 11, "sum(t.n)": 'é"89', "N_2": 5.5}
    assert parquet.read_table(queries.export(hundred.id, "parquet")).to_pylist() == rows
    assert len(table) - 1 == len(rows) == 100
    with pytest.raises(UsageError, match=r"cannot be had as \.\./x"):
        queries.export(hundred.id, "../x")


def test_a_query_reads_as_of_an_earlier_run(queries: QueryService) -> None:
    count = "SELECT count(*) FROM silver.breweries"
    first = asked(queries, "SELECT run FROM monitoring.runs ORDER BY started_at LIMIT 1")
    run = queries.page(first.id).rows[0][0]
    assert queries.page(asked(queries, count).id).rows == [(400,)]
    assert queries.page(asked(queries, count, run).id).rows == [(399,)]


def test_a_query_that_fails_says_why_and_has_no_result(queries: QueryService) -> None:
    query = asked(queries, "SELECT nowhere")
    assert query.state is QueryPhase.FAILED
    assert "nowhere" in str(query.answer.error)
    for use in (lambda: queries.page(query.id), lambda: queries.export(query.id, "csv")):
        with pytest.raises(UsageError, match="has no result"):
            use()
    assert not query.folder.exists()


def test_a_running_query_is_stopped_and_a_waiting_one_never_runs(queries: QueryService) -> None:
    first, second, third = (queries.start(f"{ENDLESS} -- {n}") for n in range(3))
    for query in (third, first, second):
        assert queries.stop(query.id).state is QueryPhase.STOPPED
    assert third.seconds == 0.0
    assert asked(queries, "SELECT 1").state is QueryPhase.DONE, "the threads are free again"
    assert queries.stop(third.id).state is QueryPhase.STOPPED


def test_a_query_ends_when_its_time_is_over(console_lake: Lake) -> None:
    few = QueryService(console_lake, Limits(seconds=0.3))
    query = asked(few, ENDLESS)
    few.close()
    assert query.state is QueryPhase.FAILED
    assert "longer than 0.3 seconds" in str(query.answer.error)


def test_too_many_queries_are_refused(console_lake: Lake) -> None:
    few = QueryService(console_lake, at_once=1, waiting=1)
    first, second = few.start(ENDLESS), few.start(ENDLESS)
    with pytest.raises(BrewhouseError, match="Too many"):
        few.start("SELECT 1")
    few.close()
    assert {first.state, second.state} == {QueryPhase.STOPPED}
    assert not first.folder.parent.exists()


def test_results_and_then_queries_are_forgotten(console_lake: Lake) -> None:
    few = QueryService(console_lake, kept=2, keep_s=0)
    first = asked(few, "SELECT 1")
    second, third = asked(few, "SELECT 2"), asked(few, "SELECT 3")
    assert [query.sql for query in few.newest()] == ["SELECT 3", "SELECT 2"]
    assert not any(query.has_result for query in (first, second, third))
    with pytest.raises(UsageError, match="not known any more"):
        few.get(first.id)
    few.close()


@pytest.mark.parametrize("sql", ["x" * 100_001, "SELECT '\0'", "SELECT '\ud800'"])
def test_what_is_no_text_of_a_query_is_refused(queries: QueryService, sql: str) -> None:
    with pytest.raises(UsageError, match="up to 100,000 characters"):
        queries.start(sql)


@given(st.lists(st.text('aAb_2."', max_size=4), max_size=8))
def test_names_are_made_to_differ(names: list[str]) -> None:
    made = distinct(names)
    assert len(made) == len(names) == len({name.lower() for name in made})
    assert all(new.startswith(old) for old, new in zip(names, made, strict=True))


def test_values_become_what_json_has() -> None:
    values = [
        True,
        2**70,
        Decimal("1.5"),
        Decimal(10**30),
        float("inf"),
        NOON,
        {"a": b"\1"},
    ]
    assert plain(values) == [True, 2**70, 1.5, 10**30, None, NOON.isoformat(), {"a": "01"}]
