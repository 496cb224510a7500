"""Downloads of results: what Excel needs, in parts of bounded size."""

from __future__ import annotations

import csv
import io
import zipfile
from pathlib import Path

import duckdb
import pytest

from brewhouse.console import downloads
from brewhouse.errors import UsageError
from brewhouse.query.export import export, storable


def parts(sql: str, kind: str, folder: Path) -> list[bytes]:
    """Download a query's result, which is stored as the console stores it."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        relation = connection.sql(sql)
        stored = storable(relation).project("*, row_number() OVER () - 1 AS file_row_number")
        return list(downloads.parts(stored, relation.columns, relation.types, kind, folder))


def sheet(sql: str, folder: Path) -> str:
    with zipfile.ZipFile(io.BytesIO(b"".join(parts(sql, "xlsx", folder)))) as book:
        return book.read("xl/worksheets/sheet1.xml").decode()


def test_csv_for_excel_has_a_byte_order_mark_and_no_formulas(tmp_path: Path) -> None:
    sql = "SELECT '=1+1' AS \"@a\", '-' AS b, 'é' AS c, -1 AS d, ['=x'] AS e"
    text = b"".join(parts(sql, "excel.csv", tmp_path)).decode()
    assert text.startswith("\ufeff")
    assert list(csv.reader(io.StringIO(text[1:]))) == [
        ["'@a", "b", "c", "d", "e"],
        ["'=1+1", "'-", "é", "-1", '["=x"]'],
    ]
    assert b"".join(parts(sql, "csv", tmp_path)).startswith(b"@a,b")


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_many_columns_are_written_as_few_are(kind: str, tmp_path: Path) -> None:
    values = ["n", "n / 4", "NULL", "''", "' a'", "'#'", "'é,\n\"'", "[n]", "{'k': n}", "DATE '2026-08-02'", "'\r'"]
    values += ["170141183460469231731687303715884105727", "0.1::DECIMAL(9, 3)", "1e300", "true", "'=x'"]
    named = ", ".join(f"{value} AS v{n}" for n, value in enumerate(values * 63))
    sql = f"SELECT {named} FROM range(3) t(n)"
    received = b"".join(parts(sql, kind, tmp_path))
    with duckdb.connect() as connection:
        relation = connection.sql(sql)
        export(storable(relation), relation.columns, relation.types, kind, tmp_path / "expected")
    assert received == (tmp_path / "expected").read_bytes()


def test_csv_comes_in_parts_with_every_row_once_in_order(tmp_path: Path) -> None:
    received = parts("SELECT n FROM range(30001) t(n)", "csv", tmp_path)
    assert len(received) == 4
    assert b"".join(received).decode().splitlines() == ["n", *map(str, range(30001))]


def test_an_excel_file_has_numbers_and_days_as_such_and_all_else_as_text(tmp_path: Path) -> None:
    xml = sheet(
        "SELECT '=1+1' AS t, 2.5 AS x, DATE '2026-08-02' AS d, true AS b, NULL AS n, 12345678901234567890 AS big, "
        "DATE '1066-10-14' AS early, ['a'] AS l, TIMESTAMPTZ '2026-08-02 12:00+02' AS at, -7 AS minus",
        tmp_path,
    )
    row = xml.split("<row ")[2]
    assert "<f>" not in xml, "nothing is a formula"
    for text in ("=1+1", "12345678901234567890", "1066-10-14", '["a"]'):
        assert f">{text}</t>" in row
    for value in ("2.5", "46236", "46236.416666", "-7"):
        assert f"<v>{value}" in row


def test_an_excel_file_of_too_many_cells_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="6,000,000 cells is too large"):
        parts(f"SELECT {', '.join(['n'] * 60)} FROM range(100000) t(n)", "xlsx", tmp_path)


def test_a_result_without_rows_has_its_column_names(tmp_path: Path) -> None:
    assert b"".join(parts("SELECT 1 AS n WHERE false", "csv", tmp_path)) == b"n\n"
    assert ">n</t>" in sheet("SELECT 1 AS n WHERE false", tmp_path)
