"""Readers see snapshots by time and id, files by value, and every file that a table refers to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyiceberg.catalog.sql import SqlCatalog
from tests.iceberg.parquet import publish, spec_of, write_rows

from brewhouse.errors import BrewhouseError, UsageError
from brewhouse.iceberg.lake_catalog import NAME
from brewhouse.iceberg.maintenance_rules import expired
from brewhouse.iceberg.table_spec import Publication
from brewhouse.iceberg.tables import Rewrite, Tables
from brewhouse.lake.lake import Lake

NUMBERS = spec_of(n="long")
MS = timedelta(milliseconds=1)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time at which tables are published; append to it to change it."""
    seconds = [4_000_000_000.0]  # PyIceberg itself dates the creation of a table now
    monkeypatch.setattr("brewhouse.iceberg.tables.time.time", lambda: seconds[-1])
    return seconds


def numbers(tables: Tables, snapshot_id: int | None = None) -> list[int]:
    files = tables.files("silver.t", snapshot_id)
    return sorted(n for (n,) in duckdb.execute("SELECT n FROM read_parquet(?)", [files]).fetchall()) if files else []


def ids(tables: Tables) -> list[int]:
    return [snapshot.snapshot_id for snapshot in tables.history("silver.t")]


def test_the_snapshot_of_a_time_is_the_last_one_committed_by_then(lake: Lake, clock: list[float]) -> None:
    tables = Tables(lake)
    for number in range(3):
        publish(tables, NUMBERS, (number,))
        clock.append(clock[-1] + 60)
    snapshots = tables.history("silver.t")
    times = [snapshot.committed_at for snapshot in snapshots]
    assert times == [datetime.fromtimestamp(4_000_000_000 + 60 * number, UTC) for number in range(3)]
    assert tables.snapshot_at("silver.t", times[0] - MS) is None
    for number, snapshot in enumerate(snapshots):
        for at in (times[number], times[number] + timedelta(seconds=59, milliseconds=999)):
            found = tables.snapshot_at("silver.t", at)
            assert found == snapshot
    assert tables.snapshot_at("silver.t", times[2] + timedelta(days=999)) == snapshots[2]
    zoned = times[1].astimezone(datetime.fromisoformat("2026-01-01T00:00:00+05:30").tzinfo)
    assert tables.snapshot_at("silver.t", zoned) == snapshots[1]


