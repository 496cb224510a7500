"""Events: their envelope, their files, the listeners of a run, and reading each file once."""

from __future__ import annotations

import json
import os
import threading
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.events.any_events import AnyEventLog

from brewhouse.events import event as event_module
from brewhouse.events.details import (
    Detail,
    JobEnded,
    JobStarted,
    ModelStarted,
    NotificationFailed,
    PagesFetched,
    RunEnded,
    RunStarted,
)
from brewhouse.events.envelope import DRIFT, JOB, RUN, Event
from brewhouse.events.event import EventReader, archive_events, parse_events, read_events, read_present
from brewhouse.ids import id_at
from brewhouse.lake.lake import Lake, read_many

FAILED = JobEnded(job_name="extract", state="FAILED", severity="ERROR", message="no source", seconds=1.0)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


def block(lake: Lake) -> None:
    """Make it impossible to write events."""
    (lake.root / "events").write_bytes(b"")


def on_day(lake: Lake, day: date, *names: str) -> list[Event]:
    """Write an event per name into the folder of a day."""
    folder = lake.events / f"date={day}"
    folder.mkdir(parents=True, exist_ok=True)
    moment = datetime(day.year, day.month, day.day, tzinfo=UTC)
    events = []
    for name in names:
        event = Event(id=id_at(moment, name.encode()), detail_type=RUN, time=moment.isoformat(), detail={"name": name})
        (folder / f"{event.id}.json").write_text(
            json.dumps(
                {"id": event.id, "detail-type": RUN, "time": event.time, "detail": event.detail, "source": "brewhouse"}
            )
        )
        events.append(event)
    return events


def test_an_event_has_the_envelope_of_eventbridge_and_a_file_of_its_own(lake: Lake) -> None:
    event = AnyEventLog(lake, "R1").write(JOB, {"jobName": "extract"})
    (file,) = lake.root.glob("events/date=*/*.json")
    assert json.loads(file.read_bytes()) == {
        "version": "0",
        "id": event.id,
        "detail-type": JOB,
        "source": "brewhouse",
        "time": event.time,
        "detail": {
            "runId": "R1",
            "jobName": "extract",
            "jobRunId": "extract-R1",
            "state": "RUNNING",
            "severity": "INFO",
            "message": "",
        },
    }
    assert file.name == f"{event.id}.json"
    assert file.parent.name == f"date={datetime.fromisoformat(event.time).date()}"


def test_a_typed_event_is_written_like_an_untyped_one_of_the_same_fields(lake: Lake) -> None:
    log = AnyEventLog(lake, "R1")
    typed = log.emit(JobStarted(job_name="extract", message="extract starts"))
    untyped = log.write(JOB, {"jobName": "extract", "message": "extract starts"})
    assert (typed.detail_type, typed.detail) == (untyped.detail_type, untyped.detail)


def test_facts_are_in_every_event_of_a_run(lake: Lake) -> None:
    log = AnyEventLog(lake, "R1", facts={"workflowRunId": "wr_1"})
    log.emit(JobStarted(job_name="extract"))
    log.write(DRIFT, {"name": "x"})
    assert [event.detail["workflowRunId"] for event in read_events(lake)] == ["wr_1", "wr_1"]


def test_the_job_run_id_of_an_external_scheduler_is_kept(lake: Lake) -> None:
    event = AnyEventLog(lake, "R1").emit(JobStarted(job_name="extract", job_run_id="jr_1"))
    assert event.detail["jobRunId"] == "jr_1"


def test_events_are_read_in_the_order_of_their_writing(lake: Lake) -> None:
    log = AnyEventLog(lake, "R1")
    written = [log.write(DRIFT, {"name": str(number)}) for number in range(20)]
    assert read_events(lake) == written


def test_an_event_is_later_than_those_of_a_clock_that_was_set_back(lake: Lake) -> None:
    (future,) = on_day(lake, date(2062, 5, 14), "future")
    log = AnyEventLog(lake, "")
    written = [log.write(RUN, {"name": "now"}) for _ in range(2)]
    assert [event.id for event in read_events(lake)] == [future.id, *(event.id for event in written)]
    assert written[0].time < future.time


def test_two_logs_behind_a_clock_that_was_set_back_lose_no_event(lake: Lake) -> None:
    on_day(lake, date(2062, 5, 14), "future")
    logs = [AnyEventLog(lake, ""), AnyEventLog(lake, "")]
    written = [log.write(RUN, {"name": str(number)}) for number in range(3) for log in logs]
    assert sorted(read_events(lake)[1:], key=lambda event: event.id) == sorted(written, key=lambda event: event.id)


