"""Raw snapshots: immutable, verified by checksums, published by their manifest."""

from __future__ import annotations

import gzip
import json
import zlib
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from tests.lake.snapshots import LINES, URL, finish, start, write

from brewhouse.errors import BrewhouseError
from brewhouse.lake.lake import Lake
from brewhouse.lake.raw_snapshots import complete, complete_runs, find, newest
from brewhouse.lake.snapshot_writer import SnapshotWriter, find_resumable


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def test_a_lake_without_snapshots_has_none(lake: Lake) -> None:
    assert newest(lake) is None
    assert complete(lake) == []
    with pytest.raises(BrewhouseError, match="no complete raw snapshot 01A; it has none"):
        find(lake, "01A")


def test_a_snapshot_exists_once_its_manifest_does(lake: Lake) -> None:
    writer = start(lake)
    page = write(writer)
    assert newest(lake) is None
    finish(writer, page)
    snapshot = newest(lake)
    assert snapshot is not None
    assert (snapshot.run, snapshot.manifest.date, snapshot.records) == ("01A", writer.date, 2)
    assert snapshot.files == [str(lake.root / f"bronze/breweries/date={writer.date}/run=01A" / page.file)]
    assert gzip.decompress(Path(snapshot.files[0]).read_bytes()) == b"".join(line + b"\n" for line in LINES)


def test_snapshots_are_ordered_and_found_by_run_id(lake: Lake) -> None:
    for run, age_hours in (("01B", 50.0), ("01C", 100.0), ("01A", 0.0)):
        writer = start(lake, run, age_hours=age_hours)
        finish(writer, write(writer))
    snapshot = newest(lake)
    assert snapshot is not None
    assert snapshot.run == "01C"
    assert find(lake, "01A").run == "01A"
    assert [found.run for found in complete(lake)] == complete_runs(lake) == ["01A", "01B", "01C"]
    with pytest.raises(BrewhouseError, match="it has 01A, 01B, 01C"):
        find(lake, "01D")


def test_an_unreadable_manifest_is_named(lake: Lake) -> None:
    writer = start(lake)
    finish(writer, write(writer))
    (writer.folder / "manifest.json").write_bytes(b"{")
    with pytest.raises(BrewhouseError, match=r"manifest\.json cannot be read"):
        newest(lake)


def test_any_changed_byte_of_a_manifest_is_detected(lake: Lake) -> None:
    writer = start(lake)
    finish(writer, write(writer))
    file = writer.folder / "manifest.json"
    content = file.read_bytes()
    for position in (*range(0, len(content), 40), *range(len(content) - 85, len(content))):
        file.write_bytes(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
        with pytest.raises(BrewhouseError, match=r"manifest\.json cannot be read"):
            newest(lake)


def test_a_manifest_without_a_checksum_of_earlier_versions_is_read(lake: Lake) -> None:
    writer = start(lake)
    finish(writer, write(writer))
    file = writer.folder / "manifest.json"
    manifest = json.loads(file.read_bytes())
    del manifest["sha256"]
    file.write_text(json.dumps(manifest))
    assert find(lake, "01A").records == 2


def test_pages_are_verified_byte_by_byte(lake: Lake) -> None:
    writer = start(lake)
    finish(writer, write(writer, 1), write(writer, 2, [b"{}"]))
    snapshot = find(lake, "01A")
    assert snapshot.verified_files() == snapshot.files
    page = Path(snapshot.files[1])
    content = page.read_bytes()
    damages = [b"", content[:-1], gzip.compress(b"[]\n"), None]
    damages += [content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :] for at in range(10, len(content))]
    for damage in damages:
        page.unlink(missing_ok=True) if damage is None else page.write_bytes(damage)
        if damage and damage is not damages[2]:
            with suppress(EOFError, OSError, zlib.error):
                if gzip.decompress(damage) == b"{}\n":
                    continue  # a byte of the format that changes no record
        with pytest.raises(BrewhouseError, match="a page of a raw snapshot") as raised:
            snapshot.verified_files()
        assert str(page) in raised.value.what
        assert "`brewhouse rebuild`" in raised.value.hint


