"""The runs of a lake: as its events describe them, and as a listener recorded them."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.mock_api.server import MockApiServer

from brewhouse.errors import BrewhouseError, UsageError
from brewhouse.events.run_history import newest_reports, report_of, reports_of
from brewhouse.events.run_reports import RunReport
from brewhouse.lake.lake import Lake
from brewhouse.lakehouse import Lakehouse
from brewhouse.mock_api.dataset import generate


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("history") / "lake"


@pytest.fixture(scope="module")
def recorded(root: Path) -> list[RunReport]:
    """Run the workflow, then one job again; return the reports of their listeners."""
    with MockApiServer(generate(60)) as source:
        library = Lakehouse(root, source_url=source.url)
        return [library.run(), library.aggregate()]


def test_a_listener_reports_a_run_as_its_events_do(root: Path, recorded: list[RunReport]) -> None:
    assert reports_of(Lake(root)) == recorded
    assert [report.state for report in recorded] == ["SUCCEEDED", "SUCCEEDED"]


def test_the_newest_runs_come_last(root: Path, recorded: list[RunReport]) -> None:
    assert newest_reports(Lake(root), 1) == (recorded[1:], True)
    assert newest_reports(Lake(root), 2) == (recorded, False)


def test_a_run_is_found_by_its_id_or_as_the_last(root: Path, recorded: list[RunReport]) -> None:
    first, second = recorded
    assert report_of(Lake(root), first.run) == first
    assert report_of(Lake(root), "last") == second
    with pytest.raises(UsageError, match="has no run nothing"):
        report_of(Lake(root), "nothing")


def test_a_lake_without_runs_has_no_last_one(tmp_path: Path) -> None:
    with pytest.raises(BrewhouseError, match="has no runs"):
        report_of(Lake(tmp_path), "last")
