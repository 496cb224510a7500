"""Power loss: what a run published is on the disk, and a lake that lost its last files returns to a whole state."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.mock_api.server import MockApiServer

from brewhouse.events.event import EventLog, read_events
from brewhouse.lake.lake import Lake
from brewhouse.mock_api.dataset import generate
from brewhouse.pipeline.rebuild import run_rebuild
from brewhouse.pipeline.run_context import RunContext
from brewhouse.pipeline.workflow import run_workflow
from brewhouse.settings import load

Content = Callable[..., dict[str, list[tuple[object, ...]]]]
_OF_DATABASES = (".db", ".duckdb")  # flushed by SQLite, and by their names before they are renamed
_NEEDLESS = (".jsonl", "run.lock", "started.json", "version-hint.text")


@pytest.fixture(scope="module")
def source() -> Iterator[MockApiServer]:
    with MockApiServer(generate(300, unusable=2)) as server:
        yield server


@pytest.fixture
def flushed(monkeypatch: pytest.MonkeyPatch) -> set[Path]:
    """The files that were flushed to the disk, with their content of that moment."""
    paths: set[Path] = set()
    fsync = os.fsync

    def recorded(descriptor: int) -> None:
        paths.add(Path(f"/proc/self/fd/{descriptor}").resolve())
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", recorded)
    return paths


def run(lake: Lake, source: MockApiServer) -> str:
    return run_workflow(lake, load({"source_url": source.url}, environ={}))


def lose_power(lake: Lake, flushed: set[Path]) -> list[str]:
    """Empty every file that was not flushed, and list them."""
    files = [file for file in lake.root.rglob("*") if file.is_file() and file not in flushed]
    lost = [file for file in files if not file.name.endswith((*_OF_DATABASES, *_NEEDLESS))]
    for file in lost:
        file.write_bytes(b"")
    return sorted(str(file.relative_to(lake.root)) for file in lost)


def test_everything_that_a_run_published_is_flushed_with_its_folders(
    tmp_path: Path, source: MockApiServer, flushed: set[Path], content: Content
) -> None:
    lake = Lake(tmp_path / "lake")
    run(lake, source)
    expected = content(lake, "bronze.breweries")
    assert lose_power(lake, flushed) == []
    assert content(lake, "bronze.breweries") == expected
    folders = {file.parent for folder in ("bronze", "warehouse", "events") for file in (lake.root / folder).rglob("*")}
    assert folders <= flushed


@dataclass(frozen=True)
class Lost:
    """A lake after two runs, to which it is reset for each test.

    Attributes:
        first: What it published in its first run.
        second: Likewise.
        files: The files of the second run, apart from the catalog.
    """

    lake: Lake
    backup: Path
    first: dict[str, list[tuple[object, ...]]]
    second: dict[str, list[tuple[object, ...]]]
    files: tuple[Path, ...]

    def reset(self) -> None:
        shutil.rmtree(self.lake.root)
        shutil.copytree(self.backup, self.lake.root)


@pytest.fixture(scope="module")
def prepared(source: MockApiServer, tmp_path_factory: pytest.TempPathFactory, content: Content) -> Lost:
    root = tmp_path_factory.mktemp("power")
    lake = Lake(root / "lake")
    run(lake, source)
    before, first = set(lake.root.rglob("*")), content(lake)
    source.change(str(next(iter(generate(300)))["id"]), name="Another Name")
    run(lake, source)
    kept = {lake.catalog_file, lake.lock_file}
    files = tuple(sorted(file for file in set(lake.root.rglob("*")) - before - kept if file.is_file()))
    shutil.copytree(lake.root, root / "backup")
    return Lost(lake, root / "backup", first, content(lake), files)


@pytest.fixture
def lost(prepared: Lost) -> Lost:
    prepared.reset()
    return prepared


def empty(file: Path) -> None:
    file.write_bytes(b"")


def warnings(lake: Lake, run: str) -> list[str]:
    return [str(e.detail["message"]) for e in read_events(lake) if e.run == run and e.level == "WARN"]


@pytest.mark.parametrize("lose", [empty, Path.unlink])
def test_a_lake_that_lost_its_last_run_shows_the_one_before_and_runs_on(
    lost: Lost, source: MockApiServer, content: Content, lose: Callable[[Path], None], capfd: pytest.CaptureFixture[str]
) -> None:
    for file in lost.files:
        lose(file)
    assert content(lost.lake) == lost.first
    assert "The tables show their state of" in capfd.readouterr().err
    assert run_rebuild(lost.lake, load({}, environ={}))
    assert content(lost.lake) == lost.first
    lost.reset()
    for file in lost.files:
        lose(file)
    run_again = run(lost.lake, source)
    assert content(lost.lake) == lost.second
    assert any("files of a later commit were lost" in message for message in warnings(lost.lake, run_again))


def test_a_table_without_its_data_takes_those_of_the_same_run_back_with_it(
    lost: Lost, source: MockApiServer, content: Content
) -> None:
    (file,) = [file for file in lost.files if file.parent.parent.name == "breweries_by_location"][-1:]
    data = next(file for file in lost.files if file.suffix == ".parquet" and "gold" in file.parts)
    assert file != data
    empty(data)
    tables = RunContext(lost.lake, load({}, environ={}), EventLog(lost.lake, "01RUN"), ("transform",)).tables
    shown = {tables.current(name).properties["brewhouse.run"] for name in tables.names()}  # type: ignore[union-attr]
    assert len(shown) == 1
    assert content(lost.lake) == lost.first
    run(lost.lake, source)
    assert content(lost.lake) == lost.second


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def test_a_job_finds_a_flipped_bit_in_a_data_file_before_it_reads_it(
    lost: Lost, source: MockApiServer, content: Content
) -> None:
    file = next(file for file in lost.files if "breweries/data" in str(file))
    flip(file)
    run_again = run(lost.lake, source)
    expected = f"{file} cannot be used: its content does not match its checksum"
    assert any(expected in message for message in warnings(lost.lake, run_again))
    assert content(lost.lake) == lost.second


def test_the_next_job_completes_the_hints_that_a_killed_one_left_behind(lost: Lost, source: MockApiServer) -> None:
    hints = {hint: hint.read_bytes() for hint in lost.lake.warehouse.rglob("version-hint.text")}
    stale, empty_one, missing, *_ = hints
    stale.write_bytes(b"00000-0a")
    empty(empty_one)
    missing.unlink()
    run_workflow(lost.lake, load({"source_url": source.url}, environ={}), ("aggregate",))  # which publishes nothing
    assert {hint: hint.read_bytes() for hint in hints} == hints
    assert all((hint.parent / f"{hint.read_text()}.metadata.json").exists() for hint in hints)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40))
def test_any_files_of_the_last_run_may_be_lost(lost: Lost, source: MockApiServer, content: Content, seed: int) -> None:
    chance = random.Random(seed)
    share = chance.choice([0.05, 0.3, 0.7])
    for file in lost.files:
        if chance.random() < share:
            empty(file) if chance.random() < 0.5 else file.unlink()
    run(lost.lake, source)
    assert content(lost.lake) == lost.second


def test_a_lake_that_lost_its_only_run_starts_again(tmp_path: Path, source: MockApiServer, content: Content) -> None:
    lake = Lake(tmp_path / "lake")
    run(lake, source)
    expected = content(lake)
    for file in lake.root.rglob("*"):
        if file.is_file() and file != lake.catalog_file:
            empty(file)
    run(lake, source)
    assert content(lake) == expected
