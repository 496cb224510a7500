"""Events of past days become one file a day: none is lost or read twice, whatever is killed in between."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.events.any_events import AnyEventLog

from brewhouse.events import event as event_module
from brewhouse.events.envelope import DRIFT, RUN, Event
from brewhouse.events.event import archive_events, read_events
from brewhouse.lake.lake import Lake

TOMORROW = datetime.now(UTC) + timedelta(days=1, hours=1)


def files(lake: Lake) -> list[Path]:
    return sorted(lake.events.rglob("*.json"))


def filled(root: Path, number: int) -> tuple[Lake, list[Event]]:
    log = AnyEventLog(Lake(root), "R1")
    return Lake(root), [log.write(DRIFT, {"number": n, "text": "line\nbreak ü"}) for n in range(number)]


def test_a_past_day_becomes_one_file(tmp_path: Path) -> None:
    lake, events = filled(tmp_path, 20)
    assert archive_events(lake, TOMORROW) == 1
    assert len(files(lake)) == 1
    assert read_events(lake) == events
    assert archive_events(lake, TOMORROW) == 0


def test_today_is_not_archived(tmp_path: Path) -> None:
    lake, events = filled(tmp_path, 3)
    assert archive_events(lake) == 0
    assert len(files(lake)) == 3
    assert read_events(lake) == events


def test_a_late_event_is_added_to_the_archive_of_its_day(tmp_path: Path) -> None:
    lake, events = filled(tmp_path, 3)
    archive_events(lake, TOMORROW)
    events.append(AnyEventLog(lake, "R2").write(RUN, {}))
    assert archive_events(lake, TOMORROW) == 1
    assert len(files(lake)) == 1
    assert read_events(lake) == events


def test_files_that_are_not_events_stay(tmp_path: Path) -> None:
    lake, events = filled(tmp_path, 3)
    broken = files(lake)[0].with_name("broken.json")
    broken.write_bytes(b"\xff not an event")
    archive_events(lake, TOMORROW)
    assert len(files(lake)) == 2
    assert broken.exists()
    assert read_events(lake) == events
    assert archive_events(lake, TOMORROW) == 0


@settings(max_examples=25, deadline=None)
@given(kept=st.sets(st.integers(0, 7)), twice=st.booleans())
def test_each_event_is_read_once_whatever_files_a_kill_left(kept: set[int], twice: bool) -> None:
    """A kill comes before the new file is there, or after it with any of the old ones still there."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        lake, events = filled(Path(folder), 8)
        old = {file: file.read_bytes() for file in files(lake)}
        archive_events(lake, TOMORROW)
        for number, (file, content) in enumerate(old.items()):
            if number in kept:
                file.write_bytes(content)
        assert read_events(lake) == events
        for _ in range(1 + twice):
            archive_events(lake, TOMORROW)
        assert read_events(lake) == events
        assert len(files(lake)) == 1


def test_a_kill_at_any_moment_loses_no_event(tmp_path: Path) -> None:
    lake, events = filled(tmp_path, 300)
    program = (
        "import sys, datetime, pathlib\n"
        "from brewhouse.events.event import archive_events\nfrom brewhouse.lake.lake import Lake\n"
        "import obstore.store\nprint('ready', flush=True)\n"
        "archive_events(Lake(pathlib.Path(sys.argv[1])), datetime.datetime.fromisoformat(sys.argv[2]))\n"
    )
    for moment in range(6):
        command = [sys.executable, "-c", program, str(tmp_path), TOMORROW.isoformat()]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(moment * 0.006)
        process.kill()
        process.communicate()
        assert read_events(lake) == events
    archive_events(lake, TOMORROW)
    assert len(files(lake)) == 1
    assert read_events(lake) == events


def test_today_is_archived_when_it_has_very_many_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_module, "_MANY", 10)
    lake, events = filled(tmp_path, 11)
    assert archive_events(lake) == 1
    events.append(AnyEventLog(lake, "R2").write(RUN, {}))
    assert archive_events(lake) == 0
    assert len(files(lake)) == 2
    assert read_events(lake) == events
