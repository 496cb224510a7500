"""Manifests: their keys on disk never change, unknown fields are ignored, damage is reported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.lake.snapshots import finish, start, write

from brewhouse.errors import BrewhouseError
from brewhouse.lake.lake import Lake
from brewhouse.lake.manifest import Counts, Manifest, MissingRow, Page, Proof
from brewhouse.lake.raw_snapshots import complete, find, newest
from brewhouse.source import Meta, SchemaDrift

WRITTEN: dict[str, Any] = {
    "run": "01A",
    "date": "2026-08-02",
    "source_url": "http://brewery.test/v1",
    "per_page_rows": 200,
    "started_at": "2026-08-02T10:00:00+00:00",
    "finished_at": "2026-08-02T10:01:00+00:00",
    "code_version": "0.0.1",
    "meta_before": {"total": 2, "by_type": {"micro": 2}, "by_country": None, "by_state": None},
    "meta_after": {"total": 2, "by_type": None, "by_country": None, "by_state": None},
    "received": {"total": 1, "by_type": {"micro": 1}, "by_country": {}, "by_state": {}},
    "missing": {"by_type": {"micro": 1}},
    "fields_seen": {"id": {"string": 1}},
    "drift": [{"name": "unknown_field", "detail": "abv", "count": 1, "example": "{}"}],
    "holes": [{"position": 2, "before_id": "a", "after_id": None, "lacking": {"by_type": {"micro": 1}}}],
    "proof": {"records": 1, "distinct_ids": 1, "records_without_id": 0, "groups_compared": ["total"], "takes": 2},
    "pages": [
        {
            "number": 1,
            "file": "page-00001.abc.jsonl.gz",
            "url": "http://brewery.test/v1/breweries",
            "status": 200,
            "taken_at": "2026-08-02T10:00:30+00:00",
            "records": 1,
            "sha256": "abc",
        }
    ],
}
"""A manifest as it has always been written."""


def decoded(content: object) -> Manifest:
    return msgspec.json.decode(msgspec.json.encode(content), type=Manifest)


def test_a_manifest_on_disk_has_the_keys_it_always_had() -> None:
    manifest = decoded(WRITTEN)
    assert manifest.missing_rows == [
        MissingRow(position=2, before_id="a", after_id=None, missing_counts={"by_type": {"micro": 1}})
    ]
    assert (manifest.proof.attempts, manifest.pages[0].fetched_at) == (2, "2026-08-02T10:00:30+00:00")
    assert (manifest.meta_before, manifest.drift) == (
        Meta(total=2, by_type={"micro": 2}),
        [SchemaDrift("unknown_field", "abv", 1, "{}")],
    )
    assert msgspec.json.decode(msgspec.json.encode(manifest)) == WRITTEN


def test_fields_of_later_versions_are_ignored() -> None:
    later = {
        **WRITTEN,
        "new": 1,
        "proof": {**WRITTEN["proof"], "new": [1]},
        "pages": [{**WRITTEN["pages"][0], "x": {}}],
    }
    assert decoded(later) == decoded(WRITTEN)


@pytest.mark.parametrize("name", sorted(WRITTEN))
def test_a_missing_field_is_named(name: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=f"`{name}`"):
        decoded({key: value for key, value in WRITTEN.items() if key != name})


COUNTS = st.dictionaries(st.text(max_size=5), st.integers(0, 2**53), max_size=3)
GROUPS = st.dictionaries(st.text(max_size=5), COUNTS, max_size=2)
STRUCTS = st.one_of(
    st.builds(Counts, total=st.integers(0, 2**53), by_type=COUNTS, by_country=COUNTS, by_state=COUNTS),
    st.builds(MissingRow, missing_counts=GROUPS),
    st.builds(Proof),
    st.builds(Page),
)


@given(part=STRUCTS)
def test_every_part_survives_a_round_trip(part: msgspec.Struct) -> None:
    assert msgspec.json.decode(msgspec.json.encode(part), type=type(part)) == part


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake(tmp_path)
    writer = start(lake, "01A")
    finish(writer, write(writer))
    return lake


def manifest_of(lake: Lake) -> Path:
    (file,) = lake.bronze.rglob("manifest.json")
    return file


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-1],
        lambda content: content[: len(content) // 2],
        lambda content: b"\0" * len(content),
        lambda content: content.replace(b"01A", b"\xff\xfe\xfd"),
        lambda content: content.replace(b'"records"', b'"rekords"'),
        lambda content: content.replace(b'"pages":[', b'"pages":[null,'),
    ],
)
def test_a_damaged_manifest_is_named_with_the_next_step(lake: Lake, damage: Any) -> None:  # noqa: ANN401
    file = manifest_of(lake)
    file.write_bytes(damage(file.read_bytes()))
    for read in (newest, complete, lambda lake: find(lake, "01A")):
        with pytest.raises(BrewhouseError, match=r"manifest\.json cannot be read: .* Restore it, or move its folder"):
            read(lake)


def test_a_snapshot_whose_manifest_was_lost_by_a_power_failure_is_not_complete(lake: Lake) -> None:
    manifest_of(lake).write_bytes(b"")
    assert (newest(lake), complete(lake)) == (None, [])
    with pytest.raises(BrewhouseError, match="has no complete raw snapshot 01A; it has none"):
        find(lake, "01A")


def test_the_snapshots_of_a_lake_are_found_wherever_their_date_folder_is(lake: Lake) -> None:
    folder = manifest_of(lake).parent
    folder.parent.rename(folder.parent.with_name("date=1999-01-01"))
    assert find(lake, "01A").run == "01A"
    (lake.bronze / "stray.json").write_bytes(b"{")
    (lake.bronze / "date=1999-01-01" / "run=01B").mkdir()
    assert [snapshot.run for snapshot in complete(lake)] == ["01A"]
