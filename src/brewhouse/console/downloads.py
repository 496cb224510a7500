"""Results as downloads: parts of a file, computed while it is sent, so that no copy of a large result is kept."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from brewhouse.errors import UsageError
from brewhouse.query.export import array_parts, converted, export, unique_names

if TYPE_CHECKING:
    from duckdb import DuckDBPyRelation
    from duckdb.sqltypes import DuckDBPyType
    from xlsxwriter.worksheet import Worksheet

FileKind = Literal["csv", "excel.csv", "xlsx", "json", "parquet"]
MEDIA_TYPES = {
    "csv": "text/csv",
    "excel.csv": "text/csv",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "json": "application/json",
    "parquet": "application/vnd.apache.parquet",
}
"""Media type of each kind of file; `excel.csv` is CSV that Excel opens as it is meant."""

_ROWS_AT_ONCE = 10_000
MANY_COLUMNS = 1000
"""Above, a result is read some columns at a time, since DuckDB reserves up to 700 kB for each column of a query."""
_WIDE_ROWS = 500
_BLOCK_BYTES = 1 << 20
_TYPED = ("INT", "DECIMAL", "DOUBLE", "FLOAT", "BOOLEAN", "DATE", "TIME", "BIGNUM")
_MAX_CELLS, _MAX_CHARACTERS, _MAX_DIGITS = 5_000_000, 32_767, 15  # of a workbook; the last two are limits of Excel
_FIRST_YEAR = 1900  # of Excel
_QUOTE = '"'
_QUOTED = re.compile(r'^$|[",\r\n]|^#')
_FORMULA = r"'^[=+@\t\r\n-]'"


def parts(
    stored: DuckDBPyRelation, names: Sequence[str], kinds: Sequence[DuckDBPyType], kind: str, folder: Path
) -> Iterator[bytes]:
    """Yield the parts of a file of a result.

    Args:
        stored: A relation of `brewhouse.query.export.storable`, with the column `file_row_number`.
        kind: A key of `MEDIA_TYPES`.

    Raises:
        UsageError: An Excel file would be too large.
        duckdb.Error: The format cannot hold a value.
    """
    if kind == "json" and len(names) > MANY_COLUMNS:
        yield from _wide_json(stored, names, kinds)
    elif kind == "json":
        yield from (part.encode() for part in array_parts(stored, names, kinds, folder / "rows"))
    elif kind in {"csv", "excel.csv"}:
        yield from _csv(stored, names, kinds, folder / "part.csv", for_excel=kind != "csv")
    else:
        file = folder / "export"
        if kind == "xlsx":
            _write_workbook(stored, names, kinds, file)
        else:
            export(stored, names, kinds, kind, file)
        with file.open("rb") as content:
            yield from iter(lambda: content.read(_BLOCK_BYTES), b"")


def _csv(
    stored: DuckDBPyRelation, names: Sequence[str], kinds: Sequence[DuckDBPyType], file: Path, *, for_excel: bool
) -> Iterator[bytes]:
    """Write some rows at a time; for Excel with a byte order mark, and an apostrophe before what would be a formula."""
    if for_excel:
        yield b"\xef\xbb\xbf"
        texts = [f"c{n}" for n, kind in enumerate(kinds, start=1) if str(kind) == "VARCHAR"]
        guarded = (
            f"CASE WHEN regexp_matches({c}, {_FORMULA}) THEN concat('''', {c}) ELSE {c} END AS {c}" for c in texts
        )
        stored = stored.project(f"* REPLACE ({', '.join(guarded)})") if texts else stored
        names = [f"'{name}" if name.startswith(tuple("=+-@\t\r\n")) else name for name in names]
    if len(names) > MANY_COLUMNS:
        yield _csv_line(unique_names(names))
        texts = [f"CAST({value} AS VARCHAR)" for value in converted(kinds, "csv")]
        yield from map(_csv_line, _wide_rows(stored, texts, list[str | None]))
        return
    for first in range(0, max(_count(stored), 1), _ROWS_AT_ONCE):
        export(_part(stored, first), names, kinds, "csv", file, header=first == 0)
        yield file.read_bytes()


def _csv_line(values: Iterable[str | None]) -> bytes:
    """Format a line as DuckDB does: null is empty, an empty text is quoted."""
    texts = ("" if v is None else f'"{v.replace(_QUOTE, _QUOTE * 2)}"' if _QUOTED.search(v) else v for v in values)
    return (",".join(texts) + "\n").encode()


def _wide_json(stored: DuckDBPyRelation, names: Sequence[str], kinds: Sequence[DuckDBPyType]) -> Iterator[bytes]:
    """Write an array of objects, a line each."""
    keys = [msgspec.json.encode(name) for name in unique_names(names)]
    begin = b"[\n  {"
    for row in _wide_rows(stored, converted(kinds, "json"), list[msgspec.Raw]):
        yield begin + b",".join(b"%b:%b" % each for each in zip(keys, row, strict=True)) + b"}"
        begin = b",\n  {"
    yield b"[]\n" if begin.startswith(b"[") else b"\n]\n"


def _wide_rows(stored: DuckDBPyRelation, values: Sequence[str], row_type: type[list[Any]]) -> Iterator[Iterator[Any]]:
    """Yield rows of many columns, read in blocks of some columns and rows, as JSON arrays."""
    arrays = [f"CAST(json_array({block}) AS VARCHAR)" for block in _blocks(values)]
    decode = msgspec.json.Decoder(row_type).decode
    for first in range(0, _count(stored), _WIDE_ROWS):
        part = _part(stored, first, _WIDE_ROWS)
        for texts in zip(*(part.project(array).fetchall() for array in arrays), strict=True):
            yield chain.from_iterable(decode(text) for (text,) in texts)


def _blocks(values: Sequence[str]) -> list[str]:
    """Join the SQL of some columns at a time."""
    return [", ".join(values[first : first + MANY_COLUMNS]) for first in range(0, len(values), MANY_COLUMNS)]


def _write_workbook(stored: DuckDBPyRelation, names: Sequence[str], kinds: Sequence[DuckDBPyType], file: Path) -> None:
    """Write an Excel workbook: numbers, dates and times as such, anything else as text."""
    import xlsxwriter

    rows = _count(stored)
    if (cells := rows * len(names)) > _MAX_CELLS:
        hint = f"Up to {_MAX_CELLS:,} are supported; download CSV or Parquet."
        raise UsageError(f"An Excel file of {cells:,} cells is too large.", hint=hint)
    values = [
        f"c{n}" if str(kind).startswith(("DATE", "TIME")) else csv if _is_typed(kind) else f"CAST({csv} AS VARCHAR)"
        for n, (kind, csv) in enumerate(zip(kinds, converted(kinds, "csv"), strict=True), start=1)
    ]
    options = {"constant_memory": True, "tmpdir": str(file.parent), "remove_timezone": True}
    with xlsxwriter.Workbook(str(file), {**options, "default_date_format": "yyyy-mm-dd hh:mm:ss"}) as book:
        sheet, bold, day = book.add_worksheet(), book.add_format({"bold": True}), book.add_format({"num_format": 14})
        sheet.freeze_panes(1, 0)
        for column, name in enumerate(unique_names(names)):
            sheet.write_string(0, column, name, bold)
        for first in range(0, rows, _ROWS_AT_ONCE):
            parts = (_part(stored, first).project(block).fetchall() for block in _blocks(values))
            for number, row in enumerate(zip(*parts, strict=True), start=first + 1):
                for column, value in enumerate(chain.from_iterable(row)):
                    _write_cell(sheet, number, column, value, day)


def _write_cell(sheet: Worksheet, row: int, column: int, value: Any, day: Any) -> None:  # noqa: ANN401 - a cell
    match value:
        case None:
            return
        case bool():
            sheet.write_boolean(row, column, value)
        case int() | float() | Decimal() if len(str(value).strip("-0.").replace(".", "")) <= _MAX_DIGITS + 2:
            sheet.write_number(row, column, float(value))
        case datetime() if value.year >= _FIRST_YEAR:
            sheet.write_datetime(row, column, value)
        case date() if value.year >= _FIRST_YEAR:
            sheet.write_datetime(row, column, value, day)
        case _:
            sheet.write_string(row, column, str(value)[:_MAX_CHARACTERS])


def _part(stored: DuckDBPyRelation, first: int, rows: int = _ROWS_AT_ONCE) -> DuckDBPyRelation:
    return stored.filter(f"file_row_number BETWEEN {first} AND {first + rows - 1}")


def _count(stored: DuckDBPyRelation) -> int:
    [(rows,)] = stored.aggregate("count(*)").fetchall()
    return int(rows)


def _is_typed(kind: DuckDBPyType) -> bool:
    return any(name in str(kind).partition("[")[0] for name in _TYPED) and "(" not in str(kind).removeprefix("DECIMAL(")
