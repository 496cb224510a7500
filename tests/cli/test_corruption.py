"""Damaged files: each command works as if nothing were damaged, or names the file, its meaning and its repair."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.cli.conftest import Call, Outcome
from tests.mock_api.server import MockApiServer

from brewhouse.iceberg.tables import Tables
from brewhouse.lake.lake import Lake
from brewhouse.mock_api.dataset import generate
from brewhouse.pipeline.workflow import run_workflow
from brewhouse.settings import load

Damage = Callable[[Path], None]


def flip(file: Path, share: float = 0.5) -> None:
    content = bytearray(file.read_bytes())
    content[int(share * (len(content) - 1))] ^= 16
    file.write_bytes(content)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-9])


def empty(file: Path) -> None:
    file.write_bytes(b"")


DAMAGES: tuple[Damage, ...] = (flip, cut, empty, Path.unlink)
KINDS = {  # pattern of the newest file of a kind, and what it is called
    "bronze/**/page-00001.*": "a page of a raw snapshot",
    "bronze/**/manifest.json": "manifest",
    "warehouse/silver/breweries/data/*.parquet": "a data file of table silver.breweries",
    "warehouse/silver/breweries/metadata/*.metadata.json": "the metadata of table silver.breweries",
    "warehouse/silver/breweries/metadata/snap-*.avro": "a list of data files of table silver.breweries",
    "warehouse/silver/breweries/metadata/*-m0.*.avro": "a list of data files of table silver.breweries",
    "catalog.db": "the catalog of the tables",
    "brewhouse.duckdb": "the views for DuckDB clients",
    "events/*/*.json": "a record of what runs did",
    "run.lock": "the lock of the lake",
}
COMMANDS = (
    ("run",), ("extract",), ("transform",), ("aggregate",), ("tables",), ("describe", "silver.breweries"),
    ("history", "silver.breweries"), ("query", "SELECT count(*) FROM silver.breweries"),
    ("query", "--at", "2100-01-01", "SELECT count(*) FROM silver.breweries"), ("changes",), ("rejected",), ("runs",),
    ("show",), ("events",), ("maintain",), ("maintain", "--dry-run"), ("diff", "last", "last"), ("rebuild",),
)  # fmt: skip


@dataclass(frozen=True)
class Victim:
    """A lake after two runs, which `reset` restores."""

    root: Path
    backup: Path
    url: str

    def reset(self) -> None:
        shutil.rmtree(self.root)
        shutil.copytree(self.backup, self.root)

    def newest(self, pattern: str) -> Path:
        """The file of a pattern that the second run wrote last, in the current snapshot of its table."""
        files = sorted(self.root.glob(pattern), key=lambda file: file.stat().st_mtime_ns)
        if "/data/" in pattern:
            return max(map(Path, Tables(Lake(self.root)).files("silver.breweries")))
        return files[-1]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victim]:
    folder = tmp_path_factory.mktemp("corruption")
    with MockApiServer(generate(150, unusable=2)) as source:
        for _ in range(2):
            run_workflow(Lake(folder / "lake"), load({"source_url": source.url}, environ={}))
        shutil.copytree(folder / "lake", folder / "backup")
        yield Victim(folder / "lake", folder / "backup", source.url)


@pytest.fixture
def victim(prepared: Victim) -> Victim:
    prepared.reset()
    return prepared


def call_on(victim: Victim, call: Call, command: tuple[str, ...]) -> Outcome:
    source = ("--source-url", victim.url) if command[0] in ("run", "extract") else ()
    return call(*command, "--lake", victim.root, *source)


def is_named(outcome: Outcome, file: Path) -> bool:
    unexplained = any(word in outcome.err + outcome.out for word in ("Unexpected", "Aborted", "Traceback"))
    names = (file.name, str(file.parent), file.parent.name.removeprefix("run="))  # the last is that of a raw snapshot
    return not unexplained and any(name in outcome.err for name in names)


@pytest.mark.parametrize("pattern", KINDS)
def test_verify_names_a_damaged_file_with_its_meaning_and_its_repair(victim: Victim, call: Call, pattern: str) -> None:
    file = victim.newest(pattern)
    cut(file) if pattern in ("catalog.db", "run.lock") else flip(file, 0.1)  # most bytes of a catalog are unused
    outcome = call("verify", "--json", "--lake", victim.root)
    (finding,) = json.loads(outcome.out)
    assert outcome.code == 3
    assert str(file) in finding["file"] + finding["problem"]
    assert KINDS[pattern] in finding["meaning"] + finding["problem"]
    assert finding["repair"]


def test_a_whole_lake_is_verified_without_findings(victim: Victim, call: Call) -> None:
    outcome = call("verify", "--lake", victim.root)
    assert (outcome.code, outcome.out) == (0, "No damaged files.\n")
    assert "verify: raw snapshot 2 of 2" in outcome.err


@pytest.mark.parametrize(
    ("pattern", "command"),
    [
        ("bronze/**/page-00001.*", ("diff", "last", "last")),
        ("warehouse/silver/breweries/data/*.parquet", ("query", "SELECT max(name) FROM silver.breweries")),
        ("warehouse/silver/breweries/metadata/*-m0.*.avro", ("maintain",)),
        ("catalog.db", ("tables",)),
    ],
)
def test_a_command_names_the_damaged_file(victim: Victim, call: Call, pattern: str, command: tuple[str, ...]) -> None:
    file = victim.newest(pattern)
    empty(file)
    outcome = call_on(victim, call, command)
    assert is_named(outcome, file) or outcome.code == 0, outcome.err


def test_a_query_names_the_damaged_file_that_it_reads(victim: Victim, call: Call) -> None:
    file = victim.newest("warehouse/silver/breweries/data/*.parquet")
    file.write_bytes(file.read_bytes()[:-4] + b"RAP1")
    outcome = call("query", "SELECT * FROM silver.breweries", "--lake", victim.root)
    assert outcome.code == 1
    assert is_named(outcome, file)
    assert "It is a data file of table silver.breweries." in outcome.err


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("pattern", KINDS)
def test_every_command_works_or_names_the_damaged_file(
    victim: Victim, call: Call, pattern: str, damage: Damage
) -> None:
    wrong = []
    for command in COMMANDS:
        victim.reset()
        expected = call_on(victim, call, command)
        victim.reset()
        file = victim.newest(pattern)
        damage(file)
        outcome = call_on(victim, call, command)
        is_same = outcome.code == 0 and (len(outcome.out) == len(expected.out) or command[0] not in ("query", "tables"))
        if not is_same and not is_named(outcome, file):
            wrong.append((command, outcome.code, outcome.out[-300:], outcome.err[-500:]))
    assert wrong == []
