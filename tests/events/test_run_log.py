"""The log of a run: its lines, the job they belong to, what a kill or a full disk leaves, and progress as text."""

from __future__ import annotations

import io
import json
import logging
from pathlib import Path

import pytest

from brewhouse.errors import BrewhouseError, UsageError
from brewhouse.events.details import (
    Detail,
    JobEnded,
    JobQueued,
    JobStarted,
    ModelStarted,
    PagesFetched,
    RunStarted,
    SnapshotsProcessed,
)
from brewhouse.events.event import EventLog
from brewhouse.events.run_log import RunLog, progress_printer, read_log, run_log
from brewhouse.lake.lake import Lake

LOGGER = logging.getLogger("brewhouse.pipeline.example")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


def log_of(lake: Lake, *details: Detail, run: str = "R1") -> list[tuple[str, str, str]]:
    """Emit events in a run with a log; return level, job and message of its lines."""
    with run_log(lake, "R1") as log:
        events = EventLog(lake, run, [log.listen])
        for detail in details:
            events.emit(detail)
    return [(line.level, line.job, line.message) for line in read_log(lake, "R1")]


def test_a_line_has_time_level_run_job_message_and_logger(lake: Lake) -> None:
    with run_log(lake, "R1") as log:
        EventLog(lake, "R1", [log.listen]).emit(JobStarted(job_name="extract"))
        LOGGER.warning("attempt %d of %d", 1, 3)
    (line,) = read_log(lake, "R1")
    assert (line.level, line.run, line.job, line.message) == ("WARN", "R1", "extract", "attempt 1 of 3")
    assert line.logger == LOGGER.name
    assert line.time.endswith("+00:00")


def test_the_messages_of_events_are_logged_with_their_severity(lake: Lake) -> None:
    lines = log_of(
        lake,
        RunStarted(workflow="breweries", jobs=["extract"], message="run R1 starts"),
        JobQueued(job_name="extract"),
        JobStarted(job_name="extract", message="extract starts"),
        JobEnded(job_name="extract", state="FAILED", severity="ERROR", message="no source", seconds=1.0),
    )
    assert lines == [
        ("INFO", "", "run R1 starts"),
        ("INFO", "extract", "extract starts"),
        ("ERROR", "extract", "no source"),
    ]


def test_lines_between_jobs_belong_to_no_job(lake: Lake) -> None:
    with run_log(lake, "R1") as log:
        events = EventLog(lake, "R1", [log.listen])
        events.emit(JobStarted(job_name="extract"))
        events.emit(JobEnded(job_name="extract", state="SUCCEEDED", seconds=1.0))
        LOGGER.info("between")
    assert [(line.job, line.message) for line in read_log(lake, "R1")] == [("", "between")]


@pytest.mark.parametrize(
    ("total", "expected"),
    [
        (1, ["1 of 1 pages"]),
        (3, ["1 of 3 pages", "2 of 3 pages", "3 of 3 pages"]),
        (100, [f"{n} of 100 pages" for n in range(10, 101, 10)]),
    ],
)
def test_progress_is_logged_about_every_tenth_of_the_total(lake: Lake, total: int, expected: list[str]) -> None:
    lines = log_of(lake, *(PagesFetched(done=done, total=total) for done in range(1, total + 1)))
    assert [message for _, _, message in lines] == expected


def test_models_and_snapshots_are_logged(lake: Lake) -> None:
    lines = log_of(lake, ModelStarted(model="silver.breweries"), SnapshotsProcessed(done=2, total=2))
    assert [message for _, _, message in lines] == ["model silver.breweries", "2 of 2 snapshots"]


def test_an_unexpected_error_is_logged_with_its_traceback_and_ours_without(lake: Lake) -> None:
    with run_log(lake, "R1"):
        for error in (ValueError("unexpected"), BrewhouseError("The disk is full.")):
            LOGGER.error("extract stops", exc_info=error)
    unexpected, ours = read_log(lake, "R1")
    assert "ValueError: unexpected" in unexpected.traceback
    assert ours.traceback == ""


