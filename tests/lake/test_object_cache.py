"""Cached objects are read as a whole and in parts, by many threads at once."""

from __future__ import annotations

import gc
import random
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brewhouse.lake.lake import path_at
from brewhouse.lake.object_cache import ObjectCache, _CachedFile
from brewhouse.lake.s3 import bucket_store

CONTENT = random.Random(7).randbytes(50_000)


@pytest.fixture
def cache() -> ObjectCache:
    return ObjectCache()


@pytest.fixture
def path(bucket: str) -> str:
    bucket_store(bucket.removeprefix("s3://")).put("some/object", CONTENT)
    return f"{bucket}/some/object"


@pytest.fixture
def frequent_switches() -> Iterator[None]:
    """Switch threads as often as possible."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("frequent_switches")
def test_threads_that_read_parts_of_one_open_file_do_not_interfere(cache: ObjectCache, path: str) -> None:
    with cache.open(path) as opened, ThreadPoolExecutor(8) as threads:

        def is_right(seed: int) -> bool:
            chance = random.Random(seed)
            for _ in range(500):
                start = chance.randrange(len(CONTENT))
                size = chance.randrange(1, len(CONTENT) - start + 1)
                opened.seek(start)
                if opened.read(size) != CONTENT[start : start + size]:
                    return False
            return True

        assert all(threads.map(is_right, range(8)))


def test_a_thread_continues_where_another_stopped(cache: ObjectCache, path: str) -> None:
    with cache.open(path) as opened, ThreadPoolExecutor(2) as threads:
        opened.seek(100)
        parts = [threads.submit(opened.read, 1000).result() for _ in range(5)]
        assert b"".join(parts) == CONTENT[100:5100]
        assert opened.tell() == 5100


def test_an_earlier_seek_is_void_once_another_thread_has_read(cache: ObjectCache, path: str) -> None:
    with cache.open(path) as opened, ThreadPoolExecutor(1) as other:
        opened.seek(100)
        assert other.submit(opened.read, 1000).result() == CONTENT[100:1100]
        assert opened.read(1000) == CONTENT[1100:2100]


def test_a_cached_object_is_an_ordinary_file(cache: ObjectCache, path: str) -> None:
    with cache.open(path) as opened:
        assert opened.seek(-10, 2) == len(CONTENT) - 10
        assert opened.read() == CONTENT[-10:]
        assert opened.read(5) == b""
        opened.seek(0)
        assert opened.read() == CONTENT
    with pytest.raises(ValueError, match="closed"):
        opened.read(1)


def test_a_new_object_exists_once_it_is_closed(cache: ObjectCache, bucket: str) -> None:
    target = path_at(f"{bucket}/new")
    written = cache.open(str(target), "wb")
    written.write(CONTENT)
    assert not target.exists()
    written.close()
    assert target.read_bytes() == CONTENT


def test_concurrent_readers_of_one_object_all_read_it_as_a_whole(cache: ObjectCache, bucket: str) -> None:
    content = random.Random(8).randbytes(4_000_000)  # so that writing it takes a moment
    bucket_store(bucket.removeprefix("s3://")).put("large", content)

    def read(_: int) -> bytes:
        with cache.open(f"{bucket}/large") as opened:
            return opened.read()

    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(read, range(24))) == {content}
    assert len(files_of(cache)) == 1, "no partial files are left"


def files_of(cache: ObjectCache) -> list[Path]:
    return [file for file in cache._folder.path.iterdir() if file.name != "in-use"]


def test_an_object_is_downloaded_once(cache: ObjectCache, path: str) -> None:
    cache.prefetch([path])
    path_at(path).unlink()
    with cache.open(path) as opened:
        assert opened.read() == CONTENT
    assert cache.info(path) == {"name": path, "size": len(CONTENT), "type": "file"}
    with pytest.raises(FileNotFoundError):
        ObjectCache().open(path)


def test_a_failed_download_leaves_nothing_and_is_repeated(cache: ObjectCache, bucket: str) -> None:
    url = f"{bucket}/late"
    for fail in (lambda: cache.open(url), lambda: cache.info(url), lambda: cache.prefetch([url])):
        with pytest.raises(FileNotFoundError):
            fail()
    assert files_of(cache) == []
    bucket_store(bucket.removeprefix("s3://")).put("late", b"here")
    with cache.open(url) as opened:
        assert opened.read() == b"here"


def test_a_failed_upload_leaves_neither_object_nor_cached_file(cache: ObjectCache, bucket: str) -> None:
    written = cache.open(f"{bucket}-absent/new", "wb")
    written.write(CONTENT)
    with pytest.raises(FileNotFoundError):
        written.close()
    assert files_of(cache) == []
    written.close()  # a second time does nothing


def test_an_abandoned_upload_is_not_uploaded(cache: ObjectCache, bucket: str) -> None:
    written = cache.open(f"{bucket}/abandoned", "wb")
    written.write(b"half")
    del written
    gc.collect()
    assert not path_at(f"{bucket}/abandoned").exists()
    assert files_of(cache) == []


@pytest.mark.parametrize("prefix", ["s3://", ""])
def test_an_object_is_the_same_with_and_without_the_scheme(cache: ObjectCache, path: str, prefix: str) -> None:
    with cache.open(f"{prefix}{path.removeprefix('s3://')}") as opened:
        assert opened.read(10) == CONTENT[:10]
    assert len(files_of(cache)) == 1


@pytest.mark.parametrize("name", ["a b", "ü/ü", "date=2026-08-02/run=1", "a+b&c=d"])
def test_any_key_is_written_and_read(cache: ObjectCache, bucket: str, name: str) -> None:
    with closing(cache.open(f"{bucket}/keys/{name}", "wb")) as written:
        written.write(name.encode())
        written.flush()
        assert written.tell() == len(name.encode())
    with ObjectCache().open(f"{bucket}/keys/{name}") as opened:
        assert opened.read() == name.encode()


def test_duckdb_reads_and_writes_through_the_cache(cache: ObjectCache, bucket: str) -> None:
    url = f"{bucket}/rows.parquet"
    with duckdb.connect() as connection:
        connection.register_filesystem(cache)
        connection.execute(
            f"COPY (SELECT range AS n FROM range(50000)) TO '{url}' (FORMAT parquet, ROW_GROUP_SIZE 2048)"
        )
        assert path_at(url).stat().st_size == cache.info(url)["size"]
        total = f"SELECT sum(n), count(*) FROM read_parquet('{url}')"
        with ThreadPoolExecutor(4) as threads:
            results = list(threads.map(lambda _: connection.cursor().execute(total).fetchone(), range(8)))
    assert set(results) == {(sum(range(50_000)), 50_000)}


@given(steps=st.lists(st.tuples(st.integers(0, 300), st.sampled_from([0, 1, 2]), st.integers(0, 100)), max_size=8))
def test_a_cached_file_reads_like_an_ordinary_one(steps: list[tuple[int, int, int]]) -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(CONTENT[:200])
        file.flush()
        with _CachedFile(Path(file.name)) as ours, Path(file.name).open("rb", buffering=0) as theirs:
            for offset, whence, size in steps:
                position = -min(offset, 200) if whence == 2 else offset
                assert ours.seek(position, whence) == theirs.seek(position, whence)
                assert ours.read(size) == theirs.read(size)
                assert ours.tell() == theirs.tell()