def test_a_page_is_named_by_its_checksum_and_compressed_deterministically(lake: Lake) -> None:
    first, second = start(lake, "01A"), start(lake, "01B")
    pages = write(first), write(second)
    assert pages[0].file == pages[1].file == f"page-00001.{pages[0].sha256[:12]}.jsonl.gz"
    assert (first.folder / pages[0].file).read_bytes() == (second.folder / pages[1].file).read_bytes()


def test_a_refetched_page_replaces_the_earlier_one_only_at_the_end(lake: Lake) -> None:
    writer = start(lake)
    write(writer)
    later = write(writer, lines=[b"{}"])
    assert len(list(writer.folder.glob("page-*"))) == 2
    finish(writer, later)
    assert [file.name for file in writer.folder.glob("page-*")] == [later.file]


def test_writing_a_page_again_keeps_an_intact_file_and_repairs_a_damaged_one(lake: Lake) -> None:
    writer = start(lake)
    file = writer.folder / write(writer).file
    written = file.read_bytes()
    write(writer)
    assert file.read_bytes() == written
    file.write_bytes(written[:-3])
    write(writer)
    assert file.read_bytes() == written


def test_damaged_and_duplicate_pages_are_not_read(lake: Lake) -> None:
    writer = start(lake)
    pages = [write(writer, number) for number in (1, 2, 3, 4)]
    write(writer, 4, [b"{}"])
    truncated, other = writer.folder / pages[1].file, writer.folder / pages[2].file
    truncated.write_bytes(truncated.read_bytes()[:-9])
    other.write_bytes(gzip.compress(b"{}\n"))
    (writer.folder / "page-00009.partial").write_bytes(b"")
    ((page, lines),) = writer.intact_pages()
    assert (page.number, page.file, page.sha256, page.records) == (1, pages[0].file, pages[0].sha256, 2)
    assert lines == LINES


def test_an_empty_page_is_a_page(lake: Lake) -> None:
    writer = start(lake)
    page = write(writer, lines=[])
    assert [(found.sha256, lines) for found, lines in writer.intact_pages()] == [(page.sha256, [])]


def test_a_run_starts_one_snapshot(lake: Lake) -> None:
    start(lake)
    with pytest.raises(BrewhouseError, match="already started"):
        start(lake)


def test_the_newest_interrupted_snapshot_of_the_same_source_is_resumable(lake: Lake) -> None:
    finish(writer := start(lake, "01A"), write(writer))
    start(lake, "01B")
    wanted = start(lake, "01C")
    start(lake, "01D", url="http://other.test/v1")
    start(lake, "01E", size=50)
    (start(lake, "01F").folder / "started.json").write_bytes(b"{")
    assert find_resumable(lake, URL, 200, max_age_hours=1) == wanted


def test_a_snapshot_older_than_the_maximum_age_is_not_resumable(lake: Lake) -> None:
    writer = start(lake, age_hours=2)
    assert find_resumable(lake, URL, 200, max_age_hours=1) is None
    assert find_resumable(lake, URL, 200, max_age_hours=3) == writer


def test_an_interrupted_snapshot_before_a_complete_one_is_not_resumed(lake: Lake) -> None:
    start(lake, "01A")
    finish(writer := start(lake, "01B", size=50), write(writer))
    assert find_resumable(lake, URL, 200, max_age_hours=1) is None


def test_an_interrupted_snapshot_of_the_future_is_not_resumed(lake: Lake) -> None:
    start(lake, "01A", age_hours=-1)
    assert find_resumable(lake, URL, 200, max_age_hours=1) is None


def test_a_snapshot_that_another_process_completed_is_not_changed(lake: Lake) -> None:
    writer = start(lake)
    page = write(writer)
    finish(writer, page)
    with pytest.raises(BrewhouseError, match="completed by another process"):
        finish(writer, write(writer, 2))
    assert find(lake, "01A").manifest.pages == [page]
    assert Path(find(lake, "01A").files[0]).exists()


def test_a_write_error_names_the_file(lake: Lake) -> None:
    writer = start(lake)
    (lake.bronze / "date=1970-01-01").write_bytes(b"")
    blocked = SnapshotWriter(
        lake, "01Z", msgspec.structs.replace(writer.started, started_at="1970-01-01T00:00:00+00:00")
    )
    with pytest.raises(BrewhouseError, match="cannot be written") as raised:
        blocked.start()
    assert "\n" not in str(raised.value)
