"""Queries wait, run, finish or are stopped; their results are paged, sorted and exported until they expire."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import threading
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from brewhouse.console.query_service import QueryService, QueryState, QueryStatus
from brewhouse.console.sandbox import QueryLimits
from brewhouse.errors import BrewhouseError, UsageError
from brewhouse.lake.lake import Lake

NOON = datetime(2026, 8, 2, 12, tzinfo=UTC)
ENDLESS = "SELECT count(*) FROM range(100000000) a, range(100000) b"


@pytest.fixture(scope="module")
def queries(console_lake: Lake) -> Iterator[QueryService]:
    service = QueryService(console_lake, max_running=2)
    yield service
    service.close()


def downloaded(queries: QueryService, name: str, kind: str) -> bytes:
    return b"".join(queries.download(name, kind))


@contextmanager
def service_for(lake: Lake, *limits: QueryLimits, **options: float) -> Iterator[QueryService]:
    service = QueryService(lake, *limits, **options)  # type: ignore[arg-type]
    try:
        yield service
    finally:
        service.close()


def finished(queries: QueryService, sql: str, at: str | None = None) -> QueryStatus:
    status = queries.wait(queries.start(sql, at).id, 60)
    assert status.state.is_final
    return status


def wait_for(condition: Callable[[], bool]) -> None:
    """Poll a condition that another thread makes true."""
    for _ in range(6000):
        if condition():
            return
        threading.Event().wait(0.01)
    pytest.fail("the condition did not become true within a minute")


@pytest.fixture(scope="module")
def hundred(queries: QueryService) -> QueryStatus:
    """A result of 100 rows: a number, a text that is null in every tenth row, and a duplicate column name."""
    return finished(
        queries,
        'SELECT n, CASE WHEN n % 10 = 0 THEN NULL ELSE \'é"\' || (100 - n) END AS "sum(t.n)", n / 2 AS N '
        "FROM range(100) t(n)",
    )


def test_a_finished_query_reports_its_result(queries: QueryService, hundred: QueryStatus) -> None:
    assert hundred.state is QueryState.DONE
    assert (hundred.rows, hundred.is_cut, hundred.has_result, hundred.error) == (100, False, True, None)
    assert [(column.name, column.type) for column in hundred.columns] == [
        *(("n", "BIGINT"), ("sum(t.n)", "VARCHAR"), ("N", "DOUBLE"))
    ]
    assert hundred.seconds > 0
    assert queries.get(hundred.id) == hundred, "the status of a finished query does not change"


def test_a_page_keeps_the_order_of_the_query(queries: QueryService, hundred: QueryStatus) -> None:
    first, last = queries.page(hundred.id, 1, 40), queries.page(hundred.id, 3, 40)
    assert [row[0] for row in first.rows] == list(range(40))
    assert [row[0] for row in last.rows] == list(range(80, 100))
    assert (last.page, last.pages) == (3, 3)
    assert queries.page(hundred.id, 99, 40) == last
    assert queries.page(hundred.id, -1, 40) == first


@settings(max_examples=25)
@given(size=st.integers(1, 150), sort=st.sampled_from([None, 1, -1, 2, -2, 3, -3]))
def test_pages_contain_every_row_once(queries: QueryService, hundred: QueryStatus, size: int, sort: int | None) -> None:
    first = queries.page(hundred.id, 1, size, sort)
    assert first.pages == -(-100 // size)
    numbers = [1, first.pages] if first.pages > 4 else range(1, first.pages + 1)
    rows = [row for number in numbers for row in queries.page(hundred.id, number, size, sort).rows]
    assert len({row[0] for row in rows}) == len(rows)
    if first.pages <= 4:
        assert sorted(row[0] for row in rows) == list(range(100))


def test_a_result_is_sorted_by_a_column_with_nulls_last(queries: QueryService, hundred: QueryStatus) -> None:
    descending, ascending = queries.page(hundred.id, sort=-1), queries.page(hundred.id, sort=2)
    assert [row[0] for row in descending.rows] == list(range(99, -1, -1))
    assert [row[1] for row in ascending.rows[:2]] == ['é"1', 'é"11']
    for sort in (2, -2):
        rows = queries.page(hundred.id, sort=sort).rows
        assert [row[0] for row in rows[-10:]] == list(range(0, 100, 10)), "ties keep the order of the query"


@pytest.mark.parametrize("sort", [0, 4, -4, 10**6])
def test_a_sort_column_out_of_range_is_an_error(queries: QueryService, hundred: QueryStatus, sort: int) -> None:
    with pytest.raises(UsageError, match=f"no column {abs(sort)}"):
        queries.page(hundred.id, sort=sort)


def test_a_result_without_rows_has_one_empty_page(queries: QueryService) -> None:
    status = finished(queries, "SELECT 1 AS n WHERE false")
    page = queries.page(status.id, 5)
    assert (page.rows, page.page, page.pages) == ([], 1, 1)
    assert downloaded(queries, status.id, "csv") == b"n\n"
    assert json.loads(downloaded(queries, status.id, "json")) == []


def test_every_format_has_the_whole_result(queries: QueryService, hundred: QueryStatus) -> None:
    names = ["n", "sum(t.n)", "N_2"]
    table = list(csv.reader(io.StringIO(downloaded(queries, hundred.id, "csv").decode())))
    assert table[:2] == [names, ["0", "", "0.0"]]
    rows = json.loads(downloaded(queries, hundred.id, "json"))
    assert rows[11] == {"n": 11, "sum(t.n)": 'é"89', "N_2": 5.5}
    file = io.BytesIO(downloaded(queries, hundred.id, "parquet"))
    assert parquet.read_table(file).to_pylist() == rows
    assert len(table) - 1 == len(rows) == 100
    assert parquet.read_schema(file).names == names


@pytest.mark.parametrize("kind", ["csv", "json", "parquet"])
def test_hostile_column_names_and_values_are_downloaded_as_they_are(
    queries: QueryService, kind: str, tmp_path: Path
) -> None:
    names = ['a"b', "a.b", "x; DROP TABLE t", "", "ä\n2"]
    columns = ", ".join("'=1+1' AS \"" + name.replace('"', '""') + '"' for name in names if name)
    status = finished(queries, f"SELECT {columns}")
    file = tmp_path / f"file.{kind}"
    file.write_bytes(downloaded(queries, status.id, kind))
    exported = duckdb.execute(f"FROM '{file}'")
    assert {column[0] for column in exported.description or ()} == {name for name in names if name}
    assert set(exported.fetchall()[0]) == {"=1+1"}


def test_a_value_that_a_format_lacks_is_an_error_and_leaves_no_file(queries: QueryService) -> None:
    status = finished(queries, f"SELECT {2**127 - 1}::HUGEINT AS n, 0 / 0 AS share, [1 / 0] AS more")
    assert queries.page(status.id).rows == [[2**127 - 1, None, [None]]]
    rows = json.loads(downloaded(queries, status.id, "json"))
    assert rows == [{"n": 2**127 - 1, "share": None, "more": [None]}]
    with pytest.raises(UsageError, match=f"The query cannot be run: Conversion Error.*{2**127 - 1}"):
        downloaded(queries, status.id, "parquet")
    assert "inf" not in downloaded(queries, status.id, "csv").decode()
    assert [file.name for file in queries._executions[status.id].folder.iterdir()] == ["result.parquet"]


def test_a_large_result_is_downloaded_in_parts_in_order(queries: QueryService) -> None:
    status = finished(queries, "SELECT n, repeat(md5(n::VARCHAR), 40) AS t FROM range(30001) t(n)")
    parts = list(queries.download(status.id, "csv"))
    assert len(parts) == 4
    assert max(map(len, parts)) < sum(map(len, parts)) / 2
    rows = list(csv.reader(io.StringIO(b"".join(parts).decode())))
    assert [row[0] for row in rows] == ["n", *map(str, range(30001))]
    assert len(json.loads(downloaded(queries, status.id, "json"))) == 30001


@pytest.mark.parametrize("columns", [1_001, pytest.param(12_000, marks=pytest.mark.slow)])
def test_a_result_of_many_columns_is_shown_in_part_and_downloaded_whole(queries: QueryService, columns: int) -> None:
    status = finished(queries, f"SELECT {', '.join('n' * columns)} FROM range(2) t(n)")
    assert len(status.columns) == columns
    page = queries.page(status.id, sort=-columns)
    assert len(page.columns) == 1000
    assert page.rows == [[1] * 1000, [0] * 1000]
    for kind, start in (("csv", ""), ("excel.csv", "\ufeff")):
        rows = list(csv.reader(io.StringIO(downloaded(queries, status.id, kind).decode().removeprefix(start))))
        assert rows[1:] == [["0"] * columns, ["1"] * columns]
    assert [len(row) for row in json.loads(downloaded(queries, status.id, "json"))] == [columns] * 2
    with zipfile.ZipFile(io.BytesIO(downloaded(queries, status.id, "xlsx"))) as book:
        assert book.read("xl/worksheets/sheet1.xml").count(b"<c ") == 3 * columns
    assert parquet.read_metadata(io.BytesIO(downloaded(queries, status.id, "parquet"))).num_columns == columns


def test_a_result_of_too_many_columns_is_an_error_of_the_query(console_lake: Lake) -> None:
    with service_for(console_lake, QueryLimits(columns=2)) as service:
        assert "3 columns; at most 2" in str(finished(service, "SELECT 1, 2, 3").error)


_LARGE_DOWNLOADS = """
import sys
from pathlib import Path
from brewhouse.console.query_service import QueryService
from brewhouse.lake.lake import Lake

