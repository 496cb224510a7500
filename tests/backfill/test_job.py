"""Versions of the dataset become raw snapshots of their dates: each once, proven, or held back with a reason."""

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

import pytest

from brewhouse.backfill.id_mapping import uuid_of
from brewhouse.backfill.job import Backfill, backfill
from brewhouse.backfill.version_sources import DatasetVersion, origins_of
from brewhouse.errors import BrewhouseError
from brewhouse.events.event import EventLog
from brewhouse.iceberg.tables import Tables
from brewhouse.lake.lake import Lake
from brewhouse.lake.raw_snapshots import RawSnapshot, complete, complete_runs, newest
from brewhouse.pipeline.run_context import RunContext
from brewhouse.pipeline.transform import transform
from brewhouse.settings import Settings

DATA = Path(__file__).parents[3] / "shared" / "data"
COLUMNS = (
    "id", "name", "brewery_type", "address_1", "address_2", "address_3", "city", "state_province", "postal_code",
    "country", "phone", "website_url", "longitude", "latitude",
)  # fmt: skip
FORMER = {"id": "obdb_id", "address_1": "street", "state_province": "state"}
KEYS = [f"{number:08x}-0000-4000-8000-000000000000" for number in range(1000)]


def rows(*keys: str, **cells: str) -> list[dict[str, str]]:
    """A brewery for each id; those of KEYS and slugs of the same number are the same."""
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


def run(lake: Lake, *origins: DatasetVersion) -> Backfill:
    return backfill(lake, origins, lambda _done, _total: None)


def outcomes(result: Backfill) -> list[str]:
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
    assert (snapshot.date, snapshot.folder.parent.name) == ("2023-05-06", "date=2023-05-06")
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


def test_versions_with_slugs_get_the_uuids_of_the_first_version_with_some(lake: Lake) -> None:
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
    assert [(version.slugs, version.linked) for version in result.versions] == [(3, 2), (3, 2), (0, 0), (0, 0)]
    assert {record["obdb_id"] for record in records(complete(lake)[0])} == {"1-brew", "2-brew", "99-gone"}


def test_a_version_with_slugs_given_alone_is_linked_to_what_the_lake_has(lake: Lake) -> None:
    run(lake, version("2023-01-01", written(rows(*KEYS[1:4]))))
    result = run(lake, version("2020-01-01", written(rows("1-brew"))))
    assert result.versions[0].linked == 1
    assert records(complete(lake)[0])[0]["id"] == KEYS[1]


def test_a_version_with_slugs_and_nothing_to_link_them_with_is_usable(lake: Lake) -> None:
    result = run(lake, version("2020-01-01", written(rows("1-brew"))))
    assert (result.versions[0].outcome, result.versions[0].linked) == ("new", 0)
    assert records(complete(lake)[0])[0]["id"] == uuid_of("1-brew")


def test_what_cannot_be_proven_is_held_back_with_the_reason_and_leaves_nothing(lake: Lake) -> None:
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


def test_nothing_but_versions_that_are_held_back_is_an_error(lake: Lake) -> None:
    with pytest.raises(
        BrewhouseError, match=r"None of 1 version\(s\) can be used; the last, .*: its header is none of"
    ):
        run(lake, version("2023-01-01", b"<html>"))


def test_the_same_version_again_changes_nothing_and_says_so(lake: Lake) -> None:
    versions = [version("2020-01-01", written(rows("1-brew"))), version("2023-01-01", written(rows(*KEYS[1:4])))]
    run(lake, *versions)
    before = files(lake)
    result = run(lake, *versions)
    assert outcomes(result) == ["there already", "there already"]
    assert [version.records for version in result.versions] == [1, 3]
    assert files(lake) == before


