"""Extract from an API with injected faults: a published snapshot is complete and verbatim, whatever they are."""

from __future__ import annotations

import gzip
import json
import random
import tracemalloc
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.mock_api.http_server import Request, Response
from tests.mock_api.server import MockApiServer

from brewhouse.api.rate_limit import WINDOW_S
from brewhouse.api.source_errors import SourceUnavailable
from brewhouse.errors import BrewhouseError
from brewhouse.events.details import Detail, PagesFetched
from brewhouse.events.envelope import Event
from brewhouse.events.event import EventLog, Listener
from brewhouse.lake.lake import Lake
from brewhouse.lake.manifest import Manifest
from brewhouse.lake.raw_snapshots import newest
from brewhouse.lake.snapshot_writer import find_resumable
from brewhouse.mock_api.dataset import generate
from brewhouse.pipeline.extract import Extraction, SnapshotIncomplete, fetch_snapshot
from brewhouse.pipeline.page_fetcher import sample
from brewhouse.pipeline.run_context import RunContext
from brewhouse.settings import SecretUrl, Settings

ROWS = 1_050
PAGES = 6
SMALL = 430


def settings_for(api: MockApiServer, **changes: object) -> Settings:
    quick = {"retry_initial_wait_s": 0.001, "retry_wait_max_s": 0.002, "extract_retry_wait_s": 0.0, "max_attempts": 3}
    return msgspec.convert({"source_url": SecretUrl(api.url), **quick, **changes}, Settings)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def extract(
    lake: Lake,
    settings: Settings,
    run: str,
    listeners: Sequence[Listener] = (),
    *,
    rate_limit_window_s: float = WINDOW_S,
) -> Extraction:
    """Fetch a snapshot as the extract job of a run."""
    context = RunContext(lake, settings, EventLog(lake, run, listeners), ["extract"])
    return fetch_snapshot(context, rate_limit_window_s=rate_limit_window_s)


def lines_of(extraction: Extraction) -> list[bytes]:
    files = map(Path, extraction.snapshot.files)
    return [line for file in files for line in gzip.decompress(file.read_bytes()).split(b"\n")[:-1]]


def ids_of(extraction: Extraction) -> list[str]:
    return [json.loads(line)["id"] for line in lines_of(extraction)]


def served_ids(api: MockApiServer) -> list[str]:
    store = api._dataset.store
    return [store.id_of(row) for row in store.rows]


def drift_of(manifest: Manifest) -> dict[tuple[str, str], int]:
    return {(drift.name, drift.detail): drift.count for drift in manifest.drift}


def asked_pages(api: MockApiServer) -> list[int]:
    return [int(served.params["page"]) for served in api.requests if "page" in served.params]


def leave_unfinished(lake: Lake, api: MockApiServer, **changes: object) -> Path:
    """Extract all pages but the last, and fail."""
    api.inject(f"reset,page={PAGES}")
    with pytest.raises(SourceUnavailable):
        extract(lake, settings_for(api, concurrency=1, **changes), "01A")
    api.inject()
    api.forget()
    writer = find_resumable(lake, api.url, 200, 1)
    assert writer is not None
    return writer.folder


# Complete and verbatim