if __name__ == "__main__":
    queries = QueryService(Lake(Path(sys.argv[1])))
    sql = "SELECT n, repeat(md5(n::VARCHAR), 64) AS t FROM range(1_000_000) t(n)"
    status = queries.wait(queries.start(sql).id, 120)
    sizes = [sum(map(len, queries.download(status.id, kind))) for kind in sys.argv[2:]]
    [peak_kb] = [int(line.split()[1]) for line in Path("/proc/self/status").open() if line.startswith("VmHWM")]
    queries.close()
    print(status.rows, peak_kb // 1000, *sizes)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("kind", ["csv", "excel.csv", "json"])
def test_a_million_rows_of_two_kilobytes_are_downloaded_with_bounded_memory(
    console_lake: Lake, tmp_path: Path, kind: str
) -> None:
    script = tmp_path / "large.py"
    script.write_text(_LARGE_DOWNLOADS)
    command = [sys.executable, str(script), str(console_lake.root), kind]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=900)
    rows, peak_mb, size = map(int, done.stdout.split())
    assert rows == 1_000_000
    assert size > rows * 2048
    assert peak_mb < 600


def test_the_oldest_results_make_room_for_new_ones(console_lake: Lake) -> None:
    with service_for(console_lake, max_kept_mb=4) as service:
        names = [finished(service, "SELECT uuid() AS u FROM range(70000)").id for _ in range(3)]
        assert [service.get(name).has_result for name in names] == [False, True, True]


