"""Print rows as tables for people and as JSON for programs."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

PIPED_WIDTH = 200


def print_result(rows: Sequence[Mapping[str, Any]], *, as_json: bool) -> None:
    """Print rows as JSON or as a table."""
    if as_json:
        print_json(rows)
    else:
        print_rows(rows)


def print_json(value: object) -> None:
    """Print a value as indented JSON."""
    import msgspec

    print(msgspec.json.format(msgspec.json.encode(value, enc_hook=str), indent=2).decode())


def print_rows(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print rows as a table with the columns of the first row, or `(no rows)`."""
    if rows:
        print_table(list(rows[0]), [list(row.values()) for row in rows])
    else:
        print("(no rows)")


def print_table(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table as wide as the terminal, or 200 characters when piped; longer cells wrap."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for index, name in enumerate(names):
        numeric = any(isinstance(row[index], int | float) for row in rows)
        table.add_column(Text(name), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(_text(value)) for value in row))
    Console(width=None if sys.stdout.isatty() else PIPED_WIDTH).print(table)


def shorten(text: str, characters: int) -> str:
    """Cut a text for one line of output, marking the cut with an ellipsis."""
    return text if len(text) <= characters else f"{text[:characters]}…"


def os_reason(error: OSError) -> str:
    """Return the operating system's message of an error, without what libraries add to it."""
    return os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)


def _text(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
