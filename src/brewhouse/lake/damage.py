"""Damaged files of a lake as user-facing errors: each with its meaning and its repair."""

from __future__ import annotations

import re
from pathlib import Path

from brewhouse.errors import BrewhouseError

MISSING = "it does not exist"
IRREGULAR = "it is not a regular file"
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
    (r"/logs/[^/]*/[^/]*$", "the log of a run", "Restore it from a backup, or delete it."),
    (r"/run\.lock$", "the lock of the lake", "Delete it while nothing runs."),
    (r"", "a file of the lake", "Restore it from a backup."),
)


class DamagedFileError(BrewhouseError):
    """A file of a lake that is missing or damaged, with its meaning; the hint is its repair.

    Example:
        >>> print(DamagedFileError("/lake/catalog.db", MISSING).what)
        /lake/catalog.db cannot be used: it does not exist. It is the catalog of the tables.
    """

    def __init__(self, file: Path | str, reason: str) -> None:
        self.file, self.reason = str(file), reason
        for pattern, meaning, repair in _KINDS:
            if match := re.search(pattern, self.file):
                self.meaning = meaning.format(*match.groups())
                super().__init__(f"{file} cannot be used: {reason}. It is {self.meaning}.", hint=repair)
                return
