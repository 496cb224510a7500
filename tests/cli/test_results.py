"""Query texts, and query results in every format."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brewhouse.cli.results import Format, query_text, result_file, write, writing
from brewhouse.errors import BrewhouseError, UsageError
from brewhouse.query.saved_queries import for_duckdb, saved_queries, saved_query

Capture = pytest.CaptureFixture[str]
VALUES = (
    "SELECT 1 AS number, 1.50::DECIMAL(4,2) AS price, DATE '2026-08-02' AS day, "
    "TIMESTAMP '2026-08-02 01:00:00' AS at, NULL AS nothing, ['a', 'b'] AS list, {'x': 1} AS struct, "
    "'Bräu, \"🍺\"' AS text"
)


def show(sql: str, output_format: Format, output: Path | None) -> None:
    """Write a result to a file, or print it."""
    with result_file(output_format, output) as file, duckdb.connect() as connection:
        write(connection.sql(sql), output_format, file)


def written(sql: str, output_format: Format, path: Path) -> str:
    show(sql, output_format, path)
    return path.read_text("utf-8")


def test_json_keeps_numbers_nulls_lists_and_structs(tmp_path: Path) -> None:
    (row,) = json.loads(written(VALUES, "json", tmp_path / "r.json"))
    assert row == {
        "number": 1,
        "price": 1.5,
        "day": "2026-08-02",
        "at": "2026-08-02T01:00:00",
        "nothing": None,
        "list": ["a", "b"],
        "struct": {"x": 1},
        "text": 'Bräu, "🍺"',
    }


def test_csv_quotes_what_needs_it_and_writes_null_as_empty(tmp_path: Path) -> None:
    text = written(VALUES, "csv", tmp_path / "r.csv")
    (row,) = csv.DictReader(io.StringIO(text))
    assert (row["number"], row["price"], row["nothing"], row["text"]) == ("1", "1.50", "", 'Bräu, "🍺"')
    assert '"Bräu, ""🍺"""' in text


def test_parquet_keeps_the_types(tmp_path: Path) -> None:
    show(VALUES, "parquet", tmp_path / "r.parquet")
    table = pq.read_table(tmp_path / "r.parquet")
    types = {field.name: str(field.type) for field in table.schema}
    assert types["price"] == "decimal128(4, 2)"
    assert types["day"] == "date32[day]"
    assert types["list"].startswith("list<")
    assert table.to_pylist()[0]["struct"] == {"x": 1}


def test_parquet_has_all_rows_of_a_large_result(tmp_path: Path) -> None:
    show("SELECT range AS n FROM range(300000)", "parquet", tmp_path / "r.parquet")
    table = pq.read_table(tmp_path / "r.parquet")
    assert (table.num_rows, table["n"][-1].as_py()) == (300_000, 299_999)


@pytest.mark.parametrize(("output_format", "text"), [("csv", "a,b\n"), ("json", "[]\n"), ("table", "0 rows\n")])
def test_a_result_without_rows_still_has_its_columns(tmp_path: Path, output_format: Format, text: str) -> None:
    assert written("SELECT 1 AS a, 2 AS b WHERE false", output_format, tmp_path / "r").endswith(text)


@pytest.mark.parametrize(("rows", "count"), [(0, "0 rows"), (1, "1 row"), (2, "2 rows")])
def test_a_table_ends_with_the_number_of_rows(capsys: Capture, rows: int, count: str) -> None:
    show(f"SELECT range FROM range({rows})", "table", None)
    assert capsys.readouterr().out.splitlines()[-1] == count


def test_a_file_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("something longer than the result\n" * 9)
    assert written("SELECT 1 AS a", "csv", tmp_path / "r.csv") == "a\n1\n"


@pytest.mark.parametrize("output_format", ["csv", "json", "table", "parquet"])
@pytest.mark.parametrize(("name", "reason"), [("no/such/folder", "No such file"), ("", "Is a directory")])
def test_an_unwritable_file_is_an_error_with_its_reason(
    tmp_path: Path, output_format: Format, name: str, reason: str
) -> None:
    with pytest.raises(BrewhouseError, match=f"Failed to write {tmp_path / name}: {reason}") as caught:
        show("SELECT 1", output_format, tmp_path / name)
    assert (caught.value.exit_code, caught.value.hint) == (1, "Choose another file with --output.")


