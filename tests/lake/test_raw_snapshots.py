"""Raw snapshots: written once, verified by their names, there when their manifest is."""

from __future__ import annotations

import asyncio
import gzip
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from brewhouse.errors import BrewhouseError
from brewhouse.lake.lake import Lake
from brewhouse.lake.manifest import Counts, Manifest, Page, Proof
from brewhouse.lake.raw_snapshots import complete, complete_runs, find, newest
from brewhouse.lake.snapshot_writer import ResumeInfo, SnapshotWriter, find_resumable
from brewhouse.source import Meta

URL = "http://brewery.test/v1"
LINES = [b'{"id" : "a"}', '{"id":"\\u00fc \U0001f37a"}'.encode()]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def draft_of(
    lake: Lake, run: str = "01A", *, age_hours: float = 0.0, url: str = URL, size: int = 200
) -> SnapshotWriter:
    started_at = (datetime.now(UTC) - timedelta(hours=age_hours)).isoformat()
    started = ResumeInfo(
        source_url=url, per_page_rows=size, page_size_rows=size, started_at=started_at, meta_before=Meta(total=2)
    )
    draft = SnapshotWriter(lake, run, started)
    draft.start()
    return draft


def write(draft: SnapshotWriter, number: int = 1, lines: list[bytes] = LINES) -> Page:
    fetched_at = draft.started.started_at
    return asyncio.run(draft.write_page(number, lines, url=f"{URL}/breweries", status=200, fetched_at=fetched_at))


def finish(draft: SnapshotWriter, *pages: Page) -> None:
    records = sum(page.records for page in pages)
    groups = Counts(total=records, by_type={}, by_country={}, by_state={})
    draft.complete(
        Manifest(
            run=draft.run,
            date=draft.date,
            source_url=URL,
            per_page_rows=200,
            started_at=draft.started.started_at,
            finished_at=draft.started.started_at,
            code_version="0",
            meta_before=Meta(total=records),
            meta_after=Meta(total=records),
            received=groups,
            missing={},
            fields_seen={},
            drift=[],
            missing_rows=[],
            proof=Proof(records=records, distinct_ids=records, records_without_id=0, groups_compared=[], attempts=1),
            pages=list(pages),
        )
    )


def test_a_lake_without_snapshots_has_none(lake: Lake) -> None:
    assert newest(lake) is None
    assert complete(lake) == []
    with pytest.raises(BrewhouseError, match="no complete raw snapshot 01A; it has none"):
        find(lake, "01A")


def test_a_snapshot_is_there_with_its_manifest_and_not_before(lake: Lake) -> None:
    draft = draft_of(lake)
    page = write(draft)
    assert newest(lake) is None
    finish(draft, page)
    snapshot = newest(lake)
    assert snapshot is not None
    assert (snapshot.run, snapshot.date, snapshot.records) == ("01A", draft.date, 2)
    assert snapshot.files == [str(lake.root / f"bronze/breweries/date={draft.date}/run=01A" / page.file)]
    assert gzip.decompress(Path(snapshot.files[0]).read_bytes()) == b"".join(line + b"\n" for line in LINES)


def test_the_newest_is_so_by_its_run_id_and_others_are_found_by_theirs(lake: Lake) -> None:
    for run, age_hours in (("01B", 50.0), ("01C", 100.0), ("01A", 0.0)):
        draft = draft_of(lake, run, age_hours=age_hours)
        finish(draft, write(draft))
    snapshot = newest(lake)
    assert snapshot is not None
    assert snapshot.run == "01C"
    assert find(lake, "01A").run == "01A"
    assert [found.run for found in complete(lake)] == complete_runs(lake) == ["01A", "01B", "01C"]
    with pytest.raises(BrewhouseError, match="it has 01A, 01B, 01C"):
        find(lake, "01D")


def test_a_manifest_that_cannot_be_read_is_named(lake: Lake) -> None:
    draft = draft_of(lake)
    finish(draft, write(draft))
    (draft.folder / "manifest.json").write_bytes(b"{")
    with pytest.raises(BrewhouseError, match=r"manifest\.json cannot be read"):
        newest(lake)