def test_the_clock_of_one_lake_does_not_change_that_of_another(lake: Lake, tmp_path: Path) -> None:
    (future,) = on_day(lake, date(2062, 5, 14), "future")
    AnyEventLog(lake, "").write(RUN, {"name": "now"})
    assert AnyEventLog(Lake(tmp_path / "other"), "").write(RUN, {"name": "now"}).id < future.id


def test_concurrent_writers_lose_no_event(lake: Lake) -> None:
    def write(run: str) -> None:
        log = AnyEventLog(lake, run)
        for number in range(20):
            log.write(DRIFT, {"number": number})

    threads = [threading.Thread(target=write, args=(f"R{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    events = read_events(lake)
    assert len({event.id for event in events}) == 80
    for run in range(4):
        assert [event.detail["number"] for event in events if event.run == f"R{run}"] == list(range(20))


def test_a_lake_without_events_has_none(lake: Lake) -> None:
    assert read_events(lake) == []


def test_an_event_is_never_overwritten(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    from obstore.exceptions import AlreadyExistsError

    monkeypatch.setattr(event_module, "new_id", lambda: "SAME")
    log = AnyEventLog(lake, "R1")
    first = log.write(RUN, {"state": "RUNNING"})
    with pytest.raises(AlreadyExistsError):
        log.write(RUN, {"state": "FAILED"})
    assert read_events(lake) == [first]


def test_listeners_receive_each_event_after_it_is_written_in_their_order(lake: Lake) -> None:
    received: list[tuple[str, str, int]] = []

    def listener(name: str) -> event_module.Listener:
        return lambda detail, _: received.append((name, type(detail).__name__, len(read_events(lake))))

    log = AnyEventLog(lake, "R1", [listener("first"), listener("second")])
    log.emit(RunStarted(workflow="breweries", jobs=["extract"]))
    log.emit(RunEnded(workflow="breweries", state="SUCCEEDED", seconds=1.0))
    assert received == [
        ("first", "RunStarted", 1),
        ("second", "RunStarted", 1),
        ("first", "RunEnded", 2),
        ("second", "RunEnded", 2),
    ]


@pytest.mark.parametrize("progress", [PagesFetched(done=1, total=2), ModelStarted(model="silver.breweries")])
def test_progress_reaches_listeners_and_is_not_written(lake: Lake, progress: Detail) -> None:
    received: list[Detail] = []
    AnyEventLog(lake, "R1", [lambda detail, _: received.append(detail)]).emit(progress)
    assert received == [progress]
    assert read_events(lake) == []


def test_listeners_receive_a_failure_that_cannot_be_written(lake: Lake) -> None:
    block(lake)
    received: list[Detail] = []
    with pytest.raises(Exception, match="events"):
        AnyEventLog(lake, "R1", [lambda detail, _: received.append(detail)]).emit(FAILED)
    assert received == [FAILED]


def test_listeners_do_not_receive_a_success_that_cannot_be_written(lake: Lake) -> None:
    block(lake)
    received: list[Detail] = []
    with pytest.raises(Exception, match="events"):
        AnyEventLog(lake, "R1", [lambda detail, _: received.append(detail)]).emit(
            RunEnded(workflow="breweries", state="SUCCEEDED", seconds=1.0)
        )
    assert received == []


@pytest.mark.parametrize(
    ("severity", "level"), [("INFO", "INFO"), ("WARN", "WARN"), ("ERROR", "ERROR"), ("LOUD", "INFO"), (None, "INFO")]
)
def test_an_unknown_severity_counts_as_information(severity: str | None, level: str) -> None:
    assert Event(id="I", detail_type=RUN, time="", detail={"severity": severity}).level == level


def test_written_events_are_flushed_to_the_disk_with_their_folders(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[Path] = []
    fsync = os.fsync

    def record(descriptor: int) -> None:
        flushed.append(Path(f"/proc/self/fd/{descriptor}").resolve())
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    log = AnyEventLog(lake, "RUN")
    for _ in range(2):
        log.write("Type", {})
    assert flushed == []
    log.sync()
    (day,) = lake.events.glob("date=*")
    assert set(flushed) == {lake.root, lake.events, day, *day.iterdir()}
    flushed.clear()
    log.sync()
    assert flushed == [], "each event is flushed once"


@pytest.mark.parametrize(("content", "reason"), [(b"", "it is empty"), (b'{"id":1}\n{', "2 of 2 lines are not events")])
def test_a_damaged_file_is_reported_once(
    lake: Lake, capsys: pytest.CaptureFixture[str], content: bytes, reason: str
) -> None:
    AnyEventLog(lake, "RUN").write("Type", {})
    file = next(lake.events.glob("date=*/*.json")).with_name("damaged.json")
    file.write_bytes(content)
    reader = EventReader(lake)
    for _ in range(2):
        assert len(reader.read()) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"brewhouse: {file} cannot be used: {reason}. It is a record of what runs did.")


def test_content_that_is_not_an_event_is_skipped(lake: Lake) -> None:
    event = AnyEventLog(lake, "R1").write(RUN, {})
    day = next(lake.root.glob("events/date=*"))
    for number, content in enumerate((b"", b"\xff\xfe", b"[1, 2]", b'{"id": "x"', b'{"id": 1, "detail": {}}')):
        (day / f"broken-{number}.json").write_bytes(content)
    assert read_events(lake) == [event]


@given(st.lists(st.binary(max_size=40)))
def test_any_content_can_be_parsed(lines: list[bytes]) -> None:
    assert parse_events(b"\n".join(lines)) == []


def test_a_file_may_hold_an_event_per_line() -> None:
    lines = [
        json.dumps({"id": name, "detail-type": RUN, "time": "", "detail": {}}).encode() for name in ("b", "a", "b")
    ]
    assert [event.id for event in parse_events(b"\n".join(lines))] == ["b", "a", "b"]


def test_files_that_were_moved_meanwhile_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "1.json").write_text(json.dumps({"id": "A", "detail-type": RUN, "time": "", "detail": {}}))
    files = [tmp_path / "1.json", tmp_path / "moved.json"]
    assert [(file, [event.id for event in events]) for file, events in read_present(files)] == [(files[0], ["A"])]


def test_reading_starts_at_a_day(lake: Lake) -> None:
    on_day(lake, date(2026, 8, 1), "old")
    new = on_day(lake, date(2026, 8, 2), "new")
    assert read_events(lake, date(2026, 8, 2)) == new
    assert [event.detail["name"] for event in read_events(lake, date(2026, 8, 1))] == ["old", "new"]
    assert read_events(lake, date(2026, 8, 3)) == []


def test_a_reader_reads_each_file_once(lake: Lake) -> None:
    first, second = on_day(lake, date(2026, 8, 2), "first", "second")
    reader = EventReader(lake)
    both = reader.read()
    for file in lake.events.rglob("*.json"):
        file.write_bytes(b"not an event any more")
    assert reader.read() == both == sorted([first, second], key=lambda event: event.id)
    (third,) = on_day(lake, date(2026, 8, 3), "third")
    assert reader.read() == [*both, third]


def test_a_reader_that_read_the_last_days_reads_the_earlier_ones_later(lake: Lake) -> None:
    old, new = on_day(lake, date(2026, 8, 1), "old"), on_day(lake, date(2026, 8, 2), "new")
    reader = EventReader(lake)
    assert reader.read(date(2026, 8, 2)) == new
    assert reader.read() == [*old, *new]
    assert reader.read(date(2026, 8, 2)) == new


def test_a_reader_sees_the_same_events_after_their_day_was_archived(lake: Lake) -> None:
    on_day(lake, date(2026, 8, 2), "a", "b", "c")
    reader = EventReader(lake)
    before = reader.read()
    assert archive_events(lake) == 1
    assert reader.read() == before == read_events(lake)


def test_a_reader_retries_when_a_file_moves_into_the_archive_while_it_reads(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_day(lake, date(2026, 8, 2), "a", "b")

    def archive_first(files: list[Path]) -> list[bytes]:
        archive_events(lake)
        return read_many(files)

    monkeypatch.setattr(event_module, "read_many", archive_first)
    assert {event.detail["name"] for event in read_events(lake)} == {"a", "b"}


def test_a_reader_keeps_up_with_an_archive_that_deletes_its_sources_while_it_reads(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_day(lake, date(2026, 8, 2), *"abcdefgh")
    sources = {file: file.read_bytes() for file in lake.events.glob("*/*.json")}
    archive_events(lake)
    for file, content in sources.items():
        file.write_bytes(content)

    def after_the_next_deletion(files: list[Path]) -> list[bytes]:
        sources.popitem()[0].unlink()
        return read_many(files)

    monkeypatch.setattr(event_module, "read_many", after_the_next_deletion)
    assert {event.detail["name"] for event in read_events(lake)} == set("abcdefgh")


def test_a_failed_delivery_is_a_warning(lake: Lake) -> None:
    event = AnyEventLog(lake, "").emit(NotificationFailed(kind="failed", receiver="abc", message="refused"))
    assert (event.level, event.detail["runId"], event.detail["kind"]) == ("WARN", "", "failed")
