"""A lake that has seen everything, made once by real commands, and their output."""

from __future__ import annotations

import json
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from tests.compatibility.outside import NOBODY, breweries, brewhouse, interrupt, mock_api, output, run_json, taker

ONE_LAKE = pytest.mark.xdist_group("the lake that has seen everything")
CRON = {"BREWHOUSE_SCHEDULE_CRON": "0 6 * * *", "BREWHOUSE_SCHEDULE_TIME_ZONE": "Europe/Berlin"}
ALERTED = "BREWHOUSE_ALERTS_URLS"
NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass
class Seen:
    """A lake, and what made it.

    Attributes:
        lake: Its root.
        outputs: The `--json` output of each step, by its name.
        events: By the name of a step, the events it wrote, oldest first.
    """

    lake: Path
    outputs: dict[str, Any] = field(default_factory=dict)
    events: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    _known: set[Path] = field(default_factory=set)

    def take_events(self, step: str) -> None:
        """Read the event files that a step wrote."""
        new = sorted(set(self.lake.glob("events/date=*/*.json")) - self._known, key=lambda file: file.name)
        self._known.update(new)
        self.events[step] = [json.loads(file.read_bytes()) for file in new]

    def record(self, step: str, *arguments: object, variables: Mapping[str, str] = NOTHING) -> None:
        """Run a command of which JSON and events are kept."""
        self.outputs[step] = run_json(*arguments, "--lake", self.lake, variables=variables)
        self.take_events(step)

    def run_of(self, step: str) -> str:
        """Give the id of the run that a step was."""
        return next(str(event["detail"]["runId"]) for event in self.events[step] if event["detail"]["runId"])


@pytest.fixture(scope="session")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """A lake after runs that succeeded, failed, were stopped and killed, and all else that writes one.

    Tests only read it.
    """
    made = Seen(tmp_path_factory.mktemp("seen") / "lake")
    with mock_api(breweries(1)) as url:
        made.record("run", "run", "--source-url", url)
    with mock_api(breweries(2)) as url:
        made.record("extract", "extract", "--source-url", url)
    made.record("transform", "transform")
    made.record("aggregate", "aggregate")
    with mock_api(breweries(2)[:20]) as url:
        assert brewhouse("run", "--lake", made.lake, "--source-url", url).returncode
    made.take_events("checks failed")
    assert brewhouse("transform", "--lake", made.lake, "--snapshot", "NONE").returncode
    made.take_events("failed")
    interrupt(made.lake, signal.SIGTERM)
    made.take_events("stopped")
    interrupt(made.lake, signal.SIGKILL)
    made.take_events("killed")
    made.record("killed and closed", "alerts", "check")
    with taker() as url:
        made.record("alert sent", "alerts", "check", variables={ALERTED: url})
    made.outputs["alert failed"] = run_json("alerts", "check", "--lake", made.lake, code=1, variables={ALERTED: NOBODY})
    made.take_events("alert failed")
    made.record("rebuild", "rebuild")
    made.record("maintain", "maintain")
    output("schedule", "off", "--lake", made.lake)
    made.take_events("schedule off")
    output("schedule", "on", "--lake", made.lake, variables=CRON)
    made.take_events("schedule on")
    return made
