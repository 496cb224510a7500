"""Query texts, and query results in every format."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brewhouse.cli.results import (
    Format,
    parse_parameters,
    query_text,
    result_file,
    result_format,
    shown_rows,
    write,
    writing,
)
from brewhouse.errors import BrewhouseError, UsageError
from brewhouse.query.saved_queries import for_duckdb, saved_queries, saved_query

Capture = pytest.CaptureFixture[str]
VALUES = (
    "SELECT 1 AS number, 1.50::DECIMAL(4,2) AS price, DATE '2026-08-02' AS day, "
    "TIMESTAMP '2026-08-02 01:00:00' AS at, NULL AS nothing, ['a', 'b'] AS list, {'x': 1} AS struct, "
    "'Bräu, \"🍺\"' AS text"
)


CONNECTION = duckdb.connect()  # opening one takes longer than a query


def show(sql: str, output_format: Format, output: Path | None) -> None:
    """Write a result to a file, or print it."""
    with result_file(output_format, output) as file:
        write(CONNECTION.sql(sql), output_format, file)


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
    assert query_text("  SELECT 1 -- x", None, convert=for_duckdb) == "  SELECT 1 -- x"


@pytest.mark.parametrize("name", [query.name for query in saved_queries()])
def test_a_saved_query_is_converted_to_the_dialect_of_the_engine(name: str) -> None:
    assert query_text(None, name) == saved_query(name).sql
    assert query_text(None, name, convert=for_duckdb) == for_duckdb(saved_query(name).sql)


@pytest.mark.parametrize(("sql", "saved"), [(None, None), ("SELECT 1", "top_cities"), ("", "top_cities")])
def test_exactly_one_of_sql_and_saved_is_required(sql: str | None, saved: str | None) -> None:
    with pytest.raises(UsageError, match=r"either a SELECT, -f FILE or --saved NAME\..*`brewhouse queries` lists"):
        query_text(sql, saved)


def test_an_unknown_saved_query_is_an_error() -> None:
    with pytest.raises(UsageError, match="no_such_query"):
        query_text(None, "no_such_query")


@pytest.mark.parametrize(
    ("given", "output", "as_json", "chosen"),
    [
        (None, None, False, "table"),
        (None, None, True, "json"),
        ("json", None, True, "json"),
        (None, "r.csv", False, "csv"),
        (None, "r.JSON", False, "json"),
        (None, "r.parquet", False, "parquet"),
        (None, "r.txt", False, "table"),
        (None, "result", False, "table"),
        ("lines", "r.txt", False, "lines"),
        ("csv", "r.tsv", False, "csv"),
        ("csv", "result", False, "csv"),
    ],
)
def test_the_format_follows_the_options_or_the_ending(
    given: Format | None, output: str | None, as_json: bool, chosen: Format
) -> None:
    assert result_format(given, Path(output) if output else None, as_json=as_json) == chosen


@pytest.mark.parametrize(
    ("given", "output", "as_json", "message"),
    [
        ("csv", None, True, "--json and --format csv contradict each other"),
        ("csv", "r.json", False, "format csv contradicts the name of r.json"),
        (None, "r.parquet", True, "format json contradicts the name of r.parquet"),
        ("lines", "r.csv", False, "format lines contradicts"),
        (None, "r.xlsx", False, r"format of r.xlsx is unknown. End its name with .txt, .csv, .json, .parquet, or pass"),
    ],
)
def test_contradicting_formats_are_rejected(
    given: Format | None, output: str | None, as_json: bool, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        result_format(given, Path(output) if output else None, as_json=as_json)


def printed(capsys: Capture, sql: str, output_format: Format = "table", limit: int | None = None) -> list[str]:
    with result_file(output_format, None) as file, duckdb.connect() as connection:
        write(connection.sql(sql), output_format, file, limit)
    return capsys.readouterr().out.splitlines()


def test_a_limited_table_counts_the_rows_that_are_not_shown(capsys: Capture) -> None:
    sql = "SELECT range AS n FROM range(11822) ORDER BY n DESC"
    assert printed(capsys, sql, limit=3)[2:] == ["11821", "11820", "11819", "… 11,819 more (--all)"]
    assert printed(capsys, sql, limit=11822)[-1] == "11,822 rows"
    assert len(printed(capsys, sql)) == 11822 + 3


@pytest.mark.parametrize("output_format", ["csv", "json", "parquet"])
def test_a_limit_is_that_of_a_file_too(tmp_path: Path, output_format: Format) -> None:
    with result_file(output_format, tmp_path / "r") as file, duckdb.connect() as connection:
        write(connection.sql("SELECT range AS n FROM range(9)"), output_format, file, 2)
    count = duckdb.execute(f"SELECT count(*) FROM read_{output_format}('{tmp_path}/r')").fetchall()
    assert count == [(2,)]


def test_lines_have_one_value_each(capsys: Capture) -> None:
    lines = printed(capsys, "SELECT range AS n, 'x' || chr(10) AS text FROM range(5)", "lines", limit=2)
    assert lines == ["n     0", r"text  x\n", "", "n     1", r"text  x\n", "", "… 3 more (--all)"]


def test_a_single_row_that_is_too_wide_has_one_value_per_line(capsys: Capture) -> None:
    columns = ", ".join(f"'{'x' * 30}' AS c{number}" for number in range(30))
    assert printed(capsys, f"SELECT {columns}")[-2:] == [f"c29  {'x' * 30}", "1 row"]
    assert printed(capsys, "SELECT 1 AS n") == ["n", "─", "1", "1 row"]


def test_a_file_of_a_table_has_every_column_and_text(tmp_path: Path) -> None:
    columns = ", ".join(f"'{'x' * 60}' AS c{number}" for number in range(30))
    text = written(f"SELECT {columns} FROM range(60)", "table", tmp_path / "r.txt")
    assert (text.count("x" * 60), "…" in text) == (30 * 60, False)


def test_sql_is_read_from_a_file_or_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "q.sql").write_text("SELECT 'Bräu' -- x\n", "utf-8")
    assert query_text(None, None, tmp_path / "q.sql") == "SELECT 'Bräu' -- x\n"
    for sql, file in (("-", None), (None, Path("-"))):
        monkeypatch.setattr(sys, "stdin", io.StringIO("SELECT 1"))
        assert query_text(sql, None, file) == "SELECT 1"


def test_sql_that_the_locale_could_not_decode_is_read_as_utf_8(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "SELECT 'Bräu 🍺'"
    as_arguments = text.encode().decode("ascii", "surrogateescape")  # as Python reads it in the POSIX locale
    assert query_text(as_arguments, None) == text
    monkeypatch.setattr(sys, "stdin", io.StringIO(as_arguments))
    assert query_text("-", None) == text
    with pytest.raises(UsageError, match="SQL of the command line cannot be read: it is not UTF-8 text"):
        query_text("SELECT '\udcff'", None)


def test_a_file_of_sql_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for name, reason in (("none.sql", "No such file or directory"), ("", "Is a directory"), ("binary", "not UTF-8")):
        with pytest.raises(UsageError, match=rf"The SQL of {tmp_path / name} cannot be read: .*{reason}"):
            query_text(None, None, tmp_path / name)


@pytest.mark.parametrize("wrong", ["country", "=BE", ""])
def test_a_parameter_has_a_name_and_a_value(wrong: str) -> None:
    assert parse_parameters(["a=1=2", "b="]) == {"a": "1=2", "b": ""}
    with pytest.raises(UsageError, match="is not a parameter"):
        parse_parameters([wrong])
    with pytest.raises(UsageError, match="a has two values, 1 and 2"):
        parse_parameters(["a=1", "a=2"])


def test_a_limit_and_all_contradict_each_other() -> None:
    assert [shown_rows(3, show_all=False), shown_rows(None, show_all=True), shown_rows(None, show_all=False)] == [
        3,
        None,
        50,
    ]
    assert shown_rows(None, show_all=False, as_data=True) is None
    with pytest.raises(UsageError, match="--limit and --all contradict each other"):
        shown_rows(3, show_all=True)