def test_numbers_of_128_bits_are_sorted_by_value(queries: QueryService) -> None:
    status = finished(queries, "SELECT (n * n)::HUGEINT AS v FROM range(8, 12) t(n)")
    assert [row[0] for row in queries.page(status.id, sort=-1).rows] == [121, 100, 81, 64]


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="Python 3.14 reads any depth that DuckDB sends")
def test_json_that_is_nested_too_deeply_is_an_error(queries: QueryService) -> None:
    status = finished(queries, f"SELECT '{'[' * 3000}{']' * 3000}'::JSON AS v")
    with pytest.raises(UsageError, match="nested too deeply"):
        queries.page(status.id)


def test_an_error_in_the_last_row_is_one_of_the_query(queries: QueryService) -> None:
    status = finished(queries, "SELECT CAST(CASE WHEN i = 49999 THEN 'x' ELSE '1' END AS INT) FROM range(50000) t(i)")
    assert status.state is QueryState.FAILED
    assert "Could not convert string 'x' to INT32" in str(status.error)


def test_concurrent_downloads_are_complete(queries: QueryService) -> None:
    status = finished(queries, "SELECT n, repeat('x', 100) AS t FROM range(50000) t(n)")
    with ThreadPoolExecutor(4) as threads:
        files = list(threads.map(lambda _: downloaded(queries, status.id, "parquet"), range(4)))
    assert {parquet.read_metadata(io.BytesIO(file)).num_rows for file in files} == {50_000}


@pytest.mark.parametrize("kind", ["../x", "xls", ""])
def test_another_format_is_an_error(queries: QueryService, hundred: QueryStatus, kind: str) -> None:
    with pytest.raises(UsageError, match="Cannot export a result as") as failed:
        downloaded(queries, hundred.id, kind)
    assert "csv, excel.csv, xlsx, json, parquet" in failed.value.hint


