"""One way to print rows, for people and for programs."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any


def print_json(value: object) -> None:
    """Print a value as indented JSON on standard output."""
    import msgspec

    print(msgspec.json.format(msgspec.json.encode(value, enc_hook=str), indent=2).decode())


def print_rows(rows: Sequence[Mapping[str, Any]], title: str | None = None) -> None:
    """Print rows as a table, its columns those of the first row.

    Args:
        rows: What to print; nothing is printed as `(no rows)`.
        title: Stands above the table.
    """
    if not rows:
        print(f"{title}: (no rows)" if title else "(no rows)")
        return
    print_table(list(rows[0]), [list(row.values()) for row in rows], title)


def print_table(names: Sequence[str], rows: Sequence[Sequence[Any]], title: str | None = None) -> None:
    """Print a table as wide as it needs; in a terminal, as wide as that.

    Args:
        names: Of the columns.
        rows: Values, as many as names.
        title: Stands above the table.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)
    for index, name in enumerate(names):
        numeric = any(isinstance(row[index], int | float) for row in rows)
        table.add_column(Text(name), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(_text(value)) for value in row))
    console = Console(width=None if sys.stdout.isatty() else 200)
    console.print(table)


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value)
