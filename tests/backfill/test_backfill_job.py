"""Backfill: each version becomes one raw snapshot of its date, proven complete, or is held back with a reason."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.real_data import DATA

from brewhouse.backfill.backfill_job import BackfillResult, VersionResult, backfill, run_backfill
from brewhouse.backfill.id_mapping import uuid_of
from brewhouse.backfill.version_sources import DatasetVersion, list_versions
from brewhouse.errors import BrewhouseError
from brewhouse.events.event import EventLog
from brewhouse.iceberg.tables import Tables
from brewhouse.lake.lake import Lake
from brewhouse.lake.raw_snapshots import RawSnapshot, complete, complete_runs, newest
from brewhouse.pipeline.run_context import RunContext
from brewhouse.pipeline.transform import transform
from brewhouse.settings import Settings

COLUMNS = (
    "id", "name", "brewery_type", "address_1", "address_2", "address_3", "city", "state_province", "postal_code",
    "country", "phone", "website_url", "longitude", "latitude",
)  # fmt: skip
FORMER = {"id": "obdb_id", "address_1": "street", "state_province": "state"}
KEYS = [f"{number:08x}-0000-4000-8000-000000000000" for number in range(1000)]


def rows(*keys: str, **cells: str) -> list[dict[str, str]]:
    """A brewery for each id; an id of KEYS and a slug with the same number are the same brewery."""
    return [
        {
            "id": key,
            "name": f"Brewery {int(key.split('-')[0], 16)}",
            "brewery_type": "micro",
            "address_1": f"{int(key.split('-')[0], 16)} Main St",
            "city": "York",
            "country": "England",
            "longitude": "-1.080",
            "latitude": "53.9",
            **cells,
        }
        for key in keys
    ]


def written(breweries: list[dict[str, str]], names: Mapping[str, str] | None = None) -> bytes:
    text = io.StringIO()
    header = [(names or {}).get(name, name) for name in COLUMNS]
    csv.writer(text).writerows([header, *([row.get(name, "") for name in COLUMNS] for row in breweries)])
    return text.getvalue().encode()


def version(time: str, content: bytes) -> DatasetVersion:
    return DatasetVersion(
        f"version-{time}.csv", datetime.fromisoformat(time).replace(tzinfo=UTC), partial(bytes, content)
    )


def run(lake: Lake, *versions: DatasetVersion) -> BackfillResult:
    return backfill(lake, versions, lambda _done, _total: None)


def outcomes(result: BackfillResult) -> list[str]:
    return [version.outcome for version in result.versions]


def records(snapshot: RawSnapshot) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines(snapshot)]


def lines(snapshot: RawSnapshot) -> list[bytes]:
    return [line for file in snapshot.files for line in gzip.decompress(Path(file).read_bytes()).splitlines()]


def files(lake: Lake) -> dict[str, bytes]:
    return {str(file.relative_to(lake.root)): file.read_bytes() for file in lake.bronze.rglob("*") if file.is_file()}


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def test_a_version_becomes_a_snapshot_of_its_time_with_the_counts_of_its_file(lake: Lake) -> None:
    some = rows(*KEYS[:450], state_province="Yorkshire") + rows(*KEYS[450:455], country="", brewery_type="nano")
    result = run(lake, version("2023-05-06T07:08:09", written(some[::-1])))
    (snapshot,) = complete(lake)
    manifest = snapshot.manifest
    assert result.versions[0].snapshot == snapshot.run
    assert (result.versions[0].outcome, result.versions[0].records) == ("new", 455)
    assert (snapshot.manifest.date, snapshot.folder.parent.name) == ("2023-05-06", "date=2023-05-06")
    assert manifest.started_at == manifest.finished_at == "2023-05-06T07:08:09.000+00:00"
    assert manifest.source_url == "version-2023-05-06T07:08:09.csv"
    assert manifest.meta_before == manifest.meta_after
    assert manifest.meta_after.total == manifest.proof.records == manifest.proof.distinct_ids == 455
    assert manifest.meta_after.by_type == manifest.received.by_type == {"micro": 450, "nano": 5}
    assert manifest.meta_after.by_country == {"England": 450}
    assert manifest.meta_after.by_state == {"Yorkshire": 450}
    assert [page.records for page in manifest.pages] == [200, 200, 55]
    assert [record["id"] for record in records(snapshot)] == KEYS[:455], "sorted by id"
    assert records(snapshot)[0]["state_province"] == "Yorkshire"


def test_slugs_are_mapped_to_the_uuids_of_the_first_version_with_uuids(lake: Lake) -> None:
    early = written(rows("1-brew", "2-brew", "99-gone"), FORMER)
    later = written(rows("1-brew", "2-brew", "99-gone", address_1="moved"), FORMER)
    today = written(rows(*KEYS[1:4]))
    result = run(
        lake,
        version("2020-01-01", early),
        version("2021-01-01", later),
        version("2023-01-01", today),
        version("2024-01-01", written(rows(*KEYS[1:9]))),
    )
    ids = [sorted(record["id"] for record in records(snapshot)) for snapshot in complete(lake)[:2]]
    assert ids == [sorted([*KEYS[1:3], uuid_of("99-gone")])] * 2
    assert [(version.slugs, version.mapped) for version in result.versions] == [(3, 2), (3, 2), (0, 0), (0, 0)]
    assert {record["obdb_id"] for record in records(complete(lake)[0])} == {"1-brew", "2-brew", "99-gone"}


def test_slugs_are_mapped_to_the_uuids_of_a_snapshot_in_the_lake(lake: Lake) -> None:
    run(lake, version("2023-01-01", written(rows(*KEYS[1:4]))))
    result = run(lake, version("2020-01-01", written(rows("1-brew"))))
    assert result.versions[0].mapped == 1
    assert records(complete(lake)[0])[0]["id"] == KEYS[1]


def test_without_any_uuids_they_are_derived_from_the_slugs(lake: Lake) -> None:
    result = run(lake, version("2020-01-01", written(rows("1-brew"))))
    assert (result.versions[0].outcome, result.versions[0].mapped) == ("new", 0)
    assert records(complete(lake)[0])[0]["id"] == uuid_of("1-brew")


def test_a_version_that_fails_a_check_is_held_back_with_the_reason_and_leaves_no_file(lake: Lake) -> None:
    nameless = [*rows(*KEYS[:3]), *(row | {"id": ""} for row in rows(*KEYS[3:5]))]
    result = run(
        lake,
        version("2023-01-01", written(nameless)),
        version("2023-01-02", written(rows(KEYS[1], KEYS[1]))),
        version("2023-01-03", written(rows(*KEYS[:5]))),
    )
    assert outcomes(result) == ["held back", "held back", "new"]
    assert result.versions[0].reason == "2 of its 5 records have no id"
    assert "1 records repeat an id" in result.versions[1].reason
    assert len({Path(name).parent for name in files(lake)}) == 1


def test_it_is_an_error_when_every_version_is_held_back(lake: Lake) -> None:
    with pytest.raises(
        BrewhouseError, match=r"All 1 version\(s\) are held back; the last one, .*: its header is not one of"
    ):
        run(lake, version("2023-01-01", b"<html>"))


def test_a_second_backfill_of_the_same_versions_changes_nothing(lake: Lake) -> None:
    versions = [version("2020-01-01", written(rows("1-brew"))), version("2023-01-01", written(rows(*KEYS[1:4])))]
    run(lake, *versions)
    before = files(lake)
    result = run(lake, *versions)
    assert outcomes(result) == ["there already", "there already"]
    assert [version.records for version in result.versions] == [1, 3]
    assert files(lake) == before


def test_the_same_content_on_the_same_day_exists_already_unless_another_is_in_between(lake: Lake) -> None:
    one, two = written(rows(*KEYS[:2])), written(rows(*KEYS[:3]))
    run(lake, version("2023-01-01T00:00:00", one))
    again = run(lake, version("2023-01-01T12:00:00", one), version("2023-01-02T12:00:00", one))
    assert outcomes(again) == ["there already", "new"]
    back = [version(f"2023-02-01T{hour}:00:00", content) for hour, content in ((10, one), (11, two), (12, one))]
    assert outcomes(run(lake, *back)) == ["new", "new", "new"]
    assert outcomes(run(lake, *back)) == ["there already"] * 3
    assert [snapshot.records for snapshot in complete(lake)][-3:] == [2, 3, 2]


def test_an_interrupted_snapshot_is_completed(lake: Lake, tmp_path: Path) -> None:
    versions = [version(f"2023-01-0{day}", written(rows(*KEYS[: 300 + day]))) for day in (1, 2)]
    run(Lake(tmp_path / "undisturbed"), *versions)
    run(lake, *versions)
    snapshot = complete(lake)[1]
    (snapshot.folder / "manifest.json").unlink()
    Path(snapshot.files[0]).unlink()
    Path(snapshot.files[1]).write_bytes(b"half")
    assert outcomes(run(lake, *versions)) == ["there already", "new"]
    assert files(lake) == files(Lake(tmp_path / "undisturbed"))


def test_a_killed_backfill_is_resumed(lake: Lake, tmp_path: Path) -> None:
    for day in range(1, 29):
        content = written(rows(*KEYS[: 900 + day]))
        (tmp_path / f"breweries-2023-01-{day:02}.csv").write_bytes(content)
    paths = sorted(tmp_path.glob("*.csv"))
    command = [sys.executable, "-m", "brewhouse", "backfill", *map(str, paths), "--lake", str(lake.root)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and len(complete_runs(lake)) < 3:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    left = len(complete_runs(lake))
    assert 3 <= left < len(paths)
    result = run(lake, *list_versions(paths))
    assert Counter(outcomes(result)) == {"there already": left, "new": len(paths) - left}
    undisturbed = Lake(tmp_path / "undisturbed")
    run(undisturbed, *list_versions(paths))
    assert files(lake) == files(undisturbed)


def test_invalid_bytes_and_missing_columns_are_drift(lake: Lake) -> None:
    content = written(rows(KEYS[1], city="K?rnten")).replace(b"K?rnten", b"K\xe4rnten")
    result = run(lake, version("2023-01-01", content), version("2023-01-02", content.replace(b"53.9", b"53.8")))
    drift = {(found.name, found.detail): found.count for found in result.drift}
    assert drift["bad_bytes", "invalid UTF-8 replaced by U+FFFD"] == 2
    assert drift["missing_field", "street"] == 2
    assert newest(lake) is not None


def test_the_real_versions_become_snapshots_and_tables(lake: Lake) -> None:
    paths = sorted(DATA.glob("breweries-*.csv"))
    result = run(lake, *list_versions(paths))
    snapshots = complete(lake)
    assert [version.snapshot for version in result.versions] == [snapshot.run for snapshot in snapshots]
    for path, snapshot in zip(paths, snapshots, strict=True):
        with path.open(encoding="utf-8", newline="") as file:
            theirs = sorted(csv.DictReader(file), key=lambda row: row["id"])
        assert snapshot.manifest.date in path.name
        assert snapshot.manifest.meta_after.by_country == Counter(row["country"] for row in theirs)
        for line, row in zip(lines(snapshot), theirs, strict=True):
            ours = json.loads(line, parse_float=str, parse_int=str)
            assert {name: value or "" for name, value in ours.items()} == row
    with RunContext(lake, Settings(), EventLog(lake, "RUN"), ["transform"]).running("transform") as context:
        transform(context)
    now = Tables(lake).current("silver.breweries")
    assert now is not None
    assert now.rows == snapshots[-1].records
    assert now.properties["brewhouse.raw-snapshot"] == snapshots[-1].run


def test_a_lake_that_cannot_be_written_is_an_error(lake: Lake) -> None:
    lake.root.mkdir()
    (lake.root / "bronze").write_text("a file instead of a folder")
    with pytest.raises(BrewhouseError, match="cannot be written"):
        run(lake, version("2023-01-01", written(rows(KEYS[1]))))


def test_progress_counts_the_versions(lake: Lake) -> None:
    calls: list[tuple[int, int]] = []
    versions = [version(f"2023-01-0{day}", written(rows(*KEYS[:day]))) for day in (1, 2, 3)]
    backfill(lake, versions, lambda done, total: calls.append((done, total)))
    assert calls == [(1, 3), (2, 3), (3, 3)]


def test_an_unreadable_version_is_held_back_and_the_others_are_loaded(lake: Lake, tmp_path: Path) -> None:
    for day in (1, 2):
        (tmp_path / f"2023-01-0{day}.csv").write_bytes(written(rows(*KEYS[:day])))
    versions = list_versions(sorted(tmp_path.glob("*.csv")))
    (tmp_path / "2023-01-01.csv").unlink()
    result = run(lake, *versions)
    assert outcomes(result) == ["held back", "new"]
    assert result.versions[0].reason.startswith("it cannot be read")
    assert (result.versions[0].records, result.versions[0].slugs, result.versions[0].mapped) == (None, None, None)


def test_a_version_held_back_does_not_hide_the_mapping_of_older_ones(lake: Lake) -> None:
    result = run(
        lake,
        version("2020-01-01", written(rows("1-brew"), FORMER)),
        version("2021-01-01", b"<html>"),
        version("2023-01-01", written(rows(*KEYS[1:3]))),
    )
    assert outcomes(result) == ["new", "held back", "new"]
    assert records(complete(lake)[0])[0]["id"] == KEYS[1]


def test_a_snapshot_with_slugs_that_exists_already_still_maps_older_versions(lake: Lake) -> None:
    anchor = version("2023-01-01", written(rows(*KEYS[1:3])))
    later = version("2021-01-01", written(rows("1-brew", address_1="moved") + rows("2-brew"), FORMER))
    run(lake, later, anchor)
    result = run(lake, version("2020-01-01", written(rows("1-brew", address_1="moved"), FORMER)), later, anchor)
    assert outcomes(result) == ["new", "there already", "there already"]
    assert [version.mapped for version in result.versions] == [0, 1, None]
    ids = [[record["id"] for record in records(snapshot)] for snapshot in complete(lake)]
    assert ids[0][0] in ids[1], "the moved brewery keeps its identity"


def test_in_json_the_outcome_and_the_number_of_mapped_slugs_keep_their_keys() -> None:
    result = VersionResult(time="t", name="n", outcome="there already", slugs=2, mapped=1)
    assert msgspec.to_builtins(result) == {
        "time": "t", "name": "n", "outcome": "there already", "records": None, "slugs": 2, "linked": 1,
        "snapshot": None, "reason": "",
    }  # fmt: skip


def test_a_run_loads_the_versions_rebuilds_the_tables_and_does_so_once(lake: Lake) -> None:
    versions = [version(f"2023-01-0{day}", written(rows(*KEYS[: day * 2]))) for day in (1, 2)]
    first, loaded = run_backfill(lake, Settings(), versions)
    assert outcomes(loaded) == ["new", "new"]
    table = Tables(lake).current("silver.breweries")
    assert table is not None
    assert table.rows == 4
    again, repeated = run_backfill(lake, Settings(), versions)
    assert outcomes(repeated) == ["there already"] * 2
    assert first != again
    unchanged = Tables(lake).current("silver.breweries")
    assert unchanged is not None
    assert unchanged.snapshot_id == table.snapshot_id


def test_drift_of_several_snapshots_is_added_up_with_its_first_example(lake: Lake) -> None:
    some = [written(rows(*KEYS[:n], longitude="west")) for n in (1, 2, 3)]
    result = run(lake, *(version(f"2023-01-0{day}", content) for day, content in enumerate(some, start=1)))
    drift = {(item.name, item.detail): (item.count, item.example) for item in result.drift}
    assert drift["coordinates_as_text", "longitude"] == (6, f'"west" in id {KEYS[0]}')
    assert list(drift) == sorted(drift)


@settings(max_examples=10)
@given(numbers=st.lists(st.integers(0, 999), min_size=1, max_size=30, unique=True), data=st.data())
def test_every_row_becomes_one_record_in_the_order_of_ids(
    tmp_path_factory: pytest.TempPathFactory, numbers: list[int], data: st.DataObject
) -> None:
    cells = data.draw(
        st.fixed_dictionaries({name: st.sampled_from(["", "x", "a,b", '"', "ü"]) for name in ("name", "city")})
    )
    lake = Lake(tmp_path_factory.mktemp("lake") / "lake")
    content = written(rows(*(KEYS[number] for number in numbers), **cells))
    (result,) = run(lake, version("2023-01-01", content)).versions
    assert (result.outcome, result.records) == ("new", len(numbers))
    (snapshot,) = complete(lake)
    assert [record["id"] for record in records(snapshot)] == sorted(KEYS[number] for number in numbers)
    assert {record["name"] for record in records(snapshot)} == {cells["name"] or None}