@pytest.mark.parametrize("rows", [0, 1, 199, 200, 201, 400, ROWS])
def test_every_brewery_is_received_once_and_in_order(lake: Lake, rows: int) -> None:
    with MockApiServer(generate(rows)) as api:
        done = extract(lake, settings_for(api), "01A")
        assert ids_of(done) == served_ids(api)
    pages = max(-(-rows // 200), 1)
    assert (done.snapshot.records, done.requested_pages, done.resumed_pages) == (rows, pages, 0)
    assert newest(lake) == done.snapshot


@pytest.mark.parametrize("per_page_rows", [7, 50, 200])
def test_the_page_size_does_not_change_the_result(lake: Lake, per_page_rows: int) -> None:
    with MockApiServer(generate(SMALL)) as api:
        done = extract(lake, settings_for(api, per_page_rows=per_page_rows, concurrency=8), "01A")
        assert ids_of(done) == served_ids(api)


def test_records_are_stored_byte_for_byte(lake: Lake) -> None:
    raw = [
        b'{"id" :  "a",\t"name":"Caf\\u00e9 \\/ M\xc3\xbcnchen","longitude":12.34567890123456789}',
        '{"id":"b","name":"\U0001f37a \\ud83c\\udf7b","latitude":-0.10000000000000001,"rating":[1, {}]}'.encode(),
        b'{"id":"c","longitude":123456789012345678901234567890,"latitude":1.0E+2,"name":"a\\nb"}',
        b'{ "name": null, "id":"d" }',
    ]
    with MockApiServer(raw_records=raw) as api:
        done = extract(lake, settings_for(api), "01A")
    assert lines_of(done) == raw
    assert drift_of(done.snapshot.manifest)["unknown_field", "rating"] == 1


def test_a_record_on_several_lines_is_put_on_one(lake: Lake) -> None:
    with MockApiServer(raw_records=[b'{\r\n  "id": "a"\n}', b'{"id":"b"}']) as api:
        done = extract(lake, settings_for(api), "01A")
    assert lines_of(done) == [b'{    "id": "a" }', b'{"id":"b"}']
    assert drift_of(done.snapshot.manifest)["multiline_record", "line breaks replaced by spaces"] == 1


def test_the_manifest_describes_the_snapshot_and_its_proof(lake: Lake) -> None:
    with MockApiServer(generate(SMALL)) as api:
        manifest = extract(lake, settings_for(api), "01A").snapshot.manifest
        url = api.url
    assert (manifest.run, manifest.source_url, manifest.per_page_rows) == ("01A", url, 200)
    assert manifest.started_at[:10] == manifest.date
    assert manifest.started_at <= manifest.finished_at
    assert manifest.meta_before == manifest.meta_after
    assert manifest.meta_after.by_type == manifest.received.by_type
    assert manifest.meta_after.by_country == manifest.received.by_country
    assert manifest.meta_after.by_state == manifest.received.by_state
    assert manifest.proof.groups_compared == ["by_type", "by_country", "by_state"]
    assert (manifest.proof.records, manifest.proof.distinct_ids, manifest.proof.attempts) == (SMALL, SMALL, 1)
    assert (manifest.missing_rows, manifest.missing) == ([], {})
    assert [(page.number, page.records, page.status) for page in manifest.pages] == [
        (1, 200, 200),
        (2, 200, 200),
        (3, 30, 200),
    ]
    assert manifest.pages[1].url == f"{url}/breweries?per_page=200&page=2&sort=id:asc"
    assert manifest.fields_seen["id"] == {"string": SMALL}


def test_progress_is_reported_up_to_the_last_page(lake: Lake) -> None:
    calls: list[tuple[int, int]] = []

    def listen(detail: Detail, _: Event) -> None:
        if isinstance(detail, PagesFetched):
            calls.append((detail.done, detail.total))

    with MockApiServer(generate(ROWS)) as api:
        extract(lake, settings_for(api), "01A", [listen])
    assert calls[-1] == (PAGES, PAGES)
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)
    assert {total for _, total in calls} == {PAGES}


def test_progress_of_many_pages_is_reported_once_per_percent(lake: Lake) -> None:
    done: list[int] = []

    def listen(detail: Detail, _: Event) -> None:
        if isinstance(detail, PagesFetched):
            done.append(detail.done)

    with MockApiServer(generate(250)) as api:
        extract(lake, settings_for(api, per_page_rows=1), "01A", [listen])
    assert done == [-(-percent * 250 // 100) for percent in range(1, 101)]


def test_no_unneeded_request_is_sent(lake: Lake) -> None:
    with MockApiServer(generate(ROWS)) as api:
        extract(lake, settings_for(api, compared_pages=0), "01A")
        assert sorted(asked_pages(api)) == [1, 2, 3, 4, 5, 6, 7]
        assert len(api.requests) == 7 + 2


def test_a_rate_limited_service_rejects_no_request(lake: Lake) -> None:
    with MockApiServer(generate(ROWS), throttle=True, limit_per_minute=5, window_s=0.1) as api:
        done = extract(lake, settings_for(api, concurrency=8), "01A", rate_limit_window_s=0.1)
        assert {served.status for served in api.requests} == {200}
    assert done.snapshot.records == ROWS


# Dialects


def test_the_dialect_of_the_previous_release_is_supported(lake: Lake) -> None:
    with MockApiServer(generate(SMALL), dialect="previous") as api:
        done = extract(lake, settings_for(api), "01A")
        assert ids_of(done) == served_ids(api)
    found = drift_of(done.snapshot.manifest)
    assert found["meta_numbers_as_text", "/breweries/meta"] == 2
    assert found["meta_without_groups", "/breweries/meta"] == 2
    assert found["coordinates_as_text", "latitude"] > 100
    assert done.snapshot.manifest.proof.groups_compared == []


def test_the_dialect_of_a_clone_is_supported(lake: Lake) -> None:
    with MockApiServer(generate(SMALL), dialect="clone") as api:
        done = extract(lake, settings_for(api), "01A")
        assert ids_of(done) == served_ids(api)
    found = drift_of(done.snapshot.manifest)
    assert found["missing_field", "state"] == found["missing_field", "street"] == SMALL


@pytest.mark.parametrize("clamp", [50, 7, 199])
def test_a_silent_cap_on_the_page_size_is_detected_and_respected(lake: Lake, clamp: int) -> None:
    with MockApiServer(generate(SMALL), faults=[f"clamp={clamp}"]) as api:
        done = extract(lake, settings_for(api), "01A")
        assert ids_of(done) == served_ids(api)
    assert drift_of(done.snapshot.manifest)["per_page_clamped", f"200 to {clamp}"] == -(-SMALL // clamp)


def test_drift_is_recorded_and_fails_nothing(lake: Lake) -> None:
    odd: list[dict[str, Any]] = list(generate(5))
    odd[0]["brewery_type"] = "meadery"
    odd[1]["phone"] = 5551234
    odd[2]["rating"] = 4.5
    del odd[3]["website_url"]
    odd[4]["state"] = "Elsewhere"
    with MockApiServer(raw_records=[json.dumps(row).encode() for row in odd]) as api:
        found = drift_of(extract(lake, settings_for(api), "01A").snapshot.manifest)
    assert found == {
        ("changed_type", "phone is number"): 1,
        ("missing_field", "website_url"): 1,
        ("state_differs", "state is not state_province"): 1,
        ("unknown_brewery_type", "meadery"): 1,
        ("unknown_field", "rating"): 1,
    }


# Transient faults


@pytest.mark.parametrize(
    "fault",
    [
        "status=500",
        "status=503",
        "html",
        "reset",
        "truncated",
        "body=not_json",
        "body=object",
        "body=non_object",
        "body=empty",
    ],
)
def test_transient_faults_are_overcome(lake: Lake, fault: str) -> None:
    with MockApiServer(generate(ROWS), faults=[f"{fault},every=3,endpoint=any"]) as api:
        done = extract(lake, settings_for(api, max_attempts=20), "01A")
        assert ids_of(done) == served_ids(api)


def test_fetched_pages_are_kept_when_the_source_fails(lake: Lake) -> None:
    with MockApiServer(generate(ROWS)) as api:
        folder = leave_unfinished(lake, api)
    assert newest(lake) is None
    assert len(list(folder.glob("page-*"))) == PAGES - 1


@pytest.mark.parametrize("faults", [["status=500,endpoint=meta"], ["reset,endpoint=meta,after=1"]])
def test_counts_that_cannot_be_fetched_are_an_error(lake: Lake, faults: list[str]) -> None:
    with (
        MockApiServer(generate(SMALL), faults=faults) as api,
        pytest.raises(SourceUnavailable, match="own counts"),
    ):
        extract(lake, settings_for(api), "01A")
    assert newest(lake) is None


# Resuming an interrupted snapshot


def test_an_interrupted_snapshot_is_resumed_where_it_stopped(lake: Lake) -> None:
    with MockApiServer(generate(ROWS)) as api:
        leave_unfinished(lake, api)
        done = extract(lake, settings_for(api, compared_pages=0), "01B")
        assert asked_pages(api) == [6, 7]
        assert ids_of(done) == served_ids(api)
    assert (done.snapshot.run, done.resumed_pages, done.requested_pages) == ("01A", 5, 1)
    assert done.snapshot.manifest.fields_seen["id"] == {"string": ROWS}


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-20])


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    file.write_bytes(content)


def shorten(file: Path) -> None:
    lines = gzip.decompress(file.read_bytes()).split(b"\n")[:-2]
    replace(file, b"".join(line + b"\n" for line in lines))


def double(file: Path) -> None:
    other = file.with_name("page-00003.000000000000.jsonl.gz")
    other.write_bytes(file.read_bytes())
    replace(other, gzip.decompress(file.read_bytes()).replace(b"micro", b"nano"), keep=True)
    other.unlink()


def replace(file: Path, content: bytes, *, keep: bool = False) -> None:
    import hashlib

    checksum = hashlib.sha256(content).hexdigest()[:12]
    file.with_name(f"page-00003.{checksum}.jsonl.gz").write_bytes(gzip.compress(content))
    if not keep:
        file.unlink()


@pytest.mark.parametrize("damage", [truncate, flip, shorten, double, Path.unlink])
def test_a_damaged_page_is_refetched(lake: Lake, damage: Callable[[Path], None]) -> None:
    with MockApiServer(generate(ROWS)) as api:
        folder = leave_unfinished(lake, api)
        (file,) = folder.glob("page-00003.*")
        damage(file)
        done = extract(lake, settings_for(api, compared_pages=0), "01B")
        assert sorted(asked_pages(api)) == [3, 6, 7]
        assert ids_of(done) == served_ids(api)
    assert len(list(folder.glob("page-*"))) == PAGES


def test_a_change_of_the_source_since_the_interruption_is_detected(lake: Lake) -> None:
    with MockApiServer(generate(ROWS)) as api:
        leave_unfinished(lake, api)
        api.remove(served_ids(api)[:3])
        done = extract(lake, settings_for(api), "01B")
        assert ids_of(done) == served_ids(api)
    assert done.snapshot.manifest.proof.attempts == 2


def test_a_change_since_the_interruption_that_keeps_every_count_is_detected(lake: Lake) -> None:
    with MockApiServer(generate(ROWS)) as api:
        leave_unfinished(lake, api)
        key = served_ids(api)[250]
        api.change(key, name="Another")
        done = extract(lake, settings_for(api), "01B")
    assert [record["name"] for record in map(json.loads, lines_of(done)) if record["id"] == key] == ["Another"]
    assert (done.snapshot.run, done.snapshot.manifest.proof.attempts) == ("01A", 2)


def test_a_snapshot_of_other_settings_or_too_old_is_not_resumed(lake: Lake) -> None:
    with MockApiServer(generate(ROWS)) as api:
        folder = leave_unfinished(lake, api)
        before = sorted(folder.iterdir())
        for run, changes in (("01B", {"per_page_rows": 100}), ("01C", {"resume_max_age_hours": 0.0})):
            done = extract(lake, settings_for(api, **changes), run)
            assert (done.snapshot.run, done.resumed_pages) == (run, 0)
        assert sorted(folder.iterdir()) == before


def test_a_run_that_is_done_sends_no_request(lake: Lake) -> None:
    with MockApiServer(generate(SMALL)) as api:
        first = extract(lake, settings_for(api), "01A")
        api.forget()
        second = extract(lake, settings_for(api), "01A")
        assert api.requests == []
    assert second == Extraction(first.snapshot, 0, 0)


def test_another_run_creates_another_snapshot(lake: Lake) -> None:
    with MockApiServer(generate(SMALL)) as api:
        runs = [extract(lake, settings_for(api), run).snapshot.run for run in ("01A", "01B")]
    assert runs == ["01A", "01B"]


# A source that changes while paging


@pytest.mark.parametrize("fault", ["add=20,after=3", "remove=20,after=3", "change=5,after=3", "partial=900,after=4"])
def test_rows_that_shift_while_paging_are_detected_and_refetched(lake: Lake, fault: str) -> None:
    with MockApiServer(generate(ROWS), faults=[fault]) as api:
        done = extract(lake, settings_for(api, concurrency=1), "01A")
        assert ids_of(done) == served_ids(api)
    assert done.snapshot.manifest.proof.attempts > 1
    assert len(list(Path(done.snapshot.files[0]).parent.glob("page-*"))) == len(done.snapshot.files)


def test_a_shift_that_the_total_does_not_show_is_detected(lake: Lake) -> None:
    """As many rows are added as removed, and /meta of this dialect has only the total."""
    with MockApiServer(generate(ROWS), dialect="clone", faults=["add=20,after=3", "remove=20,after=5"]) as api:
        done = extract(lake, settings_for(api, concurrency=1, max_extract_attempts=4), "01A")
        assert ids_of(done) == served_ids(api)


def test_a_single_stale_page_is_refetched_alone(lake: Lake) -> None:
    """A stale page holds rows of its neighbour; no other page is fetched again."""
    with MockApiServer(generate(ROWS)) as api:
        folder = leave_unfinished(lake, api)
        (third,) = folder.glob("page-00003.*")
        (fourth,) = folder.glob("page-00004.*")
        replace(third, gzip.decompress(fourth.read_bytes()))
        done = extract(lake, settings_for(api, compared_pages=0), "01B")
        assert sorted(asked_pages(api)) == [3, 4, 6, 7, 7]
        assert ids_of(done) == served_ids(api)


def test_all_pages_are_refetched_when_the_counts_changed_too(lake: Lake) -> None:
    with MockApiServer(generate(ROWS)) as api:
        folder = leave_unfinished(lake, api)
        (third,) = folder.glob("page-00003.*")
        (fourth,) = folder.glob("page-00004.*")
        replace(third, gzip.decompress(fourth.read_bytes()))
        api.remove(served_ids(api)[:1])
        done = extract(lake, settings_for(api, compared_pages=0), "01B")
        assert sorted(asked_pages(api)) == [1, 2, 3, 4, 5, 6, 6, 7, 7]
        assert ids_of(done) == served_ids(api)


def test_counts_that_lag_behind_are_fetched_again(lake: Lake) -> None:
    with MockApiServer(generate(SMALL), faults=["stale_meta=2"]) as api:
        api.add(generate(3, seed=9))
        done = extract(lake, settings_for(api), "01A")
        assert ids_of(done) == served_ids(api)
    assert done.snapshot.manifest.meta_before == done.snapshot.manifest.meta_after


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("meta_total=+3", "430 different ids, but /meta says 433 (-3)"),
        ("meta_total=-3", "430 different ids, but /meta says 427 (+3)"),
        ("meta_group=by_type:micro:+2", "by_type 'micro'"),
        ("meta_group=by_country:Austria:-1", "by_country 'Austria'"),
        ("meta_group=by_state:Nowhere:+1", "by_state 'Nowhere': 0 records, but /meta says 1 (-1)"),
        ("stale_meta", "but /meta says 430 (+2)"),
    ],
)
def test_a_lasting_disagreement_is_an_incomplete_snapshot(lake: Lake, fault: str, said: str) -> None:
    with MockApiServer(generate(SMALL), faults=[fault]) as api:
        if fault == "stale_meta":
            api.add(generate(2, seed=9))
        with pytest.raises(SnapshotIncomplete) as caught:
            extract(lake, settings_for(api), "01A")
    assert said in str(caught.value)
    assert "after 3 attempt(s)" in str(caught.value)
    assert "Fetched pages are kept; nothing was published" in str(caught.value)
    assert caught.value.hint
    assert newest(lake) is None
    assert list(lake.bronze.glob("date=*/run=01A/page-*"))


