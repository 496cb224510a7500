"""Which snapshots maintenance expires, which files it compacts and deletes."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brewhouse.iceberg.maintenance_rules import GRACE, StoredFile, compactions, expired, orphan_files
from brewhouse.iceberg.table_reader import CurrentFile, TableSnapshot
from brewhouse.ids import id_at

NOW = datetime(2026, 8, 31, 12, tzinfo=UTC)


def history(*ages_days: float, replaces: tuple[int, ...] = ()) -> list[TableSnapshot]:
    return [
        TableSnapshot(
            table="gold.t",
            snapshot_id=number,
            committed_at=NOW - timedelta(days=age),
            operation="replace" if number in replaces else "overwrite",
            rows=1,
            files=1,
            properties={},
            current=number == len(ages_days),
        )
        for number, age in enumerate(ages_days, start=1)
    ]


@pytest.mark.parametrize(
    ("keep_days", "keep_last", "expected"),
    [(30, 1, [1, 2]), (30, 4, [1]), (30, 5, []), (30, 9, []), (0, 1, [1, 2, 3, 4]), (0, 3, [1, 2]), (45, 1, [1])],
)
def test_a_snapshot_expires_when_it_is_old_and_not_among_the_newest(
    keep_days: float, keep_last: int, expected: list[int]
) -> None:
    assert expired(history(50, 40, 20, 10, 1), {5}, NOW, keep_days=keep_days, keep_last=keep_last) == expected


def test_a_snapshot_that_a_ref_points_to_stays() -> None:
    assert expired(history(50, 40, 20), {1, 3}, NOW, keep_days=0, keep_last=1) == [2]


def test_a_compaction_is_not_counted_among_the_newest() -> None:
    assert expired(history(50, 40, 30, 20, replaces=(4,)), {4}, NOW, keep_days=0, keep_last=2) == [1]


def test_a_snapshot_that_was_rolled_back_is_not_counted_among_the_newest() -> None:
    snapshots = history(50, 40, 30, 20, 10)
    snapshots[3:] = [replace(snapshot, rolled_back=True, current=False) for snapshot in snapshots[3:]]
    assert expired(snapshots, {3}, NOW, keep_days=0, keep_last=2) == [1]


def test_a_snapshot_committed_by_a_clock_that_was_ahead_expires_by_the_age_of_its_data() -> None:
    snapshots = [
        replace(snapshot, properties={"brewhouse.snapshot-time": f"2026-0{number}-01T00:00:00+00:00"})
        for number, snapshot in enumerate(history(-9000, -9001, -9002), start=6)
    ]
    assert expired(snapshots, {3}, NOW, keep_days=70, keep_last=1) == [1]


@given(
    ages=st.lists(st.floats(0, 100), min_size=1, max_size=12),
    replaces=st.sets(st.integers(2, 12)),
    keep_days=st.floats(0, 100),
    keep_last=st.integers(1, 12),
)
def test_expiry_keeps_the_newest_the_young_and_the_protected(
    ages: list[float], replaces: set[int], keep_days: float, keep_last: int
) -> None:
    snapshots = history(*sorted(ages, reverse=True), replaces=tuple(replaces))
    gone = set(expired(snapshots, {len(snapshots)}, NOW, keep_days=keep_days, keep_last=keep_last))
    contents = [s.snapshot_id for s in snapshots if s.operation != "replace"]
    assert gone.isdisjoint({len(snapshots), *contents[-keep_last:], *(s.snapshot_id for s in snapshots[-keep_last:])})
    for number, snapshot in enumerate(snapshots):
        is_old = snapshot.committed_at < NOW - timedelta(days=keep_days)
        is_last_of_day = snapshot.day not in [later.day for later in snapshots[number + 1 :]]
        assert (snapshot.snapshot_id in gone) <= (is_old or not is_last_of_day)
        if is_old and snapshot.snapshot_id < min(contents[-keep_last:]) and len(contents) > keep_last:
            assert snapshot.snapshot_id in gone


@given(hours=st.lists(st.floats(0, 40), min_size=1, max_size=120), keep_last=st.integers(1, 10))
def test_any_sequence_of_runs_keeps_the_newest_and_the_last_of_each_day(hours: list[float], keep_last: int) -> None:
    at, kept, published = NOW, list[TableSnapshot](), list[TableSnapshot]()
    for number, pause in enumerate(hours):
        at += timedelta(hours=pause)
        gone = expired(kept, {number - 1}, at, keep_days=10, keep_last=keep_last)
        kept = [snapshot for snapshot in kept if snapshot.snapshot_id not in gone]
        published.append(replace(history(0)[0], snapshot_id=number, committed_at=at))
        kept.append(published[-1])
        assert len(kept) <= keep_last + 1 + 11
        left = {snapshot.snapshot_id for snapshot in kept}
        last_of_days = {snapshot.day: snapshot for snapshot in published}.values()
        assert {snapshot.snapshot_id for snapshot in published[-keep_last:]} <= left
        assert {s.snapshot_id for s in last_of_days if s.committed_at > at - timedelta(days=10)} <= left


def test_the_day_of_a_snapshot_is_that_of_its_data() -> None:
    (committed,) = history(0)
    raw = id_at(datetime(2019, 5, 6, 23, tzinfo=UTC), b"")
    backfilled = [
        replace(committed, snapshot_id=number, properties={"brewhouse.raw-snapshot": run})
        for number, run in enumerate(["RUN1", id_at(datetime(2018, 1, 1, tzinfo=UTC), b""), raw, raw], start=1)
    ]
    assert [str(snapshot.day) for snapshot in backfilled] == ["2026-08-31", "2018-01-01", "2019-05-06", "2019-05-06"]
    assert expired([*backfilled, *history(0)], {1}, NOW, keep_days=30, keep_last=1) == [3]


FILES = st.lists(st.builds(CurrentFile, st.uuids().map(str), st.integers(1, 200), st.tuples(st.integers(0, 2))))


@given(files=FILES, target=st.integers(1, 300))
def test_small_files_of_one_partition_are_merged_up_to_the_target(files: list[CurrentFile], target: int) -> None:
    known = {file.path: file for file in files}
    groups = compactions(files, target)
    assert max(Counter(path for group in groups for path in group).values(), default=1) == 1
    for group in groups:
        chosen = [known[path] for path in group]
        assert len(chosen) > 1
        assert len({file.partition for file in chosen}) == 1
        assert sum(file.size_bytes for file in chosen) <= target
        assert all(file.size_bytes < target / 4 for file in chosen)


def test_a_single_small_file_is_not_compacted() -> None:
    files = [CurrentFile("a", 10, (0, "x")), CurrentFile("b", 10, (0, "y")), CurrentFile("c", 90, (0, "x"))]
    assert compactions(files, 100) == []
    assert compactions([*files, CurrentFile("d", 10, (0, "y"))], 100) == [("b", "d")]


@pytest.mark.parametrize("age", [GRACE - timedelta(seconds=1), timedelta(0), timedelta(hours=-1)])
def test_a_young_orphan_waits(age: timedelta) -> None:
    file = StoredFile("f", 1, NOW - age)
    assert orphan_files([file], set(), set(), NOW) == ([], [file])
