"""The write intent of a commit of several tables to a cloud catalog, the object `commit.json`.

It is written before the first metadata pointer is swapped and cleared after the last. While it names a table with the
snapshot that the catalog shows, the commit is in progress or was interrupted: readers see the table as before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from obstore.exceptions import AlreadyExistsError, PreconditionError
from pyiceberg.exceptions import CommitFailedException

from brewhouse.errors import BrewhouseError
from brewhouse.ids import new_id
from brewhouse.lake.lake import Lake

_FILE = "commit.json"


class PendingTable(msgspec.Struct, frozen=True):
    """A table that a commit changes: location of its metadata before, id of its snapshot after."""

    before: str
    after: int


class CommitIntent(msgspec.Struct, frozen=True):
    """The tables that the last commit still has to change, by name; none if it is complete."""

    id: str = ""
    tables: dict[str, PendingTable] = {}


def read_intent(lake: Lake) -> tuple[CommitIntent, str | None]:
    """Read the intent of the last commit and the version of its object, None before the first commit.

    Raises:
        BrewhouseError: The object is corrupt.
    """
    try:
        found = lake.store.get(_FILE)
    except FileNotFoundError:
        return CommitIntent(), None
    try:
        return msgspec.json.decode(bytes(found.bytes()), type=CommitIntent), found.meta["e_tag"]
    except ValueError as error:
        raise BrewhouseError(
            f"{lake.root}/{_FILE} is corrupt: {error}. It names the tables of a commit that may be incomplete.",
            hint="Restore an earlier version of the object. If there is none, delete it and run `brewhouse rebuild`: "
            "until then the tables may be of different runs.",
        ) from error


def write_intent(lake: Lake, tables: Mapping[str, PendingTable], version: str | None) -> str | None:
    """Write which tables a commit is about to change, none once it is complete; returns the new version.

    Raises:
        CommitFailedException: Another process committed meanwhile.
    """
    mode: Any = "create" if version is None else {"e_tag": version}
    content = msgspec.json.encode(CommitIntent(new_id(), dict(tables)))
    try:
        return lake.store.put(_FILE, content, mode=mode)["e_tag"]
    except (AlreadyExistsError, PreconditionError) as error:
        raise CommitFailedException("Another process committed tables meanwhile") from error
