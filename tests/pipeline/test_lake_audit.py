"""Verify finds what is damaged in a lake, on S3 as in a folder, and changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.iceberg.parquet import spec_of, write_file
from tests.lake.snapshots import finish, start, write
from tests.s3_caches import forget

from brewhouse.iceberg.table_spec import Publication
from brewhouse.iceberg.tables import Tables
from brewhouse.lake.lake import Lake
from brewhouse.pipeline.lake_audit import verify


def fill(lake: Lake, folder: Path) -> None:
    for run in ("01A", "01B"):
        writer = start(lake, run)
        finish(writer, write(writer, 1), write(writer, 2, [b"{}"]))
    tables, spec = Tables(lake), spec_of(n="long")
    file = write_file(str(folder / "x.parquet"), {"n": "BIGINT"}, [(1,), (2,)], tables.field_ids(spec))
    data = tables.data_folder(spec.name) / "x.parquet"
    put(lake, str(data), Path(file).read_bytes())
    tables.publish([Publication(spec, (str(data),))], {"brewhouse.run": "01B"})


def problems(lake: Lake) -> dict[str, str]:
    forget()  # what was downloaded before
    return {finding.file: finding.problem for finding in verify(lake)}


@pytest.fixture(params=["local", "s3"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Lake:
    lake = Lake(tmp_path / "lake") if request.param == "local" else request.getfixturevalue("shared_lake")
    assert isinstance(lake, Lake)
    fill(lake, tmp_path)
    return lake


def put(lake: Lake, file: str, content: bytes) -> None:
    lake.store.put(file.removeprefix(f"{lake.root}/"), content)


def content_of(lake: Lake, file: str) -> bytes:
    return bytes(lake.store.get(file.removeprefix(f"{lake.root}/")).bytes())


def test_a_whole_lake_has_no_findings_and_each_step_is_reported(lake: Lake) -> None:
    steps: list[str] = []
    assert list(verify(lake, steps.append)) == []
    assert steps == [
        "raw snapshot 1 of 2",
        "raw snapshot 2 of 2",
        "table 1 of 1: silver.t",
        "views, events and lock",
    ]


def test_every_damage_is_found_and_nothing_is_repaired(lake: Lake) -> None:
    (data,) = Tables(lake).files("silver.t")
    pages = [str(file) for file in sorted(lake.bronze.glob("date=*/run=*/page-*"))]
    manifest = str(next(iter(lake.bronze.glob("date=*/run=01B/manifest.json"))))
    damaged = {data: b"PAR1", pages[0]: b"", pages[1]: content_of(lake, pages[0])}
    for file, content in damaged.items():
        put(lake, file, content)
    put(lake, manifest, content_of(lake, manifest).replace(b'"date":"2', b'"date":"3'))
    for _ in range(2):
        found = problems(lake)
        assert damaged.keys() <= found.keys()
        assert len(found) == len(damaged) + 1
        assert any(manifest in problem for problem in found.values())


def test_a_lake_that_does_not_exist_has_no_findings(tmp_path: Path) -> None:
    assert list(verify(Lake(tmp_path / "nothing"))) == []
    assert not (tmp_path / "nothing").exists()