def test_a_query_reads_as_of_an_earlier_run(queries: QueryService) -> None:
    count = "SELECT count(*) FROM silver.breweries"
    first = finished(queries, "SELECT run FROM monitoring.runs ORDER BY started_at LIMIT 1")
    run = queries.page(first.id).rows[0][0]
    assert queries.page(finished(queries, count).id).rows == [[400]]
    earlier = finished(queries, count, run)
    assert (earlier.at, queries.page(earlier.id).rows) == (run, [[399]])
    assert finished(queries, count, "").at is None


@pytest.mark.parametrize(
    ("sql", "error"),
    [
        ("SELECT nowhere", "LINE 1: SELECT nowhere"),
        ("COPY silver.breweries TO 'x.csv'", "Only one SELECT"),
        ("FROM read_text('/etc/passwd')", "only tables are read"),
    ],
)
def test_a_failed_query_has_an_error_and_no_result(queries: QueryService, sql: str, error: str) -> None:
    status = finished(queries, sql)
    assert status.state is QueryState.FAILED
    assert error in str(status.error)
    assert status.hint
    assert not status.has_result
    for use in (lambda: queries.page(status.id), lambda: downloaded(queries, status.id, "csv")):
        with pytest.raises(UsageError, match="has no result"):
            use()


def test_a_running_query_is_stopped_and_a_waiting_one_never_starts(queries: QueryService) -> None:
    first, second, third = (queries.start(f"{ENDLESS} -- {n}").id for n in range(3))
    for name in (third, first, second):
        assert queries.stop(name).state is QueryState.STOPPED
    assert queries.get(third).seconds == 0.0
    assert finished(queries, "SELECT 1").state is QueryState.DONE, "the threads are free again"
    assert queries.stop(third).state is QueryState.STOPPED
    assert queries.get(first).error is None


def test_stopping_a_finished_query_keeps_its_result(queries: QueryService, hundred: QueryStatus) -> None:
    assert queries.stop(hundred.id) == hundred
    assert queries.page(hundred.id).pages == 1


def test_a_stopped_query_frees_its_process(console_lake: Lake) -> None:
    with service_for(console_lake, max_running=1) as service:
        name = service.start(ENDLESS).id
        wait_for(lambda: service._executions[name].sandbox is not None)
        sandbox = service._executions[name].sandbox
        assert sandbox is not None
        assert service.get(name).state is QueryState.RUNNING
        assert service.get(name).seconds > 0
        service.stop(name)
        wait_for(lambda: sandbox._process.poll() is not None)
        wait_for(lambda: not service._executions[name].folder.exists())


def test_at_most_the_allowed_number_of_queries_runs_at_once(console_lake: Lake) -> None:
    with service_for(console_lake, max_running=2, max_waiting=3) as service:
        names = [service.start(f"{ENDLESS} -- {n}").id for n in range(5)]
        wait_for(lambda: [service.get(name).state for name in names].count(QueryState.RUNNING) == 2)
        states = Counter(service.get(name).state for name in names)
        assert states == {QueryState.RUNNING: 2, QueryState.WAITING: 3}
        assert [service.get(name).state for name in names[:2]] == [QueryState.RUNNING] * 2, "first come, first served"
        with pytest.raises(BrewhouseError, match="Too many queries"):
            service.start("SELECT 1")
        service.stop(names[4])
        assert service.start("SELECT 1").state is QueryState.WAITING


def test_many_clients_get_their_own_results(console_lake: Lake) -> None:
    with service_for(console_lake, max_running=3) as service:

        def ask(number: int) -> tuple[int, Any]:
            return number, service.page(finished(service, f"SELECT {number} AS n").id).rows

        with ThreadPoolExecutor(6) as threads:
            assert all(rows == [[number]] for number, rows in threads.map(ask, range(6)))
        assert len({query.id for query in service.newest()}) == 6


def test_a_query_fails_at_its_time_limit(console_lake: Lake) -> None:
    with service_for(console_lake, QueryLimits(seconds=0.3)) as service:
        status = finished(service, ENDLESS)
    assert status.state is QueryState.FAILED
    assert "time limit of 0.3 seconds" in str(status.error)


def test_a_query_fails_when_its_temporary_folder_was_deleted(console_lake: Lake) -> None:
    with service_for(console_lake, max_running=1) as service:
        service._temp_dir.path.rename(service._temp_dir.path.with_suffix(".gone"))
        status = finished(service, "SELECT 1")
        assert status.state is QueryState.FAILED
        assert "FileNotFoundError" in str(status.error)
        service._temp_dir.path.with_suffix(".gone").rename(service._temp_dir.path)
        assert finished(service, "SELECT 1").state is QueryState.DONE, "the thread is free again"


