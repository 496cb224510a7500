"""A rebuild from the bronze zone: the same rows, one history, and undisturbed readers."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.background import repeating
from tests.lake_template import LakeTemplate
from tests.mock_api.server import MockApiServer

from brewhouse.errors import BrewhouseError, ChecksFailed
from brewhouse.events.event import read_events
from brewhouse.events.run_reports import run_reports
from brewhouse.iceberg.tables import Tables
from brewhouse.lake.lake import Lake
from brewhouse.lake.manifest import Manifest
from brewhouse.lake.raw_snapshots import complete, complete_runs, encode_manifest
from brewhouse.lake.run_lock import holder
from brewhouse.mock_api.dataset import generate
from brewhouse.pipeline.rebuild import run_rebuild
from brewhouse.pipeline.workflow import run_workflow
from brewhouse.query.connection import connect
from brewhouse.settings import load

pytestmark = pytest.mark.xdist_group("rebuild")  # one lake to restore
RECORDS = list(generate(80, unusable=2))
IDS = sorted(str(record["id"]) for record in RECORDS if record.get("id"))
SHOWN = "SELECT count(*), min(snapshot_run), max(snapshot_run) FROM silver.breweries"


def run(lake: Lake, source: MockApiServer, **changes: object) -> str:
    return run_workflow(lake, load({"source_url": source.url, **changes}, environ={}))


def rebuild(lake: Lake, **changes: object) -> str:
    return run_rebuild(lake, load(changes, environ={}))


def rows(lake: Lake, sql: str) -> list[tuple[Any, ...]]:
    with closing(connect(lake)) as connection:
        return connection.execute(sql).fetchall()


def content(lake: Lake) -> dict[str, list[tuple[Any, ...]]]:
    with closing(connect(lake)) as connection:
        return {
            name: connection.execute(f"SELECT * FROM {name} ORDER BY ALL").fetchall() for name in Tables(lake).names()
        }


def histories(lake: Lake) -> dict[str, list[str]]:
    tables = Tables(lake)
    return {
        name: [snapshot.properties["brewhouse.raw-snapshot"] for snapshot in tables.history(name)]
        for name in tables.names()
    }


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> LakeTemplate:
    """A lake after three runs."""
    template = LakeTemplate(tmp_path_factory.mktemp("rebuild"))
    with MockApiServer(RECORDS) as source:
        run(template.lake, source)
        edit(source)
        source.remove([IDS[1]])
        run(template.lake, source)
        source.add([record for record in RECORDS if record.get("id") == IDS[1]])
        run(template.lake, source)
    template.keep("three runs")
    return template


@pytest.fixture(scope="module")
def rebuilt_template(template: LakeTemplate) -> LakeTemplate:
    """The lake after a rebuild as well."""
    rebuild(template.restore("three runs"))
    template.keep("rebuilt")
    return template


def edit(source: MockApiServer) -> None:
    source.change(IDS[0], name="A New Name", brewery_type="closed")


@pytest.fixture
def source() -> Iterator[MockApiServer]:
    """The source as it is after the runs."""
    with MockApiServer(RECORDS) as server:
        edit(server)
        yield server


@pytest.fixture
def lake(template: LakeTemplate) -> Lake:
    return template.restore("three runs")


@pytest.fixture
def rebuilt(rebuilt_template: LakeTemplate) -> Lake:
    return rebuilt_template.restore("rebuilt")


def read(lake: Lake) -> tuple[Any, ...]:
    """Query like an analyst: one row of counts."""
    logged = "(SELECT count(*) FROM silver.brewery_changes)"
    counted = "(SELECT sum(brewery_count) FROM gold.brewery_counts_over_time)"
    return tuple(rows(lake, SHOWN.replace(" FROM", f", {logged}, {counted} FROM", 1)))


def test_a_rebuild_gives_the_rows_of_the_original_runs_without_disturbing_readers(lake: Lake) -> None:
    before, history = content(lake), histories(lake)
    with repeating(partial(read, lake), 0.05) as seen:
        rebuild(lake)
    assert content(lake) == before
    assert len(set(seen)) == 1
    assert histories(lake) == {name: runs + complete_runs(lake) for name, runs in history.items()}


def test_a_second_rebuild_gives_the_same_rows(rebuilt: Lake) -> None:
    before = content(rebuilt)
    rebuild(rebuilt)
    assert content(rebuilt) == before


def test_a_rebuild_restores_lost_tables(lake: Lake) -> None:
    before = content(lake)
    lake.catalog_file.unlink()
    lake.views_file.unlink()
    shutil.rmtree(lake.warehouse)
    rebuild(lake)
    assert content(lake) == before


def test_the_next_run_continues_a_rebuilt_lake(rebuilt: Lake, source: MockApiServer) -> None:
    last = complete_runs(rebuilt)[-1]
    source.remove([IDS[2]])
    now = run(rebuilt, source)
    changes = rows(rebuilt, f"SELECT id, kind, previous_run FROM silver.brewery_changes WHERE snapshot_run = '{now}'")
    assert changes == [(IDS[2], "removed", last)]


def start(lake: Lake) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "brewhouse", "rebuild", "--lake", str(lake.root)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=dict(os.environ))


@pytest.mark.parametrize("line", ["rebuild: 1 of 3", pytest.param("rebuild: 2 of 3", marks=pytest.mark.slow)])
def test_a_killed_rebuild_leaves_the_tables_unchanged(lake: Lake, line: str) -> None:
    before, history = content(lake), histories(lake)
    process = start(lake)
    assert process.stderr is not None
    while (said := process.stderr.readline()) and not said.decode().startswith(line):
        pass
    assert said, "it ended before it could be killed"
    process.kill()
    process.communicate()
    assert holder(lake) is None
    assert (content(lake), histories(lake)) == (before, history)
    rebuild(lake)
    assert content(lake) == before


def fallen(lake: Lake, source: MockApiServer) -> str:
    """Take a snapshot that lost half its breweries, which is not published; then one that has them again."""
    lost = [record for record in RECORDS if str(record.get("id")) in IDS[40:]]
    source.remove(IDS[40:])
    with pytest.raises(ChecksFailed):
        run(lake, source)
    source.add(lost)
    run(lake, source)
    return complete_runs(lake)[-2]


def test_a_snapshot_whose_checks_fail_is_left_out_with_the_reason(lake: Lake, source: MockApiServer) -> None:
    bad = fallen(lake, source)
    before = content(lake)
    now = rebuild(lake)
    assert content(lake) == before
    report = run_reports(read_events(lake))[-1]
    assert (report.run, report.state) == (now, "SUCCEEDED")
    assert report.jobs[0].counts == {"raw_snapshots": 5, "left_out": 1}
    (warning,) = [check for check in report.checks if check["name"] == "every raw snapshot passes its checks"]
    assert (warning["found"], warning["severity"]) == (1, "warning")
    assert warning["example"].startswith(f"{bad}: Nothing was published, because 1 check(s) failed")


def test_the_change_log_is_complete_after_a_rebuild_that_left_a_snapshot_out(lake: Lake, source: MockApiServer) -> None:
    source.remove(IDS[40:])
    run(lake, source, max_count_drop_percent=60)
    rebuild(lake)
    assert rows(lake, "SELECT count(*) FROM silver.breweries") == [(len(IDS) - 2,)]
    run(lake, source, max_count_drop_percent=60)
    replayed = rows(
        lake,
        "SELECT id FROM silver.brewery_changes "
        "QUALIFY row_number() OVER (PARTITION BY id ORDER BY snapshot_run DESC) = 1 AND kind <> 'removed' ORDER BY 1",
    )
    assert replayed == rows(lake, "SELECT id FROM silver.breweries ORDER BY 1")


def test_a_rebuild_without_a_passing_snapshot_changes_nothing(lake: Lake) -> None:
    before, history = content(lake), histories(lake)
    for snapshot in complete(lake):
        changed = encode_manifest(snapshot.manifest).replace(b'"micro":', b'"mikro":')
        manifest = msgspec.json.decode(changed, type=Manifest)
        (snapshot.folder / "manifest.json").write_bytes(encode_manifest(manifest))
    with pytest.raises(BrewhouseError, match="None of the 3 raw snapshots"):
        rebuild(lake)
    assert (content(lake), histories(lake)) == (before, history)


@pytest.mark.parametrize("number", [0, -1])
def test_a_damaged_page_is_named_and_nothing_is_published(lake: Lake, number: int) -> None:
    before, history = content(lake), histories(lake)
    page = Path(complete(lake)[number].files[0])
    page.write_bytes(gzip.compress(gzip.decompress(page.read_bytes()).replace(b"micro", b"mikro", 1)))
    with pytest.raises(BrewhouseError, match="a page of a raw snapshot") as raised:
        rebuild(lake)
    assert f"{page} cannot be used: its content does not match its checksum" in raised.value.what
    assert (content(lake), histories(lake)) == (before, history)


def test_a_lake_without_raw_snapshots_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BrewhouseError, match="lake does not exist"):
        rebuild(Lake(tmp_path / "lake"))
