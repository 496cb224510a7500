"""Extract against a stand-in that misbehaves: every promise about completeness, one by one."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from brewhouse.demo.dataset import generate
from brewhouse.demo.stand_in import StandIn
from brewhouse.ids import new_id
from brewhouse.jobs.extract import Extraction, SnapshotIncomplete, extract
from brewhouse.lake.lake import Lake
from brewhouse.lake.snapshots import newest, unfinished
from brewhouse.settings import Settings, load
from brewhouse.source.client import SourceUnavailable

ROWS = 1050  # five full pages and a short one
Run = Callable[..., Extraction]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def settings_for(url: str, **changes: object) -> Settings:
    quick = {"retry_wait_s": 0.0, "retry_wait_max_s": 0.01, "retake_wait_s": 0.0, "timeout_s": 5.0, "max_tries": 3}
    return load({"source_url": url, **quick, **changes}, environ={})


def take(lake: Lake, stand_in: StandIn, **changes: object) -> Extraction:
    return extract(lake, settings_for(stand_in.url, **changes), new_id(), lambda *_: None, window_s=0.5)


def lines_of(extraction: Extraction) -> list[bytes]:
    return [line for file in extraction.snapshot.files for line in gzip.open(file).read().splitlines()]


def ids_of(extraction: Extraction) -> list[str]:
    return [json.loads(line)["id"] for line in lines_of(extraction)]


def list_requests(stand_in: StandIn) -> list[str]:
    return [served.query for served in stand_in.requests if served.path.endswith("/breweries")]


def test_takes_every_brewery_once_in_order_and_proves_it(lake: Lake) -> None:
    with StandIn(generate(ROWS)) as stand_in:
        done = take(lake, stand_in)
        asked = list_requests(stand_in)
    assert ids_of(done) == sorted(str(record["id"]) for record in generate(ROWS))
    proof = done.snapshot.manifest.proof
    assert (proof.records, proof.distinct_ids, proof.takes) == (ROWS, ROWS, 1)
    assert proof.groups_compared == ["by_type", "by_country", "by_state"]
    assert len(asked) == 7  # six pages, and the check that the seventh is empty
    assert all("per_page=200" in query and "sort=id" in query for query in asked)


@pytest.mark.parametrize("rows", [0, 1, 199, 200, 201, 400])
def test_takes_datasets_of_every_size_around_a_page(lake: Lake, rows: int) -> None:
    with StandIn(generate(rows)) as stand_in:
        done = take(lake, stand_in)
    assert done.snapshot.records == rows == len(lines_of(done))


def test_keeps_every_record_byte_for_byte(lake: Lake) -> None:
    records = [
        b'{ "id" :\t"00000000-0000-4000-8000-000000000001" , "name":"\\u00fc \\/ \\ud83c\\udf7a" }',
        '{"id":"00000000-0000-4000-8000-000000000002","name":"Bräu 🍺","longitude":-97.12345678901234567}'.encode(),
        b'{"id":"00000000-0000-4000-8000-000000000003","name":"x","unknown":{"a":[1, 2 ,3]},"latitude":1.0e1}',
    ]
    with StandIn(raw_records=records) as stand_in:
        done = take(lake, stand_in)
    assert lines_of(done) == records


def test_folds_line_breaks_between_tokens_and_says_so(lake: Lake) -> None:
    record = b'{"id":"00000000-0000-4000-8000-000000000001",\n"name":"x"}'
    with StandIn(raw_records=[record]) as stand_in:
        done = take(lake, stand_in)
    assert lines_of(done) == [record.replace(b"\n", b" ")]
    assert "multiline_record" in {drift.name for drift in done.snapshot.manifest.drift}


@pytest.mark.parametrize(
    "fault",
    [
        "status=503,page=3,times=2",
        "status=500,endpoint=meta,times=2",
        "html,page=2,times=1",
        "reset,page=1,times=2",
        "truncated,page=4,times=2",
        "body=not_json,page=2,times=2",
        "body=object,page=2,times=2",
        "body=non_object,page=2,times=2",
        "body=empty,page=2,times=2",
        "slow_s=0.1,page=2",
        "status=429,retry_after_s=0,page=2,times=5",
        "status=503,every=4,times=3",
    ],
)
def test_gets_over_a_passing_fault(lake: Lake, fault: str) -> None:
    with StandIn(generate(ROWS), faults=[fault]) as stand_in:
        done = take(lake, stand_in, max_tries=4)
    assert done.snapshot.records == ROWS


def test_gives_up_on_a_lasting_fault_with_url_page_answer_and_tries(lake: Lake) -> None:
    with StandIn(generate(ROWS), faults=["status=503"]) as stand_in, pytest.raises(SourceUnavailable) as error:
        take(lake, stand_in)
    message = str(error.value)
    assert "/v1/breweries?per_page=200&page=1" in message
    assert "status 503" in message
    assert newest(lake) is None


@pytest.mark.parametrize("status", [404, 422])
def test_does_not_try_again_what_cannot_get_better(lake: Lake, status: int) -> None:
    with StandIn(generate(ROWS), faults=[f"status={status},page=1"]) as stand_in:
        with pytest.raises(SourceUnavailable, match=f"status {status}"):
            take(lake, stand_in)
        assert len(list_requests(stand_in)) == 1


def test_a_refused_connection_is_one_clear_error(lake: Lake) -> None:
    with StandIn(generate(1)) as stand_in:
        url = stand_in.url
    with pytest.raises(SourceUnavailable, match="ConnectError"):
        extract(lake, settings_for(url), new_id(), lambda *_: None)


def test_an_answer_beyond_all_size_is_refused(lake: Lake) -> None:
    with StandIn(generate(ROWS)) as stand_in, pytest.raises(SourceUnavailable, match="more than 1000 bytes"):
        take(lake, stand_in, max_body_bytes=1000)


@pytest.mark.parametrize("dialect", ["previous", "clone"])
def test_understands_older_dialects(lake: Lake, dialect: str) -> None:
    with StandIn(generate(ROWS), dialect=dialect) as stand_in:
        done = take(lake, stand_in)
    assert done.snapshot.records == ROWS
    names = {drift.name for drift in done.snapshot.manifest.drift}
    assert "meta_without_groups" in names
    assert done.snapshot.manifest.proof.groups_compared == []
    assert ("missing_field" in names) == (dialect == "clone")


def test_finds_out_that_pages_are_shorter_than_asked(lake: Lake) -> None:
    with StandIn(generate(ROWS), faults=["clamp=100"]) as stand_in:
        done = take(lake, stand_in)
    assert done.snapshot.records == ROWS
    assert "per_page_clamped" in {drift.name for drift in done.snapshot.manifest.drift}


@pytest.mark.parametrize("shift", ["add=20,after=3", "remove=20,after=3", "change=20,after=3"])
def test_notices_rows_that_shift_while_paging_and_takes_them_again(lake: Lake, shift: str) -> None:
    with StandIn(generate(ROWS), faults=[shift]) as stand_in:
        done = take(lake, stand_in, concurrency=1, max_takes=4)
        ids = ids_of(done)
        assert len(ids) == len(set(ids)) == len(stand_in)
    assert done.snapshot.manifest.proof.takes > 1


def test_a_stale_meta_is_waited_out(lake: Lake) -> None:
    with StandIn(generate(ROWS), faults=["stale_meta=3"]) as stand_in:
        stand_in.add(list(generate(ROWS + 10, seed=2))[:10])
        done = take(lake, stand_in, max_takes=5)
        assert done.snapshot.records == len(stand_in)


@pytest.mark.parametrize("lie", ["meta_total=+3", "meta_total=-3", "meta_group=by_type:micro:+3"])
def test_never_publishes_what_disagrees_with_the_source(lake: Lake, lie: str) -> None:
    with StandIn(generate(ROWS), faults=[lie]) as stand_in, pytest.raises(SnapshotIncomplete) as error:
        take(lake, stand_in)
    assert "/meta said" in str(error.value)
    assert newest(lake) is None
    assert list(unfinished(lake)[0].read_pages())  # what was taken is kept


def test_could_not_check_counts_as_failed(lake: Lake) -> None:
    faults = ["status=500,endpoint=meta,after=1"]
    with StandIn(generate(ROWS), faults=faults) as stand_in, pytest.raises(SourceUnavailable, match="meta"):
        take(lake, stand_in)
    assert newest(lake) is None


@pytest.mark.parametrize("positions", ["1", "1050", "437", "399+400+401"])
def test_takes_everything_but_the_rows_that_poison_their_pages(lake: Lake, positions: str) -> None:
    wanted = [int(position) for position in positions.split("+")]
    ids = sorted(str(record["id"]) for record in generate(ROWS))
    with StandIn(generate(ROWS), faults=[f"poison={positions}"]) as stand_in:
        done = take(lake, stand_in, accept_holes=3)
    holes = done.snapshot.manifest.holes
    assert [hole.position for hole in holes] == wanted
    assert ids_of(done) == [key for number, key in enumerate(ids, start=1) if number not in wanted]
    first = wanted[0]
    assert holes[0].before_id == (ids[first - 2] if first > 1 else None)
    assert sum(holes[0].lacking["by_type"].values()) == len(wanted)


def test_by_default_a_snapshot_with_a_hole_is_not_complete(lake: Lake) -> None:
    with StandIn(generate(ROWS), faults=["poison=437"]) as stand_in:
        with pytest.raises(SnapshotIncomplete, match="--accept-holes 1"):
            take(lake, stand_in)
        assert newest(lake) is None
        stand_in.misbehave()
        assert take(lake, stand_in).snapshot.records == ROWS


def test_too_many_failing_rows_mean_a_broken_source(lake: Lake) -> None:
    poison = "+".join(str(position) for position in range(201, 212))
    with StandIn(generate(ROWS), faults=[f"poison={poison}"]) as stand_in, pytest.raises(SourceUnavailable):
        take(lake, stand_in, accept_holes=50, max_holes=10)


def test_goes_on_with_an_interrupted_snapshot_and_asks_only_for_what_is_missing(lake: Lake) -> None:
    with StandIn(generate(ROWS), faults=["status=422,page=5"]) as stand_in:
        with pytest.raises(SourceUnavailable):
            take(lake, stand_in, concurrency=1)
        stand_in.misbehave()
        stand_in.forget()
        done = take(lake, stand_in)
        assert {query.split("page=")[2].split("&")[0] for query in list_requests(stand_in)} == {"5", "6", "7"}
    assert done.resumed_pages == 4
    assert done.snapshot.records == ROWS


@pytest.mark.parametrize("damage", [b"", b"no gzip", gzip.compress(b'{"id":"x"}\n')])
def test_a_page_whose_checksum_does_not_match_is_taken_again(lake: Lake, damage: bytes) -> None:
    with StandIn(generate(ROWS), faults=["status=422,page=5"]) as stand_in:
        with pytest.raises(SourceUnavailable):
            take(lake, stand_in, concurrency=1)
        page = next(lake.bronze.glob("*/*/page-00002.*"))
        page.write_bytes(damage)
        stand_in.misbehave()
        done = take(lake, stand_in)
    assert done.resumed_pages == 3
    assert ids_of(done) == sorted(str(record["id"]) for record in generate(ROWS))


def test_an_old_interrupted_snapshot_is_left_alone(lake: Lake) -> None:
    with StandIn(generate(ROWS), faults=["status=422,page=5"]) as stand_in:
        with pytest.raises(SourceUnavailable):
            take(lake, stand_in)
        stand_in.misbehave()
        assert take(lake, stand_in, resume_within_hours=0).resumed_pages == 0


def test_is_never_refused_by_a_throttle_it_was_told_of(lake: Lake) -> None:
    with StandIn(generate(ROWS), throttle=True, limit_per_minute=5, window_s=0.5) as stand_in:
        done = take(lake, stand_in)
        assert 429 not in {served.status for served in stand_in.requests}
    assert done.snapshot.records == ROWS


def test_names_schema_drift_and_goes_on(lake: Lake) -> None:
    record = b'{"id":"00000000-0000-4000-8000-00000000000%d","name":%s,"brewery_type":"%s","vats":3}'
    with StandIn(raw_records=[record % (1, b"5", b"micro"), record % (2, b'"x"', b"meadery")]) as stand_in:
        manifest = take(lake, stand_in).snapshot.manifest
    names = {drift.name for drift in manifest.drift}
    assert {"unknown_field", "missing_field", "changed_type", "unknown_brewery_type"} <= names
    assert all(drift.example for drift in manifest.drift if drift.name != "meta_without_groups")
    assert manifest.fields_seen["name"] == {"number": 1, "string": 1}