def test_a_page_is_named_by_its_content_and_packed_alike_each_time(lake: Lake) -> None:
    first, second = draft_of(lake, "01A"), draft_of(lake, "01B")
    pages = write(first), write(second)
    assert pages[0].file == pages[1].file == f"page-00001.{pages[0].sha256[:12]}.jsonl.gz"
    assert (first.folder / pages[0].file).read_bytes() == (second.folder / pages[1].file).read_bytes()


def test_a_page_taken_again_does_not_overwrite_the_earlier_one_until_the_end(lake: Lake) -> None:
    draft = draft_of(lake)
    write(draft)
    later = write(draft, lines=[b"{}"])
    assert len(list(draft.folder.glob("page-*"))) == 2
    finish(draft, later)
    assert [file.name for file in draft.folder.glob("page-*")] == [later.file]


def test_the_same_page_again_stays_and_mends_a_damaged_file(lake: Lake) -> None:
    draft = draft_of(lake)
    file = draft.folder / write(draft).file
    written = file.read_bytes()
    write(draft)
    assert file.read_bytes() == written
    file.write_bytes(written[:-3])
    write(draft)
    assert file.read_bytes() == written


def test_only_whole_pages_are_read_back(lake: Lake) -> None:
    draft = draft_of(lake)
    pages = [write(draft, number) for number in (1, 2, 3, 4)]
    write(draft, 4, [b"{}"])
    truncated, other = draft.folder / pages[1].file, draft.folder / pages[2].file
    truncated.write_bytes(truncated.read_bytes()[:-9])
    other.write_bytes(gzip.compress(b"{}\n"))
    (draft.folder / "page-00009.partial").write_bytes(b"")
    ((page, lines),) = draft.intact_pages()
    assert (page.number, page.file, page.sha256, page.records) == (1, pages[0].file, pages[0].sha256, 2)
    assert lines == LINES


def test_an_empty_page_is_a_page(lake: Lake) -> None:
    draft = draft_of(lake)
    page = write(draft, lines=[])
    assert [(found.sha256, lines) for found, lines in draft.intact_pages()] == [(page.sha256, [])]


def test_a_run_begins_one_snapshot(lake: Lake) -> None:
    draft_of(lake)
    with pytest.raises(BrewhouseError, match="begun before"):
        draft_of(lake)


def test_the_newest_unfinished_snapshot_of_the_same_source_is_gone_on_with(lake: Lake) -> None:
    draft_of(lake, "01A")
    wanted = draft_of(lake, "01B")
    draft_of(lake, "01C", url="http://other.test/v1")
    draft_of(lake, "01D", size=50)
    finish(draft := draft_of(lake, "01E"), write(draft))
    (draft_of(lake, "01F").folder / "started.json").write_bytes(b"{")
    assert find_resumable(lake, URL, 200, within_hours=1) == wanted


def test_what_is_too_old_is_left_alone(lake: Lake) -> None:
    draft = draft_of(lake, age_hours=2)
    assert find_resumable(lake, URL, 200, within_hours=1) is None
    assert find_resumable(lake, URL, 200, within_hours=3) == draft


def test_what_another_process_completed_stays_as_it_is(lake: Lake) -> None:
    draft = draft_of(lake)
    page = write(draft)
    finish(draft, page)
    with pytest.raises(BrewhouseError, match="completed by another process"):
        finish(draft, write(draft, 2))
    assert find(lake, "01A").manifest.pages == [page]
    assert Path(find(lake, "01A").files[0]).exists()


def test_a_lake_that_cannot_be_written_is_named(lake: Lake) -> None:
    draft = draft_of(lake)
    (lake.bronze / "date=1970-01-01").write_bytes(b"")
    blocked = SnapshotWriter(
        lake, "01Z", msgspec.structs.replace(draft.started, started_at="1970-01-01T00:00:00+00:00")
    )
    with pytest.raises(BrewhouseError, match="cannot be written") as told:
        blocked.start()
    assert "\n" not in str(told.value)
