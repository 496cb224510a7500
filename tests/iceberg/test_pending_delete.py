"""Files dereferenced by an expiry wait for a day before they are deleted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from brewhouse.iceberg.maintenance_rules import GRACE
from brewhouse.iceberg.pending_delete import PENDING, add_pending, drop_expired_records, pending_files, stored_files
from brewhouse.lake.lake import Lake

NOW = datetime(2026, 8, 31, 12, tzinfo=UTC)


@pytest.fixture(params=["local", "s3"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Lake:
    if request.param == "local":
        return Lake(tmp_path)
    lake: Lake = request.getfixturevalue("shared_lake")
    return lake


def test_files_are_pending_for_a_day_and_their_record_is_dropped_then(lake: Lake) -> None:
    add_pending(lake, "RUN1", {"a", "b"}, NOW)
    add_pending(lake, "RUN2", set(), NOW)
    (record,) = stored_files(lake, "maintenance")
    assert record.path.startswith("maintenance/RUN1.")
    drop_expired_records(lake, NOW + GRACE)
    assert pending_files(lake, NOW + GRACE) == {"a", "b"}
    later = NOW + GRACE + timedelta(microseconds=1)
    assert pending_files(lake, later) == set()
    drop_expired_records(lake, later)
    assert stored_files(lake, "maintenance") == []


def test_several_expiries_are_pending_independently(lake: Lake) -> None:
    add_pending(lake, "RUN1", {"a", "both"}, NOW - timedelta(hours=20))
    add_pending(lake, "RUN2", {"b", "both"}, NOW)
    assert pending_files(lake, NOW) == {"a", "b", "both"}
    later = NOW + timedelta(hours=10)
    assert pending_files(lake, later) == {"b", "both"}
    drop_expired_records(lake, later)
    (record,) = stored_files(lake, "maintenance")
    assert record.path.startswith("maintenance/RUN2.")


def test_each_expiry_of_a_run_has_a_record_of_its_own_and_keeps_its_keys(lake: Lake) -> None:
    add_pending(lake, "RUN1", ["b", "a"], NOW)
    add_pending(lake, "RUN1", ["c"], NOW)  # a job that the scheduler repeats
    records = [msgspec.json.decode(file.read_bytes()) for file in sorted((lake.root / PENDING).glob("RUN1.*.json"))]
    times = {"released_at": "2026-08-31T12:00:00Z"}
    assert records == [{**times, "files": ["a", "b"]}, {**times, "files": ["c"]}]


def test_stored_files_have_their_size_and_time(lake: Lake) -> None:
    lake.store.put("warehouse/silver/t/data/x.parquet", b"12345")
    lake.store.put("warehouse/silver/t2/y.parquet", b"1")
    (file,) = stored_files(lake, "warehouse/silver/t")
    assert (file.path, file.size_bytes) == ("warehouse/silver/t/data/x.parquet", 5)
    assert abs(file.modified_at - datetime.now(UTC)) < timedelta(minutes=5)
    assert stored_files(lake, "warehouse/gold") == []
