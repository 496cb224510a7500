"""Cached objects are read as a whole and in parts, by many threads at once."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from brewhouse.lake.object_cache import ObjectCache
from brewhouse.lake.s3 import bucket_store
from brewhouse.lake.s3_path import path_at

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