def test_a_truncated_result_says_so(console_lake: Lake) -> None:
    with service_for(console_lake, QueryLimits(rows=10)) as service:
        status = finished(service, "FROM range(11)")
        assert (status.rows, status.is_cut) == (10, True)
        assert service.page(status.id, size=100).rows == [[n] for n in range(10)]


def test_results_expire_before_their_queries(console_lake: Lake) -> None:
    with service_for(console_lake, max_remembered=2, result_ttl_s=0) as service:
        names = [finished(service, f"SELECT {n}").id for n in range(3)]
        assert [query.sql for query in service.newest()] == ["SELECT 2", "SELECT 1"]
        assert not any(query.has_result for query in service.newest())
        with pytest.raises(UsageError, match="has expired"):
            service.page(names[2])
        for use in (service.get, service.stop, service.page):
            with pytest.raises(UsageError, match="unknown or was dropped"):
                use(names[0])


def test_a_running_query_is_not_dropped_from_the_history(console_lake: Lake) -> None:
    with service_for(console_lake, max_running=2, max_remembered=1) as service:
        running = service.start(ENDLESS).id
        for number in range(3):
            finished(service, f"SELECT {number}")
        assert running in {query.id for query in service.newest()}


def test_closing_stops_all_queries_and_deletes_their_results(console_lake: Lake) -> None:
    service = QueryService(console_lake, max_running=2)
    done = finished(service, "SELECT 1")
    folder = service._executions[done.id].folder
    assert folder.stat().st_mode & 0o777 == 0o700, "other users cannot read results"
    running = [service.start(ENDLESS).id for _ in range(3)]
    service.close()
    assert {service.get(name).state for name in running} == {QueryState.STOPPED}
    assert not folder.parent.exists()
    assert service._spare is None or service._spare._process.poll() is not None


def test_closing_an_unused_service_leaves_no_process(console_lake: Lake) -> None:
    service = QueryService(console_lake)
    service.prepare()
    spare = service._spare
    assert spare is not None
    service.prepare()
    assert service._spare is spare, "one spare is enough"
    service.close()
    assert spare._process.poll() is not None
    service.prepare()
    assert service._spare is None


@pytest.mark.parametrize("sql", ["x" * 100_001, "SELECT '\0'", "SELECT '\ud800'"])
def test_a_text_that_cannot_be_a_query_is_rejected(queries: QueryService, sql: str) -> None:
    with pytest.raises(UsageError, match="up to 100,000 characters"):
        queries.start(sql)


def test_the_longest_query_runs(queries: QueryService) -> None:
    sql = "SELECT 1 AS n --"
    assert finished(queries, sql + "x" * (100_000 - len(sql))).state is QueryState.DONE


def test_waiting_returns_early_when_time_is_over(queries: QueryService) -> None:
    name = queries.start(ENDLESS).id
    assert not queries.wait(name, 0).state.is_final
    queries.stop(name)
    assert queries.wait(name, 60).state is QueryState.STOPPED


def test_ids_cannot_be_guessed(queries: QueryService) -> None:
    names = [queries.start("SELECT 1").id for _ in range(3)]
    assert len({name[-16:] for name in names}) == 3
    for name in names:
        queries.wait(name, 60)


def test_query_text_is_not_visible_in_the_process_list(console_lake: Lake) -> None:
    with service_for(console_lake) as service:
        name = service.start(f"{ENDLESS} -- secret").id
        wait_for(lambda: service._executions[name].sandbox is not None)
        sandbox = service._executions[name].sandbox
        assert sandbox is not None
        command = Path(f"/proc/{sandbox._process.pid}/cmdline")
        if command.exists():
            assert b"secret" not in command.read_bytes()
        assert os.getpid() != sandbox._process.pid


@pytest.mark.parametrize(
    "sql",
    [
        "1.5::DECIMAL(10,3)",
        "MAP {'a': 1}",
        "'x'::ENUM('x', 'y')",
        "TIMESTAMP '2026-08-02'",
        "'00000000-0000-0000-0000-000000000001'::UUID",
        "1::BIGINT",
    ],
)
def test_values_of_every_type_are_json(queries: QueryService, sql: str) -> None:
    status = finished(queries, f"SELECT {sql} AS v, [{sql}] AS l")
    assert status.error is None
    (row,) = queries.page(status.id).rows
    assert row[1] == [row[0]]
    assert msgspec.json.decode(msgspec.json.encode(row)) == row
