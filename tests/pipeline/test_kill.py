"""kill -9 at many moments of a run: nothing half-published is seen, and the next run makes it good."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from tests.background import repeating
from tests.mock_api.server import MockApiServer

from brewhouse.events.event import read_events
from brewhouse.events.run_reports import run_reports
from brewhouse.lake.lake import Lake
from brewhouse.lake.run_lock import holder
from brewhouse.mock_api.dataset import generate
from brewhouse.pipeline.workflow import run_workflow
from brewhouse.query.connection import connect
from brewhouse.settings import load

Content = Callable[..., dict[str, list[tuple[object, ...]]]]
ROWS = 3000
MORE = 40
MOMENTS = [5, pytest.param(60, marks=pytest.mark.slow)]
LINES = ("model silver.rejected", "transform: silver", "model gold.breweries_by_type", "aggregate: gold")
DELAYS_S = [(0.0,), pytest.param((0.0, 0.03, 0.06, 0.1, 0.15, 0.2), marks=pytest.mark.slow)]

_VIEWS = (
    "SELECT schema_name || '.' || view_name FROM duckdb_views() "
    "WHERE schema_name = 'gold' AND starts_with(view_name, 'breweries_by')"
)


def start(lake: Lake, url: str, *options: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "brewhouse", "run", "--lake", str(lake.root), "--source-url", url, *options]
    quick = {**os.environ, "BREWHOUSE_EXTRACT_RETRY_WAIT_S": "0"}
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=quick)


def run(lake: Lake, url: str) -> None:
    run_workflow(lake, load({"source_url": url, "extract_retry_wait_s": 0}, environ={}))


def finish(process: subprocess.Popen[bytes]) -> None:
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors.decode()


def replayed(lake: Lake) -> list[tuple[object, ...]]:
    """The breweries that the log of changes leads to: each one's last row, unless it says removed."""
    with closing(connect(lake)) as connection:
        rows, distinct = connection.execute(
            "SELECT count(*), count(DISTINCT (id, snapshot_run)) FROM silver.brewery_changes"
        ).fetchall()[0]
        assert rows == distinct, "a change is logged twice"
        return connection.execute(
            "SELECT id, name, brewery_type, city, longitude FROM silver.brewery_changes "
            "QUALIFY row_number() OVER (PARTITION BY id ORDER BY snapshot_run DESC) = 1 AND kind <> 'removed' "
            "ORDER BY ALL"
        ).fetchall()


def shown(lake: Lake) -> list[tuple[object, ...]]:
    """The same columns of the breweries that are there."""
    with closing(connect(lake)) as connection:
        sql = "SELECT id, name, brewery_type, city, longitude FROM silver.breweries ORDER BY ALL"
        return connection.execute(sql).fetchall()


def read(lake: Lake) -> tuple[str, ...] | None:
    """Query like an analyst; return what looks half-published, None before the first publication."""
    if not lake.views_file.exists():
        return None
    with closing(connect(lake)) as connection:
        breweries, distinct, rejected = connection.execute(
            "SELECT count(*), count(DISTINCT id), (SELECT count(*) FROM silver.rejected_breweries) "
            "FROM silver.breweries"
        ).fetchall()[0]
        published = {row[0] for row in connection.execute(_VIEWS).fetchall()}
        sums = {connection.execute(f"SELECT sum(brewery_count) FROM {t}").fetchall()[0] for t in published}
    wrong = []
    if breweries != distinct or breweries + rejected not in (ROWS, ROWS + MORE):
        wrong.append(f"{breweries} breweries, {distinct} ids, {rejected} rejected")
    if len(published) != 2 or sums != {(breweries,)}:
        wrong.append(f"{breweries} breweries, but {published} count {sums}")
    return tuple(wrong)


@pytest.fixture(scope="module")
def source() -> Iterator[MockApiServer]:
    with MockApiServer(generate(ROWS, unusable=5)) as server:
        yield server


