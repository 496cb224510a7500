"""What a commit of several tables to a shared catalog is about to change, in one object of the lake: `commit.json`.

It is written before the first table's pointer is swapped and emptied after the last. As long as it names a table with
the snapshot that the catalog shows, the commit is under way, or its process died: readers take the table as before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from brewhouse.ids import new_id
from brewhouse.lake.lake import Lake

_FILE = "commit.json"


class Pending(msgspec.Struct, frozen=True):
    """A table that a commit changes.

    Attributes:
        before: Where its metadata is as readers see it until the commit is done.
        after: Id of the snapshot it gets.
    """

    before: str
    after: int


class Commit(msgspec.Struct, frozen=True):
    """The last commit of several tables.

    Attributes:
        id: Tells it from others.
        tables: What is not done yet, by table; empty when it is done.
    """

    id: str = ""
    tables: dict[str, Pending] = {}


def last_commit(lake: Lake) -> tuple[Commit, str | None]:
    """Read what the last commit says of itself, and the version of its object; None when there was no commit yet."""
    try:
        found = lake.store.get(_FILE)
    except FileNotFoundError:
        return Commit(), None
    return msgspec.json.decode(bytes(found.bytes()), type=Commit), found.meta["e_tag"]


def write_intent(lake: Lake, tables: Mapping[str, Pending], version: str | None) -> str | None:
    """Say what a commit is about to change; nothing to change says that it is done.

    Args:
        lake: The lake.
        tables: By name.
        version: Of the object that it replaces.

    Returns:
        The version of the new object.

    Raises:
        PreconditionError: Somebody else committed meanwhile.
        AlreadyExistsError: The same, and it was the first commit.
    """
    mode: Any = "create" if version is None else {"e_tag": version}
    content = msgspec.json.encode(Commit(new_id(), dict(tables)))
    return lake.store.put(_FILE, content, mode=mode)["e_tag"]
