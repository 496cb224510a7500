"""Errors of damaged files name the file, its meaning and its repair."""

from __future__ import annotations

import pytest

from brewhouse.lake.damage import MISSING, DamagedFileError

FILES = {
    "bronze/breweries/date=2026-08-02/run=A/page-00001.abcdef123456.jsonl.gz": "a page of a raw snapshot",
    "bronze/breweries/date=2026-08-02/run=A/manifest.json": "the manifest of a raw snapshot",
    "warehouse/silver/breweries/data/x.parquet": "a data file of table silver.breweries",
    "warehouse/gold/t/metadata/00001-x.metadata.json": "the metadata of table gold.t",
    "warehouse/gold/t/metadata/x-m0.avro": "a list of data files of table gold.t",
    "catalog.db": "the catalog of the tables",
    "brewhouse.duckdb": "the views for DuckDB clients",
    "events/date=2026-08-02/x.json": "a record of what runs did",
    "run.lock": "the lock of the lake",
    "notes.txt": "a file of the lake",
}


@pytest.mark.parametrize("root", ["/data/a lake", "s3://bucket/lake"])
@pytest.mark.parametrize("file", FILES)
def test_a_file_is_named_with_its_meaning_and_its_repair(root: str, file: str) -> None:
    error = DamagedFileError(f"{root}/{file}", MISSING)
    assert error.what == f"{root}/{file} cannot be used: it does not exist. It is {FILES[file]}."
    assert (error.file, error.meaning, error.reason) == (f"{root}/{file}", FILES[file], MISSING)
    assert error.hint.endswith(".")