@pytest.mark.slow  # the moments of publishing are tried in `make test`
@pytest.mark.parametrize("moments", MOMENTS)
def test_a_run_killed_at_any_moment_leaves_nothing_half_published(
    source: MockApiServer, tmp_path: Path, content: Content, moments: int
) -> None:
    undisturbed = Lake(tmp_path / "undisturbed")
    began = time.monotonic()
    finish(start(undisturbed, source.url))
    duration = time.monotonic() - began
    expected = content(undisturbed)

    lake = Lake(tmp_path / "killed")
    killed = 0
    with repeating(partial(read, lake), 0.02) as seen:
        for moment in range(1, moments + 1):
            process = start(lake, source.url)
            time.sleep(duration * moment / moments)
            process.kill()
            process.communicate()
            killed += process.returncode == -9
            assert holder(lake) is None, "a killed run's lock stays"
        finish(start(lake, source.url))
        assert content(lake) == expected
        assert replayed(lake) == shown(lake)
    assert set(seen) - {None} == {()}
    assert killed > moments // 2

    states = [report.state for report in run_reports(read_events(lake))]
    assert set(states) == {"FAILED", "SUCCEEDED"}, "the end of a killed run is written by the next one"
    assert states[-1] == "SUCCEEDED"


def kill_after_line(process: subprocess.Popen[bytes], line: str, delay_s: float) -> None:
    """Wait until a run says it is there, and a little, then kill it."""
    assert process.stderr is not None
    while (said := process.stderr.readline()) and not said.decode().startswith(line):
        pass
    time.sleep(delay_s)
    process.kill()
    process.communicate()


@pytest.mark.parametrize("delays_s", DELAYS_S)
def test_a_run_killed_while_it_publishes_shows_the_old_or_the_new_state(
    tmp_path: Path, content: Content, delays_s: Sequence[float]
) -> None:
    records = list(generate(ROWS + MORE))
    more = records[:MORE]
    lake = Lake(tmp_path / "lake")
    with MockApiServer(records[MORE:]) as source:
        run(lake, source.url)
        with repeating(partial(read, lake), 0.05) as seen:
            for number, (line, delay_s) in enumerate((line, delay) for line in LINES for delay in delays_s):
                if number % 2:
                    source.remove([str(record["id"]) for record in more])
                else:
                    source.add(more)
                kill_after_line(start(lake, source.url), line, delay_s)
                assert holder(lake) is None, "a killed run's lock stays"
            run(lake, source.url)
        undisturbed = Lake(tmp_path / "undisturbed")
        run(undisturbed, source.url)
    assert set(seen) - {None} == {()}
    now, at_once = content(lake), content(undisturbed)
    for rows in (now, at_once):
        del rows["silver.brewery_changes"]  # it has the changes of every snapshot, and there were several
    assert now == at_once
    assert replayed(lake) == shown(lake)


def test_a_killed_extract_is_resumed_with_its_missing_pages(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    with MockApiServer(generate(ROWS), faults=["slow_s=0.05"]) as source:
        process = start(lake, source.url, "--concurrency", "1")
        while len(list(lake.root.rglob("page-*"))) < 6:
            assert process.poll() is None, "the run ended before it could be killed"
            time.sleep(0.01)
        process.kill()
        process.communicate()
        there = {int(file.name[5:10]) for file in lake.root.rglob("page-*") if file.name.endswith(".jsonl.gz")}
        source.forget()
        finish(start(lake, source.url))
        asked = [int(served.params["page"]) for served in source.requests if served.path == "/v1/breweries"]
    first, second = run_reports(read_events(lake))
    assert (first.state, second.state) == ("FAILED", "SUCCEEDED")
    assert "the process was killed" in first.error
    assert first.jobs[0].state == "FAILED"
    assert second.jobs[0].counts["resumed_pages"] == len(there) >= 5
    pages = range(1, ROWS // 200 + 1)
    compared = list(pages)  # at the end
    missing = [page for page in (*pages, pages.stop) if page not in there]
    assert sorted(asked) == sorted(missing + compared)
