"""Power loss: what a run published is on the disk, and a lake that lost its last files returns to a whole state."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.mock_api.server import MockApiServer

from brewhouse.lake.lake import Lake
from brewhouse.mock_api.dataset import generate
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