def test_a_full_disk_is_named() -> None:
    with pytest.raises(BrewhouseError, match="Failed to write /dev/full: No space left on device"):
        show("SELECT 1", "csv", Path("/dev/full"))


@pytest.mark.parametrize("output_format", ["csv", "json", "table", "parquet"])
def test_a_failed_query_leaves_the_file_of_an_earlier_one(tmp_path: Path, output_format: Format) -> None:
    (tmp_path / "r").write_bytes(b"earlier")
    with pytest.raises(duckdb.Error, match="Could not convert string 'x'"):
        show(
            "SELECT CAST(CASE WHEN i = 9999 THEN 'x' ELSE '1' END AS INT) FROM range(10000) t(i)",
            output_format,
            tmp_path / "r",
        )
    assert (tmp_path / "r").read_bytes() == b"earlier"
    assert [file.name for file in tmp_path.iterdir()] == ["r"]


def test_a_file_keeps_its_permissions_and_a_link_its_target(tmp_path: Path) -> None:
    (tmp_path / "target.csv").write_text("earlier")
    (tmp_path / "target.csv").chmod(0o640)
    (tmp_path / "link.csv").symlink_to("target.csv")
    show("SELECT 1 AS a", "csv", tmp_path / "link.csv")
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "target.csv").read_text() == "a\n1\n"
    assert (tmp_path / "target.csv").stat().st_mode & 0o777 == 0o640


def test_a_device_is_written_to_and_kept(tmp_path: Path) -> None:
    show("SELECT 1 AS a", "csv", Path(os.devnull))
    assert Path(os.devnull).is_char_device()
    os.mkfifo(tmp_path / "pipe")
    with ThreadPoolExecutor() as threads:
        received = threads.submit((tmp_path / "pipe").read_text)
        show("SELECT 1 AS a", "csv", tmp_path / "pipe")
    assert (received.result(), (tmp_path / "pipe").is_fifo()) == ("a\n1\n", True)


def test_a_file_that_is_not_complete_replaces_nothing(tmp_path: Path) -> None:
    (tmp_path / "r").write_text("earlier")

    def fill_the_disk() -> None:
        with writing(tmp_path / "r") as file:
            file.write_text("half of")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(BrewhouseError, match="No space left on device"):
        fill_the_disk()
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("r", "earlier")]


def test_an_error_of_another_file_is_not_one_of_the_output(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), writing(tmp_path / "r"):
        (tmp_path / "nothing").read_bytes()


def test_parquet_is_never_printed(capsys: Capture) -> None:
    with pytest.raises(UsageError, match=r"--output result\.parquet"):
        show("SELECT 1", "parquet", None)
    assert capsys.readouterr().out == ""


@given(st.lists(st.text("abc_2", min_size=1, max_size=3), min_size=1, max_size=8))
def test_json_has_one_key_per_column_and_keeps_the_first_names(names: list[str]) -> None:
    quoted = ", ".join(f'{number} AS "{name}"' for number, name in enumerate(names))
    with pytest.MonkeyPatch.context() as patch:
        output = io.StringIO()
        patch.setattr("sys.stdout", output)
        show(f"SELECT {quoted}", "json", None)
    (row,) = json.loads(output.getvalue())
    assert list(row.values()) == list(range(len(names)))
    assert all(list(row)[names.index(name)] == name or name in list(row) for name in names)


def test_a_query_is_used_verbatim() -> None:
    assert query_text("  SELECT 1 -- x", None, for_duckdb) == "  SELECT 1 -- x"


@pytest.mark.parametrize("name", [query.name for query in saved_queries()])
def test_a_saved_query_is_converted_to_the_dialect_of_the_engine(name: str) -> None:
    assert query_text(None, name) == saved_query(name).sql
    assert query_text(None, name, for_duckdb) == for_duckdb(saved_query(name).sql)


@pytest.mark.parametrize(("sql", "saved"), [(None, None), ("SELECT 1", "top_cities"), ("", "top_cities")])
def test_exactly_one_of_sql_and_saved_is_required(sql: str | None, saved: str | None) -> None:
    with pytest.raises(UsageError, match=r"either a SELECT or --saved NAME\..*`brewhouse queries` lists"):
        query_text(sql, saved)


def test_an_unknown_saved_query_is_an_error() -> None:
    with pytest.raises(UsageError, match="no_such_query"):
        query_text(None, "no_such_query")
