"""Names and texts are quoted so that DuckDB reads them back unchanged; S3 is registered only when needed."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brewhouse.lake import object_cache
from brewhouse.lake.duckdb_access import enable_s3, identifier, literal, scratch
from brewhouse.lake.s3 import bucket_store

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        yield connection


@given(text=TEXT)
def test_a_literal_is_the_text(connection: duckdb.DuckDBPyConnection, text: str) -> None:
    assert connection.execute(f"SELECT {literal(text)}").fetchone() == (text,)


@given(name=TEXT.filter(lambda text: text and "." not in text))
def test_an_identifier_is_the_name(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    described = connection.execute(f"SELECT 1 AS {identifier(name)}").description
    assert described is not None
    assert described[0][0] == name


@pytest.mark.parametrize("name", ["a.b", "a.b.c", 'say "hi".x', "select.from"])
def test_each_part_of_a_dotted_name_is_quoted(name: str) -> None:
    assert identifier(name).replace('""', "'").count('"') == 2 * len(name.split("."))


@pytest.mark.parametrize(("files", "is_registered"), [([], False), (["/data/x"], False), (["/x", "s3://b/x"], True)])
def test_s3_is_registered_only_for_files_there(files: list[str], *, is_registered: bool) -> None:
    with duckdb.connect() as connection:
        for _ in range(2):  # registering twice would be an error
            enable_s3(connection, files)
        assert connection.filesystem_is_registered("s3") == is_registered


def test_files_on_s3_are_prefetched_and_local_ones_ignored(connection: duckdb.DuckDBPyConnection, bucket: str) -> None:
    bucket_store(bucket.removeprefix("s3://")).put("pre/fetched", b"content")
    enable_s3(connection, ["/nowhere"], prefetch=True)
    enable_s3(connection, ["/nowhere", f"{bucket}/pre/fetched"], prefetch=True)
    bucket_store(bucket.removeprefix("s3://")).delete("pre/fetched")
    with object_cache.filesystem().open(f"{bucket}/pre/fetched") as opened:
        assert opened.read() == b"content"
    with pytest.raises(FileNotFoundError):
        enable_s3(connection, [f"{bucket}/pre/missing"], prefetch=True)


def test_the_shared_database_is_kept_until_an_error() -> None:
    with scratch() as one, scratch() as other:
        one.execute("CREATE OR REPLACE TABLE shared AS SELECT TIMESTAMPTZ '2026-01-01 00:00+02'::VARCHAR AS time")
        assert other.execute("FROM shared").fetchall() == [("2025-12-31 22:00:00+00",)]
    with pytest.raises(duckdb.CatalogException), scratch() as failing:
        failing.execute("FROM missing")
    with scratch() as fresh, pytest.raises(duckdb.CatalogException):
        fresh.execute("FROM shared")
