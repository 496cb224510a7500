"""The published tables as the console shows them: what there is, and when it was published."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from brewhouse.console.reading import State
from brewhouse.lake.lake import Lake


@dataclass(frozen=True)
class TableSummary:
    """A published table.

    Attributes:
        name: Zone and table.
        description: What a row is.
        rows: How many there are.
        files: How many data files hold them.
        size_bytes: What these take.
        published_at: When its current snapshot was committed.
    """

    name: str
    description: str
    rows: int
    files: int
    size_bytes: int
    published_at: datetime | None


def summaries(lake: Lake, state: State) -> list[TableSummary]:
    """List the tables of a state, by zone and name.

    Args:
        lake: Whose.
        state: What it shows.
    """
    return state.once("table summaries", lambda: _summaries(lake))


def _summaries(lake: Lake) -> list[TableSummary]:
    from brewhouse.lake.tables import Tables

    tables = Tables(lake)
    found = []
    with tables.reading():
        for name in tables.names():
            now = tables.current(name)
            files = tables.current_files(name)
            found.append(
                TableSummary(
                    name=name,
                    description=tables.describe(name).description,
                    rows=now.rows if now else 0,
                    files=len(files),
                    size_bytes=sum(file.size_bytes for file in files),
                    published_at=now.committed_at if now else None,
                )
            )
    return found