@pytest.mark.parametrize("query", ["per_page=200&sort=id:asc", "per_page=200"], ids=["one page", "any rows"])
def test_endless_pages_are_an_incomplete_snapshot(lake: Lake, query: str) -> None:
    """A source that ignores the page number never returns an empty page."""
    with MockApiServer(generate(SMALL)) as api:
        service = api._service
        answer = service.answer

        def ignoring(request: Request) -> Response:
            return answer(msgspec.structs.replace(request, query=query))

        service.answer = ignoring  # type: ignore[method-assign]
        with pytest.raises(SnapshotIncomplete, match="repeat an id"):
            extract(lake, settings_for(api), "01A")


# A change that the counts do not reveal


def alike(rows: int) -> list[dict[str, Any]]:
    """Generate breweries of one type, country and state."""
    same = {"brewery_type": "micro", "country": "Austria", "state_province": "Wien", "state": "Wien"}
    return [{**row, **same} for row in generate(rows)]


HIDDEN = ["swap=5,after=3", "swap=10+650,after=4", "rename=10+650,after=5", "rename=1050,after=6", "swap=201,after=2"]


@pytest.mark.parametrize("fault", HIDDEN)
def test_a_change_that_keeps_every_count_is_detected_and_all_pages_are_refetched(lake: Lake, fault: str) -> None:
    with MockApiServer(alike(ROWS), faults=[fault]) as api:
        done = extract(lake, settings_for(api, concurrency=1), "01A")
        served = [json.loads(record) for record in api._dataset.store.bytes_of(api._dataset.store.rows)]
    assert [json.loads(line) for line in lines_of(done)] == served
    proof = done.snapshot.manifest.proof
    assert (proof.attempts, proof.compared_pages) == (2, [1, 2, 3, 4, 5, 6])