def test_the_same_content_on_the_same_day_is_there_already_unless_another_lies_between(lake: Lake) -> None:
    one, two = written(rows(*KEYS[:2])), written(rows(*KEYS[:3]))
    run(lake, version("2023-01-01T00:00:00", one))
    again = run(lake, version("2023-01-01T12:00:00", one), version("2023-01-02T12:00:00", one))
    assert outcomes(again) == ["there already", "new"]
    back = [version(f"2023-02-01T{hour}:00:00", content) for hour, content in ((10, one), (11, two), (12, one))]
    assert outcomes(run(lake, *back)) == ["new", "new", "new"]
    assert outcomes(run(lake, *back)) == ["there already"] * 3
    assert [snapshot.records for snapshot in complete(lake)][-3:] == [2, 3, 2]


def test_what_an_interrupted_backfill_left_is_gone_on_with(lake: Lake, tmp_path: Path) -> None:
    versions = [version(f"2023-01-0{day}", written(rows(*KEYS[: 300 + day]))) for day in (1, 2)]
    run(Lake(tmp_path / "undisturbed"), *versions)
    run(lake, *versions)
    snapshot = complete(lake)[1]
    (snapshot.folder / "manifest.json").unlink()
    Path(snapshot.files[0]).unlink()
    Path(snapshot.files[1]).write_bytes(b"half")
    assert outcomes(run(lake, *versions)) == ["there already", "new"]
    assert files(lake) == files(Lake(tmp_path / "undisturbed"))


def test_a_killed_backfill_is_gone_on_with(lake: Lake, tmp_path: Path) -> None:
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
    result = run(lake, *origins_of(paths))
    assert Counter(outcomes(result)) == {"there already": left, "new": len(paths) - left}
    undisturbed = Lake(tmp_path / "undisturbed")
    run(undisturbed, *origins_of(paths))
    assert files(lake) == files(undisturbed)


def test_bad_bytes_and_extra_columns_are_told_as_drift(lake: Lake) -> None:
    content = written(rows(KEYS[1], city="K?rnten")).replace(b"K?rnten", b"K\xe4rnten")
    result = run(lake, version("2023-01-01", content), version("2023-01-02", content.replace(b"53.9", b"53.8")))
    drift = {(found.name, found.detail): found.count for found in result.drift}
    assert drift["bad_bytes", "no UTF-8, became U+FFFD"] == 2
    assert drift["missing_field", "street"] == 2
    assert newest(lake) is not None


needs_data = pytest.mark.skipif(not DATA.exists(), reason="needs ../shared/data/breweries-*.csv")


@needs_data
def test_the_real_versions_become_snapshots_and_tables(lake: Lake) -> None:
    paths = sorted(DATA.glob("breweries-*.csv"))
    result = run(lake, *origins_of(paths))
    snapshots = complete(lake)
    assert [version.snapshot for version in result.versions] == [snapshot.run for snapshot in snapshots]
    for path, snapshot in zip(paths, snapshots, strict=True):
        with path.open(encoding="utf-8", newline="") as file:
            theirs = sorted(csv.DictReader(file), key=lambda row: row["id"])
        assert snapshot.date in path.name
        assert snapshot.manifest.meta_after.by_country == Counter(row["country"] for row in theirs)
        for line, row in zip(lines(snapshot), theirs, strict=True):
            ours = json.loads(line, parse_float=str, parse_int=str)
            assert {name: value or "" for name, value in ours.items()} == row
    with RunContext(lake, Settings(), EventLog(lake, "RUN"), "transform") as context:
        transform(context)
    now = Tables(lake).current("silver.breweries")
    assert now is not None
    assert now.rows == snapshots[-1].records
    assert now.properties["brewhouse.raw-snapshot"] == snapshots[-1].run


def test_a_lake_that_cannot_be_written_is_an_error(lake: Lake) -> None:
    lake.root.mkdir()
    (lake.root / "bronze").write_text("in the way")
    with pytest.raises(BrewhouseError, match="cannot be written"):
        run(lake, version("2023-01-01", written(rows(KEYS[1]))))
