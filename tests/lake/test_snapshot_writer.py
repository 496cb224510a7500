"""A snapshot that is interrupted at any point is resumed from its intact pages, and completed once."""

from __future__ import annotations

import asyncio
import gzip
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.lake.snapshots import LINES, URL, finish, start, write

from brewhouse.errors import BrewhouseError
from brewhouse.lake.lake import Lake
from brewhouse.lake.raw_snapshots import find, newest
from brewhouse.lake.snapshot_writer import SnapshotWriter, find_resumable


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


@pytest.fixture(params=["local", "s3"])
def any_lake(request: pytest.FixtureRequest) -> Lake:
    lake: Lake = request.getfixturevalue("lake" if request.param == "local" else "shared_lake")
    return lake


def numbers(writer: SnapshotWriter) -> list[int]:
    return [page.number for page, _ in writer.intact_pages()]


def test_an_interrupted_snapshot_is_resumed_where_it_stopped(any_lake: Lake) -> None:
    pages = [write(start(any_lake), number) for number in (1,)]
    resumed = find_resumable(any_lake, URL, 200, 1)
    assert resumed is not None
    assert resumed.is_started
    assert [(page.file, page.sha256, lines) for page, lines in resumed.intact_pages()] == [
        (pages[0].file, pages[0].sha256, LINES)
    ]
    finish(resumed, *pages, write(resumed, 2, [b"{}"]))
    assert find(any_lake, "01A").records == 3
    assert find_resumable(any_lake, URL, 200, 1) is None


def test_a_resumed_page_has_the_url_and_time_of_its_first_fetch(lake: Lake) -> None:
    writer = start(lake)
    file = writer.folder / write(writer, 7).file
    os.utime(file, (1_000_000_000, 1_000_000_000.25))
    ((page, _),) = writer.intact_pages()
    assert page.url == f"{URL}/breweries?per_page=200&page=7&sort=id:asc"
    assert page.fetched_at == "2001-09-09T01:46:40.250+00:00"
    assert (page.status, page.records) == (200, 2)


@settings(max_examples=60)
@given(data=st.data())
def test_any_changed_byte_of_a_page_is_detected(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    writer = start(Lake(tmp_path_factory.mktemp("lake")))
    file = writer.folder / write(writer, lines=[b'{"id":"a"}', b'{"id":"b"}']).file
    content = bytearray(file.read_bytes())
    position = data.draw(st.integers(10, len(content) - 1))  # the first 10 bytes are gzip's header, not content
    content[position] ^= data.draw(st.integers(1, 255))
    file.write_bytes(content)
    assert [lines for _, lines in writer.intact_pages()] in ([], [[b'{"id":"a"}', b'{"id":"b"}']])
    file.write_bytes(file.read_bytes()[:position])
    assert numbers(writer) == []


def test_foreign_files_are_not_pages_and_stay(lake: Lake) -> None:
    writer = start(lake)
    page = write(writer)
    content = (writer.folder / page.file).read_bytes()
    names = ("page-1.abcdef123456.jsonl.gz", page.file.replace("00001", "0000x"), f"{page.file}.tmp", "notes.txt")
    for name in names:
        (writer.folder / name).write_bytes(content)
    assert numbers(writer) == [1]
    finish(writer, page)
    assert sorted(file.name for file in writer.folder.iterdir()) == [
        "manifest.json",
        "notes.txt",
        page.file,
        "started.json",
    ]


def test_pages_are_read_in_the_order_of_their_numbers(lake: Lake) -> None:
    writer = start(lake)
    for number in (100_000, 2, 99_999, 10):
        write(writer, number)
    assert numbers(writer) == [2, 10, 99_999, 100_000]


def test_two_versions_of_a_page_are_both_refetched(lake: Lake) -> None:
    writer = start(lake)
    write(writer, 1)
    write(writer, 1, [b"{}"])
    write(writer, 2)
    assert numbers(writer) == [2]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"source_url":1}', b'{"source_url":"\xff"}', b"\x80"])
def test_a_damaged_start_record_is_not_resumed(lake: Lake, content: bytes) -> None:
    (start(lake, "01A").folder / "started.json").write_bytes(content)
    assert find_resumable(lake, URL, 200, 1) is None
    older = start(lake, "00Z")
    assert find_resumable(lake, URL, 200, 1) == older


@pytest.mark.parametrize(("age_hours", "max_age_hours", "found"), [(0.99, 1, True), (1.01, 1, False), (0, 0, False)])
def test_the_age_of_a_snapshot_limits_its_resumption(
    lake: Lake, age_hours: float, max_age_hours: float, *, found: bool
) -> None:
    start(lake, age_hours=age_hours)
    assert (find_resumable(lake, URL, 200, max_age_hours) is not None) == found


def test_one_of_many_processes_completes_a_snapshot(any_lake: Lake) -> None:
    writer = start(any_lake)
    page = write(writer)

    def complete(number: int) -> bool:
        try:
            finish(writer, msgspec.structs.replace(page, status=200 + number))
        except BrewhouseError:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(complete, range(8))) == 1
    snapshot = newest(any_lake)
    assert snapshot is not None
    assert [stored.file for stored in snapshot.manifest.pages] == [page.file]


def test_pages_are_written_concurrently(any_lake: Lake) -> None:
    writer = start(any_lake)
    fetched_at = datetime.now(UTC).isoformat()

    async def write_all() -> list[str]:
        pages = (
            writer.write_page(n, [b"%d" % n], url=URL, status=200, fetched_at=fetched_at) for n in (*range(1, 9), 1, 2)
        )
        return [page.file for page in await asyncio.gather(*pages)]

    names = asyncio.run(write_all())
    assert names[:2] == names[8:], "the same content has the same name, and is stored once"
    assert sorted(file.name for file in writer.folder.glob("page-*")) == sorted(set(names))
    assert [lines for _, lines in writer.intact_pages()] == [[b"%d" % number] for number in range(1, 9)]


def test_a_damaged_page_of_the_same_content_is_replaced(any_lake: Lake) -> None:
    writer = start(any_lake)
    page = write(writer)
    key = (writer.folder / page.file).relative_to(any_lake.root).as_posix()
    any_lake.store.put(key, gzip.compress(b"other\n"))
    assert numbers(writer) == []
    assert write(writer) == page
    assert numbers(writer) == [1]


def test_a_second_start_fails_even_with_other_settings(any_lake: Lake) -> None:
    writer = start(any_lake)
    other = SnapshotWriter(any_lake, "01A", msgspec.structs.replace(writer.started, per_page_rows=50))
    with pytest.raises(BrewhouseError, match=r"run 01A was already started.*Run again"):
        other.start()
    assert find_resumable(any_lake, URL, 200, 1) == writer


def test_a_page_that_cannot_be_written_is_named_with_its_cause(lake: Lake) -> None:
    writer = start(lake)
    page = write(writer)
    for name in (page.file, "started.json"):
        (writer.folder / name).unlink()
    writer.folder.rmdir()
    writer.folder.symlink_to("/dev/full")
    with pytest.raises(BrewhouseError, match=r"page-00001\.\w+\.jsonl\.gz cannot be written: .* Check the disk's"):
        write(writer)