def test_without_the_comparison_such_a_change_is_not_detected(lake: Lake) -> None:
    with MockApiServer(alike(ROWS), faults=[HIDDEN[0]]) as api:
        done = extract(lake, settings_for(api, concurrency=1, compared_pages=0), "01A")
        assert ids_of(done) != served_ids(api)
    assert done.snapshot.manifest.proof.compared_pages == []


def test_pages_that_change_in_every_attempt_are_an_incomplete_snapshot(lake: Lake) -> None:
    with (
        MockApiServer(alike(SMALL), faults=["rename=10+220,after=1,times=99"]) as api,
        pytest.raises(
            SnapshotIncomplete, match=r"disagrees with the source after 3 attempt\(s\): page 1 has changed since"
        ),
    ):
        extract(lake, settings_for(api), "01A")
    assert newest(lake) is None


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100))
def test_no_mixture_of_two_versions_is_published_whenever_the_source_changes(lake: Lake, seed: int) -> None:
    chance = random.Random(seed)
    after = chance.randint(1, 14)
    rows = [str(chance.randint(1, ROWS)) for _ in range(chance.randint(1, 5))]
    fault = f"{chance.choice(['swap', 'rename'])}={'+'.join(rows)},after={after}"
    with MockApiServer(alike(ROWS)) as api:
        store = api._dataset.store
        versions = [list(map(bytes, store.bytes_of(store.rows)))]
        api.inject(fault)
        done = extract(lake, settings_for(api, concurrency=chance.choice([1, 2, 4, 8])), "01A")
        versions.append(list(map(bytes, store.bytes_of(store.rows))))
    assert lines_of(done) in versions


