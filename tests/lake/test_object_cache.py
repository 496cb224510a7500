"""Copies of objects are read whole and in parts, by many threads at once."""

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
def copies() -> ObjectCache:
    return ObjectCache()


@pytest.fixture
def path(bucket: str) -> str:
    bucket_store(bucket.removeprefix("s3://")).put("some/object", CONTENT)
    return f"{bucket}/some/object"


@pytest.fixture
def impatient() -> Iterator[None]:
    """Let threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("impatient")
def test_threads_that_read_parts_of_one_open_file_do_not_disturb_each_other(copies: ObjectCache, path: str) -> None:
    with copies.open(path) as opened, ThreadPoolExecutor(8) as threads:

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


def test_threads_may_go_on_where_another_stopped(copies: ObjectCache, path: str) -> None:
    with copies.open(path) as opened, ThreadPoolExecutor(2) as threads:
        opened.seek(100)
        parts = [threads.submit(opened.read, 1000).result() for _ in range(5)]
        assert b"".join(parts) == CONTENT[100:5100]
        assert opened.tell() == 5100


def test_who_sought_reads_on_where_another_has_read_since(copies: ObjectCache, path: str) -> None:
    with copies.open(path) as opened, ThreadPoolExecutor(1) as other:
        opened.seek(100)
        assert other.submit(opened.read, 1000).result() == CONTENT[100:1100]
        assert opened.read(1000) == CONTENT[1100:2100]


def test_a_copy_is_a_file_like_any_other(copies: ObjectCache, path: str) -> None:
    with copies.open(path) as opened:
        assert opened.seek(-10, 2) == len(CONTENT) - 10
        assert opened.read() == CONTENT[-10:]
        assert opened.read(5) == b""
        opened.seek(0)
        assert opened.read() == CONTENT
    with pytest.raises(ValueError, match="closed"):
        opened.read(1)


def test_what_is_written_is_there_once_it_is_closed(copies: ObjectCache, bucket: str) -> None:
    target = path_at(f"{bucket}/new")
    written = copies.open(str(target), "wb")
    written.write(CONTENT)
    assert not target.exists()
    written.close()
    assert target.read_bytes() == CONTENT
