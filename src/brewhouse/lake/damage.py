"""Damaged files of a lake as user-facing errors: each with its meaning and its repair."""

from __future__ import annotations

import re
from pathlib import Path

from brewhouse.errors import BrewhouseError

MISSING = "it does not exist"
WRONG_CHECKSUM = "its content does not match its checksum"
_OF_SNAPSHOT = "Restore it from a backup, or move its folder out of bronze/ and run `brewhouse rebuild`."
_OF_TABLE = "Restore it from a backup, or make the tables again from the raw snapshots with `brewhouse rebuild`."
_KINDS = (  # pattern of the path, meaning, repair
    (r"/bronze/.*/page-[^/]*$", "a page of a raw snapshot", _OF_SNAPSHOT),
    (r"/bronze/.*\.json$", "the manifest of a raw snapshot", _OF_SNAPSHOT),
    (r"/(\w+)/(\w+)/data/[^/]*$", "a data file of table {}.{}", _OF_TABLE),
    (r"/(\w+)/(\w+)/metadata/[^/]*\.json$", "the metadata of table {}.{}", _OF_TABLE),
    (r"/(\w+)/(\w+)/metadata/[^/]*$", "a list of data files of table {}.{}", _OF_TABLE),
    (r"/catalog\.db$", "the catalog of the tables", _OF_TABLE),
    (r"/brewhouse\.duckdb$", "the views for DuckDB clients", "Delete it: the next `brewhouse run` creates it again."),
    (r"/events/[^/]*/[^/]*$", "a record of what runs did", "Restore it from a backup, or delete it."),
    (r"/run\.lock$", "the lock of the lake", "Delete it while nothing runs."),
)


def damaged(file: Path, reason: str) -> BrewhouseError:
    """Return the error of a file of a lake that cannot be used, with its meaning and its repair.

    Example:
        >>> print(damaged(Path("/lake/catalog.db"), "it does not exist").what)
        /lake/catalog.db cannot be used: it does not exist. It is the catalog of the tables.
    """
    for pattern, meaning, repair in _KINDS:
        if match := re.search(pattern, str(file)):
            found = f"{file} cannot be used: {reason}. It is {meaning.format(*match.groups())}."
            return BrewhouseError(found, hint=repair)
    return BrewhouseError(f"{file} cannot be used: {reason}.", hint="Restore it from a backup.")