def test_times_of_earlier_days_show_what_was_current_or_nothing(lake: Lake, clock: list[float]) -> None:
    tables, midnight = Tables(lake), 4_000_060_800
    assert midnight % 86_400 == 0
    for number in range(9):  # every eight hours, from midnight on
        clock.append(midnight + number * 8 * 3600)
        publish(tables, NUMBERS, (number,))
    history = tables.history("silver.t")
    now = datetime.fromtimestamp(clock[-1], UTC)
    tables.expire({"silver.t": expired(history, tables.protected("silver.t"), now, keep_days=99, keep_last=2)})
    left = [snapshot.snapshot_id for snapshot in tables.history("silver.t")]
    assert left == [history[number].snapshot_id for number in (2, 5, 7, 8)]
    for hour in range(72):
        found = tables.snapshot_at("silver.t", datetime.fromtimestamp(midnight + hour * 3600, UTC))
        seen = history[hour // 8]
        assert (found and found.snapshot_id) == (seen.snapshot_id if seen.snapshot_id in left else None), hour
    clock.append(clock[-1] + 5 * 86_400)
    publish(tables, NUMBERS, (9,))
    catalog = SqlCatalog(NAME, uri=f"sqlite:///{lake.catalog_file}")
    catalog.load_table("silver.t").manage_snapshots().create_tag(left[0], "audit").commit()
    catalog.close()
    tables.expire({"silver.t": left[1:3]})  # the two that follow the tagged one, as by their age
    assert tables.snapshot_at("silver.t", datetime.fromtimestamp(clock[2], UTC)) is None
    last = tables.snapshot_at("silver.t", datetime.fromtimestamp(clock[-1] - 1, UTC))
    assert last is not None
    assert last.snapshot_id == left[3], "no other was published in between"


def test_commits_in_one_millisecond_get_times_of_their_own(lake: Lake, clock: list[float]) -> None:
    del clock  # it stands still
    tables = Tables(lake)
    for number in range(3):
        publish(tables, NUMBERS, (number,))
    snapshots = tables.history("silver.t")
    assert [tables.snapshot_at("silver.t", snapshot.committed_at) for snapshot in snapshots] == snapshots
    assert numbers(tables) == [2]


def test_a_clock_that_is_set_back_does_not_reorder_commits(lake: Lake, clock: list[float]) -> None:
    tables = Tables(lake)
    for number in range(3):
        publish(tables, NUMBERS, (number,))
        clock.append(clock[-1] - 3600)
    times = [snapshot.committed_at for snapshot in tables.history("silver.t")]
    assert times == sorted(times)
    found = tables.snapshot_at("silver.t", times[-1])
    assert found is not None
    assert found.current


def test_time_travel_follows_a_rollback(lake: Lake) -> None:
    tables = Tables(lake)
    for number in range(2):
        publish(tables, NUMBERS, (number,))
    first, second = tables.history("silver.t")
    tables.rollback("silver.t", first.snapshot_id)
    now = datetime.now(UTC) + timedelta(seconds=1)
    found = tables.snapshot_at("silver.t", now)
    assert found is not None
    assert (found.snapshot_id, found.current) == (first.snapshot_id, True)
    assert ids(tables) == [first.snapshot_id, second.snapshot_id]
    tables.rollback("silver.t", first.snapshot_id)  # to the current one: nothing changes
    assert ids(tables) == [first.snapshot_id, second.snapshot_id]
    tables.rollback("silver.t", second.snapshot_id)
    assert numbers(tables) == [1]


def test_snapshots_that_the_current_one_was_not_made_from_are_rolled_back(lake: Lake) -> None:
    tables = Tables(lake)
    for number in range(3):
        publish(tables, NUMBERS, (number,))
    tables.rollback("silver.t", ids(tables)[0])
    publish(tables, NUMBERS, (3,))
    assert [snapshot.rolled_back for snapshot in tables.history("silver.t")] == [False, True, True, False]
    tables.rollback("silver.t", ids(tables)[1])
    assert [snapshot.rolled_back for snapshot in tables.history("silver.t")] == [False, False, True, True]
    tables.expire({"silver.t": ids(tables)[:1]})
    assert [snapshot.rolled_back for snapshot in tables.history("silver.t")] == [False, True, True]


def test_the_state_as_of_a_run_is_the_last_one_of_its_raw_snapshot_that_was_not_rolled_back(lake: Lake) -> None:
    tables = Tables(lake)
    publish(tables, NUMBERS, (0,), run="R1", raw_snapshot="A")
    publish(tables, NUMBERS, (1,), run="R2", raw_snapshot="B")
    publish(tables, NUMBERS, (2,), run="R3", raw_snapshot="A")
    publish(tables, NUMBERS, (3,), run="REBUILD", raw_snapshot="A")
    publish(tables, NUMBERS, (4,), run="REBUILD", raw_snapshot="B")
    known = ids(tables)

    def as_of(key: str) -> list[int]:
        return [known.index(snapshot.snapshot_id) for snapshot in tables.as_of(key).values()]

    keys = ("R1", "R2", "R3", "REBUILD", "A", "B", str(known[2]), "C")
    assert [as_of(key) for key in keys] == [[3], [4], [3], [4], [3], [4], [3], []]
    tables.rollback("silver.t", known[2])
    assert [as_of(key) for key in keys] == [[2], [1], [2], [1], [2], [1], [2], []]


def test_the_data_of_a_time_includes_what_was_committed_later(lake: Lake, clock: list[float]) -> None:
    tables = Tables(lake)
    today = datetime.fromtimestamp(clock[-1], UTC)
    for number, (raw, days_ago) in enumerate((("D", 2), ("E", 0), ("A", 900), ("D", 2), ("E", 0))):
        clock.append(clock[0] - 86400 * 2 if number == 0 else clock[0] + number)
        time = (today - timedelta(days=days_ago)).isoformat()
        publish(tables, NUMBERS, (number,), raw_snapshot=raw, snapshot_time=time)
    known = ids(tables)

    def data_at(days_ago: float) -> list[int]:
        return [known.index(s.snapshot_id) for s in tables.data_at(today - timedelta(days=days_ago)).values()]

    assert [data_at(days) for days in (901, 800, 1.9, -1)] == [[], [2], [3], [4]]


def test_backfilled_data_that_was_rolled_back_is_not_read(lake: Lake) -> None:
    tables = Tables(lake)
    for year in (2018, 2019):
        publish(tables, NUMBERS, (year,), raw_snapshot=str(year), snapshot_time=f"{year}-01-01T00:00:00+00:00")
    first, last = tables.history("silver.t")
    assert tables.data_at(datetime(2020, 1, 1, tzinfo=UTC)) == {"silver.t": last}
    tables.rollback("silver.t", first.snapshot_id)
    assert [s.properties for s in tables.data_at(datetime(2020, 1, 1, tzinfo=UTC)).values()] == [first.properties]


def test_without_its_own_time_data_is_as_old_as_its_raw_snapshot(lake: Lake) -> None:
    tables = Tables(lake)
    publish(tables, NUMBERS, (0,), raw_snapshot="01GW8EMG00PRMNFNQMVA3G9AMH")
    publish(tables, NUMBERS, (1,))
    backfilled, other = tables.history("silver.t")
    assert backfilled.data_time == datetime(2023, 3, 24, tzinfo=UTC)
    assert other.data_time == other.committed_at


@settings(max_examples=15)
@given(steps=st.lists(st.one_of(st.just("publish"), st.integers(0, 5)), min_size=1, max_size=7))
def test_any_sequence_of_publications_and_rollbacks_can_be_read_back(
    tmp_path_factory: pytest.TempPathFactory, steps: Sequence[str | int]
) -> None:
    tables = Tables(Lake(tmp_path_factory.mktemp("lake")))
    publish(tables, NUMBERS, (0,))
    contents = {ids(tables)[0]: [0]}
    current = [0]
    for number, step in enumerate(steps, start=1):
        if isinstance(step, int):
            wanted = ids(tables)[step % len(contents)]
            tables.rollback("silver.t", wanted)
            current = contents[wanted]
        else:
            kept = tables.files("silver.t") if number % 2 else []
            publish(tables, NUMBERS, (number,), kept=kept)
            current = [*(current if number % 2 else []), number]
            contents[ids(tables)[-1]] = current
        assert numbers(tables) == sorted(current)
    for snapshot_id, content in contents.items():
        assert numbers(tables, snapshot_id) == sorted(content)
    rows = {snapshot.snapshot_id: snapshot.rows for snapshot in tables.history("silver.t")}
    assert rows == {snapshot_id: len(content) for snapshot_id, content in contents.items()}


def test_expired_snapshots_are_no_longer_listed_or_read(lake: Lake) -> None:
    tables = Tables(lake)
    for number in range(4):
        publish(tables, NUMBERS, (number,))
    old = ids(tables)
    before = tables.referenced()
    tables.expire({"silver.t": old})  # the current one stays
    assert ids(tables) == old[-1:]
    assert numbers(tables) == [3]
    for use in (tables.files, tables.describe, tables.rollback):
        with pytest.raises(UsageError, match=f"no snapshot {old[0]}; it has {old[-1]}.*`brewhouse history silver.t`"):
            use("silver.t", old[0])
    removed = before - tables.referenced()
    assert sum(path.endswith(".parquet") for path in removed) == 3
    assert sum("/snap-" in path for path in removed) == 3


def test_a_time_in_the_gap_of_an_expired_snapshot_has_no_snapshot(lake: Lake, clock: list[float]) -> None:
    tables = Tables(lake)
    for number in range(4):
        publish(tables, NUMBERS, (number,))
        clock.append(clock[-1] + 60)
    snapshots = tables.history("silver.t")
    tables.expire({"silver.t": [snapshots[1].snapshot_id]})
    times = [snapshot.committed_at for snapshot in snapshots]
    assert [tables.snapshot_at("silver.t", at) for at in times[:2]] == [None, None]
    assert tables.snapshot_at("silver.t", times[2]) == snapshots[2]
    assert tables.files("silver.t", snapshots[0].snapshot_id), "by its id it can still be read"


def test_snapshots_with_a_tag_or_branch_are_protected(lake: Lake) -> None:
    tables = Tables(lake)
    for number in range(4):
        publish(tables, NUMBERS, (number,))
    old = ids(tables)
    catalog = SqlCatalog(NAME, uri=f"sqlite:///{lake.catalog_file}", warehouse=f"file://{lake.warehouse}")
    table = catalog.load_table("silver.t")
    table.manage_snapshots().create_tag(old[0], "audited").create_branch(old[1], "trial").commit()
    catalog.close()
    assert tables.protected("silver.t") == {old[0], old[1], old[3]}
    tables.expire({"silver.t": old})
    assert ids(tables) == [old[0], old[1], old[3]]
    assert numbers(tables, old[1]) == [1]


def commit_elsewhere(lake: Lake, branch: str | None = None) -> None:
    """Append the rows of the table once more, as another client does."""
    catalog = SqlCatalog(NAME, uri=f"sqlite:///{lake.catalog_file}", warehouse=f"file://{lake.warehouse}")
    table = catalog.load_table("silver.t")
    if branch:
        table.manage_snapshots().create_branch(table.metadata.current_snapshot_id or 0, branch).commit()
    table.append(table.scan().to_arrow(), branch=branch or "main")
    catalog.close()


def test_rows_are_counted_in_the_manifests_if_a_commit_of_another_engine_lacks_totals(lake: Lake) -> None:
    tables = Tables(lake)
    publish(tables, NUMBERS, (1,), (2,))
    commit_elsewhere(lake)
    metadata = max(lake.warehouse.glob("silver/t/metadata/*.metadata.json"))
    facts = json.loads(metadata.read_text())
    summary = facts["snapshots"][-1]["summary"]
    del summary["total-records"]
    summary["total-data-files"] = "0"  # as Iceberg for Spark writes the first commit to a branch that it creates
    metadata.write_text(json.dumps(facts))
    tables = Tables(lake)
    assert [(snapshot.rows, snapshot.files) for snapshot in tables.history("silver.t")] == [(2, 1), (4, 2)]
    publish(tables, NUMBERS, (3,), kept=tables.files("silver.t"))
    current = tables.current("silver.t")
    assert current
    assert (current.rows, current.files) == (5, 3), "the next commit has totals again"
    tables.rewrite([Rewrite("silver.t", (), ())])
    assert (current := tables.current("silver.t"))
    assert (current.operation, current.rows) == ("replace", 5)


def test_snapshots_of_other_branches_are_marked_and_never_shown_as_the_past(lake: Lake, clock: list[float]) -> None:
    tables = Tables(lake)
    publish(tables, NUMBERS, (1,))
    commit_elsewhere(lake, "audit")
    clock.append(clock[-1] + 60)
    publish(tables, NUMBERS, (2,))
    history = tables.history("silver.t")
    assert [snapshot.branch for snapshot in history] == ["", "audit", ""]
    assert [snapshot.current for snapshot in history] == [False, False, True]
    last = datetime.fromtimestamp(clock[-1], UTC)
    tables.expire({"silver.t": [history[0].snapshot_id]})  # the log of the table now begins with the last publication
    for at in (history[1].committed_at, last - MS):
        assert tables.snapshot_at("silver.t", at) is None
    catalog = SqlCatalog(NAME, uri=f"sqlite:///{lake.catalog_file}", warehouse=f"file://{lake.warehouse}")
    catalog.load_table("silver.t").manage_snapshots().set_current_snapshot(ref_name="audit").commit()
    catalog.close()
    assert [(s.branch, s.current) for s in tables.history("silver.t")] == [("", True), ("", False)]


def test_only_files_of_the_lake_are_listed_and_all_of_them(lake: Lake) -> None:
    tables = Tables(lake)
    for number in range(3):
        publish(tables, NUMBERS, (number,), kept=tables.files("silver.t") if number else [])
    stored = {str(path.relative_to(lake.root)) for path in lake.warehouse.rglob("*") if path.is_file()}
    assert tables.referenced() == stored
    assert tables.folders() == {"silver.t": "warehouse/silver/t"}
    assert tables.manifests("silver.t") == 3
    without = tables.referenced({"silver.t": ids(tables)})
    assert {path.rpartition(".")[2] for path in without} == {"json", "text"}, "only the metadata of no snapshot"


def test_a_rewrite_merges_files_and_manifests_and_keeps_rows_and_properties(lake: Lake) -> None:
    tables = Tables(lake)
    for number in range(3):
        publish(tables, NUMBERS, (number,), kept=tables.files("silver.t") if number else [], run=f"R{number}")
    before = tables.current_files("silver.t")
    assert [file.size_bytes for file in before] == [Path(file.path).stat().st_size for file in before]
    assert len({file.partition for file in before}) == 1
    merged = write_rows(tables, NUMBERS, [(0,), (1,)])
    old = [file.path for file in before if numbers_in(file.path) != [2]]
    tables.rewrite([Rewrite("silver.t", tuple(old), (merged,))])
    current = tables.current("silver.t")
    assert current is not None
    assert (current.operation, current.rows, current.files) == ("replace", 3, 2)
    assert current.properties == {"brewhouse.run": "R2"}
    assert (numbers(tables), tables.manifests("silver.t")) == ([0, 1, 2], 2)
    with pytest.raises(ValueError, match=r"is not a current file of silver\.t"):
        tables.rewrite([Rewrite("silver.t", tuple(old), (merged,))])
    tables.rewrite([Rewrite("silver.t", (), ())])
    tables.rewrite([])
    tables.publish([], {})
    assert (numbers(tables), tables.manifests("silver.t")) == ([0, 1, 2], 1)


def numbers_in(file: str) -> list[int]:
    return [n for (n,) in duckdb.execute("SELECT n FROM read_parquet(?)", [file]).fetchall()]


def test_a_table_without_rows_is_published_read_and_filled(lake: Lake) -> None:
    tables = Tables(lake)
    publish(tables, NUMBERS)
    empty = tables.current("silver.t")
    assert empty is not None
    assert (empty.rows, empty.files, tables.files("silver.t"), tables.manifests("silver.t")) == (0, 0, [], 0)
    assert tables.files_by_value("silver.t", "n", 1) == ([], [])
    assert tables.current_files("silver.t") == []
    tables.publish([Publication(NUMBERS, (write_rows(tables, NUMBERS, []),))], {})
    publish(tables, NUMBERS, (1,))
    assert [snapshot.rows for snapshot in tables.history("silver.t")] == [0, 0, 1]
    assert tables.current("silver.t") == tables.history("silver.t")[-1]


@pytest.mark.parametrize("name", ["t", "silver.beer", "gold.t", "", "silver.", "a.b.c"])
def test_an_unknown_table_is_named_with_the_known_ones(lake: Lake, name: str) -> None:
    tables = Tables(lake)
    with pytest.raises(BrewhouseError, match=r"has no table .*; it has: none. `brewhouse run` creates missing ones"):
        tables.history(name)
    publish(tables, NUMBERS, (1,))
    for use in (tables.files, tables.current, tables.describe, tables.protected, tables.manifests):
        with pytest.raises(BrewhouseError, match=rf"has no table {name}; it has: silver\.t"):
            use(name)


def test_blocks_of_reading_can_be_nested(lake: Lake) -> None:
    tables = Tables(lake)
    publish(tables, NUMBERS, (1,))
    with tables.reading(), tables.reading():
        assert numbers(tables) == [1]
    assert numbers(tables) == [1]