def test_of_many_pages_a_sample_is_compared(lake: Lake) -> None:
    with MockApiServer(generate(SMALL)) as api:
        done = extract(lake, settings_for(api, per_page_rows=10, compared_pages=5), "01A")
        asked = asked_pages(api)
    proof = done.snapshot.manifest.proof
    assert proof.compared_pages == sample(range(1, 44), 5) == [1, 2, 10, 19, 28, 37, 43]
    assert sorted(asked) == sorted([*range(1, 45), *proof.compared_pages])


@given(st.integers(0, 300), st.integers(0, 40))
def test_a_sample_has_both_ends_and_no_wide_gap(pages: int, limit: int) -> None:
    chosen = sample(range(1, pages + 1), limit)
    assert chosen == sorted(set(chosen))
    if limit == 0 or pages <= 2 * limit:
        assert chosen == (list(range(1, pages + 1)) if limit else [])
    else:
        assert {1, 2, pages} <= set(chosen)
        assert len(chosen) <= limit + 2
        assert max(b - a for a, b in pairwise(chosen)) <= -(-pages // limit)


# What the source claims


@pytest.mark.parametrize("claimed", [2_000, 30_000_000_000, 10**15])
def test_work_is_bounded_by_what_the_source_delivers_and_not_by_what_it_claims(lake: Lake, claimed: int) -> None:
    with MockApiServer(generate(3), faults=[f"meta_total={claimed}"]) as api:
        tracemalloc.start()
        with pytest.raises(SnapshotIncomplete, match=f"3 different ids, but /meta says {claimed}"):
            extract(lake, settings_for(api, concurrency=4), "01A")
        _, peak_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert len(api.requests) <= 25
    assert peak_bytes < 10_000_000


def test_a_total_that_is_wrong_once_is_overcome(lake: Lake) -> None:
    with MockApiServer(generate(SMALL), faults=["meta_total=1000000000000000,times=1"]) as api:
        done = extract(lake, settings_for(api), "01A")
        assert ids_of(done) == served_ids(api)


def test_pages_that_repeat_others_end_the_snapshot_however_many_are_claimed(lake: Lake) -> None:
    with MockApiServer(generate(SMALL), faults=["meta_total=1000000000"]) as api:
        service = api._service
        answer = service.answer

        def ignoring(request: Request) -> Response:
            is_page = "page=" in request.query
            return answer(msgspec.structs.replace(request, query="per_page=200") if is_page else request)

        service.answer = ignoring  # type: ignore[method-assign]
        with pytest.raises(SnapshotIncomplete, match="repeat an id"):
            extract(lake, settings_for(api), "01A")
        assert len(api.requests) < 100


@pytest.mark.parametrize("more", [f'"x":{"[" * 200}{"]" * 200}', f'"x":"{"y" * 1_000_000}"', '"latitude":NaN'])
def test_a_record_that_cannot_be_read_is_located_and_its_reason_named(lake: Lake, more: str) -> None:
    raw = [f'{{"id":"{key}","name":"{key}"}}'.encode() for key in "abd"]
    with MockApiServer(raw_records=raw) as api:
        answer = api._service._records

        def damaged(request: Request, rows: Any, *, public: bool = False) -> Response:  # noqa: ANN401 - any rows
            response = answer(request, rows, public=public)
            response.body = response.body.replace(b'"id":"b"', f'"id":"b",{more}'.encode())
            return response

        api._service._records = damaged  # type: ignore[method-assign]
        with pytest.raises(SnapshotIncomplete, match=r"row 2, between ids a and d.*The last failure: .*") as caught:
            extract(lake, settings_for(api), "01A")
        assert any(reason in str(caught.value) for reason in ("nested deeper than 100", "larger than", "malformed"))
        assert ids_of(extract(lake, settings_for(api, max_missing_rows=1), "01B")) == ["a", "d"]


# Rows the source cannot return


@pytest.mark.parametrize("rows", [[1], [201], [SMALL], [17, 18, 250], [200, 400], [1, 201, SMALL]])
def test_poisoned_rows_are_located_and_all_others_are_received(lake: Lake, rows: list[int]) -> None:
    with MockApiServer(generate(SMALL), faults=[f"poison={'+'.join(map(str, rows))}"]) as api:
        ids = served_ids(api)
        done = extract(lake, settings_for(api, max_missing_rows=len(rows)), "01A")
    assert ids_of(done) == [key for place, key in enumerate(ids, 1) if place not in rows]
    manifest = done.snapshot.manifest
    assert [row.position for row in manifest.missing_rows] == rows
    for row in manifest.missing_rows:
        left = [key for place, key in enumerate(ids, 1) if place < row.position and place not in rows]
        right = [key for place, key in enumerate(ids, 1) if place > row.position and place not in rows]
        assert row.before_id == (left[-1] if left else None)
        assert row.after_id == (right[0] if right else None)
    assert sum(manifest.missing["by_country"].values()) == len(rows)
    assert manifest.missing_rows[0].missing_counts == manifest.missing
    assert manifest.proof.distinct_ids + len(rows) == manifest.meta_after.total == SMALL


def test_a_poisoned_row_in_the_only_page_is_skipped(lake: Lake) -> None:
    with MockApiServer(generate(50), faults=["poison=7"]) as api:
        done = extract(lake, settings_for(api, max_missing_rows=1), "01A")
    assert (done.snapshot.records, done.snapshot.manifest.pages[0].status) == (49, 500)


def test_missing_rows_are_published_only_when_allowed_and_then_the_snapshot_is_resumed(lake: Lake) -> None:
    with MockApiServer(generate(ROWS), faults=["poison=250+251"]) as api:
        with pytest.raises(SnapshotIncomplete) as caught:
            extract(lake, settings_for(api, max_missing_rows=1), "01A")
        assert "--max-missing-rows 2" in caught.value.hint
        assert "row 250, between ids" in str(caught.value)
        assert newest(lake) is None
        api.forget()
        done = extract(lake, settings_for(api, max_missing_rows=2, compared_pages=0), "01B")
        asked = [int(served.params["page"]) for served in api.requests if served.params.get("per_page") == "200"]
        assert set(asked) == {1, 2, 7}  # the page with missing rows, and another one to check that the source is up
    assert (done.snapshot.run, done.resumed_pages, done.snapshot.records) == ("01A", 5, ROWS - 2)


def test_too_many_missing_rows_are_a_broken_source(lake: Lake) -> None:
    poison = "+".join(str(row) for row in range(201, 208))
    with (
        MockApiServer(generate(ROWS), faults=[f"poison={poison}"]) as api,
        pytest.raises(SourceUnavailable, match="more than 5 rows"),
    ):
        extract(lake, settings_for(api, missing_row_probe_limit=5, max_missing_rows=4, concurrency=1), "01A")


def test_as_many_missing_rows_as_allowed_are_probed(lake: Lake) -> None:
    with MockApiServer(generate(50), faults=["poison=7+8+30"]) as api:
        done = extract(lake, settings_for(api, missing_row_probe_limit=2, max_missing_rows=3), "01A")
    assert [row.position for row in done.snapshot.manifest.missing_rows] == [7, 8, 30]


def test_a_missing_row_of_a_refetched_page_counts_once(lake: Lake) -> None:
    with MockApiServer(generate(ROWS), faults=["poison=650"]) as api:
        api.inject("poison=650", f"reset,page={PAGES}")
        with pytest.raises(SourceUnavailable):
            extract(lake, settings_for(api, concurrency=1, missing_row_probe_limit=1), "01A")
        api.inject("poison=650")
        api.forget()
        (third,) = lake.bronze.rglob("page-00003.*")
        (fifth,) = lake.bronze.rglob("page-00005.*")
        replace(third, gzip.decompress(fifth.read_bytes()))
        done = extract(lake, settings_for(api, missing_row_probe_limit=1, max_missing_rows=1), "01B")
        asked = [int(served.params["page"]) for served in api.requests if served.params.get("per_page") == "200"]
    assert asked.count(4) == 2 * 3  # attempts, for the missing pages and for the suspect ones
    assert [row.position for row in done.snapshot.manifest.missing_rows] == [650]


def test_a_source_that_is_down_has_no_missing_rows(lake: Lake) -> None:
    with MockApiServer(generate(ROWS), faults=["status=500,after=2"]) as api, pytest.raises(SourceUnavailable):
        extract(lake, settings_for(api, max_missing_rows=20), "01A")
    assert newest(lake) is None


# Other cases


def test_a_run_started_with_other_settings_is_rejected(lake: Lake) -> None:
    with MockApiServer(generate(ROWS)) as api:
        leave_unfinished(lake, api)
        with pytest.raises(BrewhouseError, match="already started"):
            extract(lake, settings_for(api, per_page_rows=100), "01A")


def test_records_without_id_are_kept_and_counted(lake: Lake) -> None:
    raw = [b'{"id":"a"}', b'{"id":"","name":"x"}']
    with MockApiServer(raw_records=raw) as api:
        manifest = extract(lake, settings_for(api), "01A").snapshot.manifest
    assert manifest.proof.records_without_id == 1
    assert drift_of(manifest)["record_without_id", "id is missing, empty or not text"] == 1