def test_messages_of_libraries_are_left_out(lake: Lake) -> None:
    with run_log(lake, "R1"):
        logging.getLogger("aiohttp.client").warning("https://user:secret@example.org")
    assert read_log(lake, "R1") == []


def test_nothing_is_logged_outside_of_a_run(lake: Lake) -> None:
    with run_log(lake, "R1"):
        LOGGER.info("inside")
    LOGGER.info("outside")
    assert [line.message for line in read_log(lake, "R1")] == ["inside"]
    assert logging.getLogger("brewhouse").level == logging.NOTSET


def test_a_continued_run_appends_to_its_log(lake: Lake) -> None:
    for message in ("first", "second"):
        with run_log(lake, "R1"):
            LOGGER.info(message)
    assert [line.message for line in read_log(lake, "R1")] == ["first", "second"]


def test_the_log_goes_to_standard_error_too(lake: Lake, capsys: pytest.CaptureFixture[str]) -> None:
    with run_log(lake, "R1", to_stderr=True):
        LOGGER.info("both")
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["message"] == "both"
    assert json.loads(line).keys() == {"time", "level", "run", "message", "logger"}


def test_a_line_cut_off_by_a_kill_is_skipped(lake: Lake) -> None:
    with run_log(lake, "R1"):
        LOGGER.info("whole")
    (file,) = lake.logs.glob("date=*/R1.jsonl")
    file.write_bytes(file.read_bytes() + b'{"time":"2026-08-02T12:00:00","lev\xff')
    assert [line.message for line in read_log(lake, "R1")] == ["whole"]


def test_a_log_that_cannot_be_written_does_not_fail_the_run() -> None:
    stream = io.StringIO()
    stream.close()
    RunLog("R1", [stream]).handle(logging.makeLogRecord({"msg": "lost", "levelno": logging.INFO}))


def test_only_the_lines_of_a_job_are_read(lake: Lake) -> None:
    with run_log(lake, "R1") as log:
        events = EventLog(lake, "R1", [log.listen])
        for job in ("extract", "transform"):
            events.emit(JobStarted(job_name=job, message=f"{job} starts"))
    assert [line.message for line in read_log(lake, "R1", "transform")] == ["transform starts"]
    assert read_log(lake, "R1", "aggregate") == []


@pytest.mark.parametrize("run", ["R2", "R", "R*", "[R]1", ""])
def test_a_run_without_a_log_is_an_error(lake: Lake, run: str) -> None:
    with run_log(lake, "R1"):
        LOGGER.info("of another run")
    with pytest.raises(UsageError, match=r"has no log of run .*`brewhouse runs`"):
        read_log(lake, run)


def test_a_lake_on_s3_has_a_log_for_each_process_of_a_run(shared_lake: Lake) -> None:
    for message in ("first", "second"):
        with run_log(shared_lake, "R1"):
            LOGGER.info(message)
    assert len(list(shared_lake.logs.glob("date=*/R1.*.jsonl"))) == 2
    assert [line.message for line in read_log(shared_lake, "R1")] == ["first", "second"]


@pytest.mark.parametrize(
    ("detail", "line"),
    [
        (JobStarted(job_name="extract"), "extract: started"),
        (PagesFetched(job_name="extract", done=3, total=3), "extract: 3 of 3 pages"),
        (PagesFetched(job_name="extract", done=3, total=100), ""),
        (SnapshotsProcessed(job_name="rebuild", done=1, total=4), "rebuild: 1 of 4 snapshots"),
        (ModelStarted(job_name="transform", model="silver.breweries"), "model silver.breweries"),
        (
            JobEnded(job_name="extract", state="SUCCEEDED", message="9 records", seconds=1.5),
            "extract: 9 records (1.50 s)",
        ),
        (JobEnded(job_name="extract", state="FAILED", message="no source", seconds=1.5), ""),
        (RunStarted(workflow="breweries", jobs=["extract"]), ""),
    ],
)
def test_progress_is_printed_as_a_line_per_step(lake: Lake, detail: Detail, line: str) -> None:
    stream = io.StringIO()
    EventLog(lake, "R1", [progress_printer(stream)]).emit(detail)
    assert stream.getvalue() == (f"{line}\n" if line else "")
