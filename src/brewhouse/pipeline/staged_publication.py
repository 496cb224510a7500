"""Staged publications: what transform leaves to aggregate when the jobs of a run are processes of their own.

`staged/<run id>.json` names the files of the silver tables, which are published together with gold or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

import msgspec

from brewhouse.errors import BrewhouseError
from brewhouse.iceberg.maintenance_rules import GRACE, StoredFile
from brewhouse.iceberg.pending_delete import stored_files
from brewhouse.iceberg.tables import Tables
from brewhouse.lake.lake import Lake
from brewhouse.lake.raw_snapshots import newest
from brewhouse.pipeline.input_tables import BREWERIES
from brewhouse.pipeline.publishing import RUN
from brewhouse.pipeline.run_context import RunContext, StagedTables

_FOLDER = "staged"
_AGAIN = "Run the workflow again, from its first job."


class StagedPublication(msgspec.Struct, frozen=True, kw_only=True):
    """Tables of a run that passed their checks.

    Attributes:
        tables: With paths relative to the root of the lake.
        bases: Each table with its snapshot that it was staged on; None for a new table.
    """

    run: str
    tables: StagedTables
    bases: dict[str, int | None]

    @property
    def files(self) -> set[str]:
        """The new files of all tables."""
        return {file for publication in self.tables.publications for file in publication.files}


def leave_staged(context: RunContext, staged: StagedTables) -> None:
    """Leave staged tables to a later job of the run, in place of those of an earlier attempt."""
    lake = context.lake
    relative = _with_paths(staged, lambda file: file.removeprefix(f"{lake.root}/"))
    left = StagedPublication(run=context.run, tables=relative, bases=_bases(context.tables, staged))
    lake.store.put(_path(context.run), msgspec.json.encode(left))


def find_staged(context: RunContext) -> StagedTables | None:
    """Return the tables that an earlier job of the run left; None if they are published, or it had nothing to do.

    Raises:
        BrewhouseError: They are missing or corrupt, or the published tables changed since they were staged.
    """
    lake, tables = context.lake, context.tables
    now = tables.current(BREWERIES) if BREWERIES in tables.names() else None
    if now and now.properties.get(RUN) == context.run:  # an earlier attempt of this job was killed after its commit
        drop_staged(context)
        return None
    try:
        left = _read(lake, _path(context.run))
    except FileNotFoundError:
        raw = context.raw_snapshot or ((last := newest(lake)) and last.run)
        if now and now.raw_snapshot == raw:
            return None
        raise BrewhouseError(f"Run {context.run} left no staged tables in {lake.root}.", hint=_AGAIN) from None
    changed = [name for name, base in _bases(tables, left.tables).items() if base != left.bases[name]]
    folders = [str(tables.data_folder(name)).removeprefix(f"{lake.root}/") for name in left.bases]
    missing = left.files - {file.path for folder in folders for file in stored_files(lake, folder)}
    if changed or missing:
        reason = f"{', '.join(changed)} changed since" if changed else f"{min(missing)} is missing:"
        raise BrewhouseError(f"Nothing was published: {reason} run {left.run} staged its tables.", hint=_AGAIN)
    return _with_paths(left.tables, lambda file: f"{lake.root}/{file}")


def drop_staged(context: RunContext) -> None:
    """Delete what an earlier job of the run left, once it is published; if that fails, maintenance does it."""
    with suppress(Exception):
        context.lake.store.delete(_path(context.run))


def staged_publications(lake: Lake, now: datetime) -> tuple[list[StagedPublication], list[StagedPublication]]:
    """List the staged publications that their runs may still publish, and the abandoned ones."""
    live, abandoned = list[StagedPublication](), list[StagedPublication]()
    for file in stored_files(lake, _FOLDER):
        (abandoned if file.modified_at < now - GRACE else live).append(_read(lake, file.path))
    return live, abandoned


def abandoned_files(
    lake: Lake, abandoned: Sequence[StagedPublication], referenced: Collection[str], folders: Collection[str]
) -> list[StoredFile]:
    """List the objects of abandoned publications, and those of their files that belong to no published table.

    Args:
        folders: Of the published tables, where orphan files are found by other means.
    """
    files = {file for publication in abandoned for file in publication.files} - set(referenced)
    new = {file for file in files if not file.startswith(tuple(f"{folder}/" for folder in folders))}
    wanted = new | {_path(publication.run) for publication in abandoned}
    stored = (file for folder in {path.rpartition("/")[0] for path in wanted} for file in stored_files(lake, folder))
    return list({file.path: file for file in stored if file.path in wanted}.values())


def _path(run: str) -> str:
    return f"{_FOLDER}/{run}.json"


def _read(lake: Lake, path: str) -> StagedPublication:
    content = bytes(lake.store.get(path).bytes())
    try:
        return msgspec.json.decode(content, type=StagedPublication)
    except ValueError as error:
        raise BrewhouseError(
            f"The staged publication {lake.root}/{path} is corrupt: {error}.",
            hint="Delete it: the published tables do not need it. Then run the workflow again.",
        ) from error


def _with_paths(staged: StagedTables, change: Callable[[str], str]) -> StagedTables:
    """Change the paths of all files; the results of the checks, which are emitted already, are left out."""
    changed = [
        replace(each, files=tuple(map(change, each.files)), kept=tuple(map(change, each.kept)))
        for each in staged.publications
    ]
    return replace(staged, publications=changed, checks=[])


def _bases(tables: Tables, staged: StagedTables) -> dict[str, int | None]:
    known = tables.names()
    names = [publication.spec.name for publication in staged.publications]
    current = {name: tables.current(name) if name in known else None for name in names}
    return {name: snapshot.snapshot_id if snapshot else None for name, snapshot in current.items()}
