"""Audit of a lake: every file against the checksums, sizes and counts that the lake keeps of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from brewhouse.errors import BrewhouseError
from brewhouse.events.event import event_days, find_damage
from brewhouse.iceberg.tables import Tables
from brewhouse.lake.damage import DamagedFileError
from brewhouse.lake.lake import Lake, read_file
from brewhouse.lake.raw_snapshots import complete_runs, find
from brewhouse.lake.run_lock import last_holder
from brewhouse.query.views import check_views


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A damaged or missing file; `file` is empty if the finding is of several files."""

    file: str
    meaning: str
    problem: str
    repair: str


def verify(lake: Lake, on_step: Callable[[str], None] = lambda _: None) -> Iterator[Finding]:
    """Generate a finding for each file of a lake that is missing or damaged; nothing is changed."""
    for error in _errors(lake, on_step):
        if isinstance(error, DamagedFileError):
            yield Finding(file=error.file, meaning=error.meaning, problem=error.reason, repair=error.hint)
        else:
            yield Finding(file="", meaning="", problem=error.what, repair=error.hint)


def _errors(lake: Lake, on_step: Callable[[str], None]) -> Iterator[BrewhouseError]:
    runs = complete_runs(lake)
    for number, run in enumerate(runs, start=1):
        on_step(f"raw snapshot {number} of {len(runs)}")
        try:
            yield from find(lake, run).damages()
        except BrewhouseError as error:
            yield error
    yield from _table_errors(lake, on_step)
    on_step("views, events and lock")
    yield from check_views(lake)
    for day in event_days(lake):
        for file in day.glob("*.json"):
            try:
                damage: BrewhouseError | None = find_damage(file, read_file(file))
            except DamagedFileError as error:
                damage = error
            if damage:
                yield damage
    if lake.lock_file.exists() and last_holder(lake) is None:
        yield DamagedFileError(lake.lock_file, "it does not name the run that held it last")


def _table_errors(lake: Lake, on_step: Callable[[str], None]) -> Iterator[BrewhouseError]:
    if not lake.may_have_tables:
        return
    try:
        tables = Tables(lake)
        names = tables.names()
    except BrewhouseError as error:
        yield error
        return
    for number, name in enumerate(names, start=1):
        on_step(f"table {number} of {len(names)}: {name}")
        yield from tables.audit(name)
