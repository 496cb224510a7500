"""Damaged files: each command works as if nothing were damaged, or names the file, its meaning and its repair."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from tests.cli.conftest import Call, Outcome
from tests.mock_api.server import MockApiServer

from brewhouse.console.app import create_app
from brewhouse.console.pages import breweries, changes, events, explore, overview, quality, runs, tables
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


def pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


DAMAGES: tuple[Damage, ...] = (flip, cut, empty, Path.unlink, pipe, folder)
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
LOG = "logs/*/*.jsonl"  # which may be cut off anywhere, by a kill
COMMANDS = (
    ("run",), ("extract",), ("transform",), ("aggregate",), ("tables",), ("describe", "silver.breweries"),
    ("history", "silver.breweries"), ("query", "SELECT count(*) FROM silver.breweries"),
    ("query", "--at", "2100-01-01", "SELECT count(*) FROM silver.breweries"),
    ("query", "SELECT count(*) FROM bronze.breweries"), ("query", "SELECT max(name) FROM silver.breweries"),
    ("changes",), ("rejected",), ("places",), ("models",), ("runs",), ("show",), ("events",), ("logs",),
    ("maintain",), ("maintain", "--dry-run"), ("diff", "last", "last"), ("rebuild",), ("rollback", "FIRST"),
    ("alerts", "check"), ("schedule",), ("report", "--output", "REPORT"),
)  # fmt: skip
PAGES = (breweries, changes, events, explore, overview, quality, runs, tables)
READING = ("query", "tables", "rejected", "places")  # whose output must be whole
PARAMETERS = {
    "run": "last", "name": "silver.breweries", "kind": "rejected", "extension": "html",
    "brewery": next(generate(150))["id"],
}  # fmt: skip


@dataclass(frozen=True)
class Victim:
    """A lake after two runs, which `reset` restores; `expected` has the outcomes of commands on it."""

    root: Path
    backup: Path
    url: str
    first: str
    expected: dict[tuple[str, ...], Outcome] = field(default_factory=dict)

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
        settings = load({"source_url": source.url}, environ={})
        first, _ = (run_workflow(Lake(folder / "lake"), settings) for _ in range(2))
        shutil.copytree(folder / "lake", folder / "backup")
        yield Victim(folder / "lake", folder / "backup", source.url, first)


@pytest.fixture
def victim(prepared: Victim) -> Victim:
    prepared.reset()
    return prepared


def call_on(victim: Victim, call: Call, command: tuple[str, ...]) -> Outcome:
    source = ("--source-url", victim.url) if command[0] in ("run", "extract") else ()
    values = {"FIRST": victim.first, "REPORT": victim.backup.with_name("report.html")}
    return call(*(values.get(word, word) for word in command), "--lake", victim.root, *source)


def is_named(outcome: Outcome, file: Path) -> bool:
    unexplained = any(word in outcome.err + outcome.out for word in ("Unexpected", "Aborted", "Traceback"))
    names = (file.name, str(file.parent), file.parent.name.removeprefix("run="))  # the last is that of a raw snapshot
    return not unexplained and any(name in outcome.err for name in names)


@pytest.mark.parametrize("pattern", KINDS)
def test_verify_names_a_damaged_file_with_its_meaning_and_its_repair(victim: Victim, call: Call, pattern: str) -> None:
    file = victim.newest(pattern)
    share = 0.0 if pattern.startswith("events") else 0.1  # an event with another letter is still an event
    cut(file) if pattern in ("catalog.db", "run.lock") else flip(file, share)  # most bytes of a catalog are unused
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


@pytest.mark.parametrize(
    ("pattern", "command", "code"),
    [
        ("bronze/**/page-00001.*", ("query", "SELECT count(*) FROM bronze.breweries"), 1),
        ("bronze/**/page-00001.*", ("rebuild",), 1),
        ("warehouse/silver/breweries/data/*.parquet", ("rejected",), 1),
        ("catalog.db", ("tables",), 1),
        ("events/*/*.json", ("query", "SELECT count(*) FROM monitoring.events"), 0),
        ("events/*/*.json", ("runs",), 0),
        ("warehouse/silver/breweries/data/*.parquet", ("diff", "last", "last"), 1),
        (LOG, ("logs",), 1),
    ],
)
def test_no_command_waits_for_a_pipe_in_place_of_a_file(
    victim: Victim, call: Call, pattern: str, command: tuple[str, ...], code: int
) -> None:
    file = victim.newest(pattern)
    pipe(file)
    with unblocked(file):
        outcome = call_on(victim, call, command)
    assert outcome.code == code, outcome.err
    assert code == 0 or is_named(outcome, file)


def test_a_query_names_the_damaged_file_that_it_reads(victim: Victim, call: Call) -> None:
    file = victim.newest("warehouse/silver/breweries/data/*.parquet")
    file.write_bytes(file.read_bytes()[:-4] + b"RAP1")
    outcome = call("query", "SELECT * FROM silver.breweries", "--lake", victim.root)
    assert outcome.code == 1
    assert is_named(outcome, file)
    assert "It is a data file of table silver.breweries." in outcome.err


@contextmanager
def unblocked(file: Path) -> Iterator[None]:
    """End the wait for a writer of a pipe after a while, and fail."""
    is_done, blocked = threading.Event(), list[bool]()

    def open_for_writing() -> None:
        while not is_done.wait(20) and file.is_fifo():
            with suppress(OSError):  # nobody reads it
                os.close(os.open(file, os.O_WRONLY | os.O_NONBLOCK))
                blocked.append(True)

    thread = threading.Thread(target=open_for_writing)
    thread.start()
    try:
        yield
    finally:
        is_done.set()
        thread.join()
    assert not blocked


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("pattern", [*KINDS, LOG])
def test_every_command_works_or_names_the_damaged_file(
    victim: Victim, call: Call, pattern: str, damage: Damage
) -> None:
    wrong = []
    for command in COMMANDS:
        victim.reset()
        if command not in victim.expected:
            victim.expected[command] = call_on(victim, call, command)
            victim.reset()
        expected = victim.expected[command]
        file = victim.newest(pattern)
        damage(file)
        with unblocked(file):
            outcome = call_on(victim, call, command)
        is_whole = len(outcome.out) == len(expected.out) or command[0] not in READING
        assert expected.code == 0, expected
        if not (outcome.code == 0 and is_whole) and not is_named(outcome, file):
            wrong.append((command, outcome.code, outcome.out[-300:], outcome.err[-500:]))
    assert wrong == []


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("pattern", [*KINDS, LOG])
def test_every_page_of_the_console_is_shown_or_names_the_damaged_file(
    victim: Victim, pattern: str, damage: Damage
) -> None:
    file = victim.newest(pattern)
    damage(file)
    wrong = []
    with unblocked(file), console_on(victim) as client:
        for path in paths_of_pages():
            response = client.get(path)
            names = (file.name, str(file.parent), file.parent.name.removeprefix("run="))
            if response.status_code >= 400 and not any(name in response.text for name in names):
                wrong.append((path, response.status_code, response.text[-500:]))
    assert wrong == []


@pytest.mark.slow
def test_every_page_of_the_console_is_shown_on_a_whole_lake(victim: Victim) -> None:
    with console_on(victim) as client:
        found = {path: client.get(path).status_code for path in paths_of_pages()}
    assert len(found) > 25
    assert set(found.values()) == {200}, found


def console_on(victim: Victim) -> TestClient:
    return TestClient(create_app(Lake(victim.root), load({}, environ={})), base_url="http://127.0.0.1")


def paths_of_pages() -> list[str]:
    routes = [route for page in PAGES for route in page.router.routes]
    return [route.path.format_map(PARAMETERS) for route in routes if isinstance(route, APIRoute) and is_page(route)]


def is_page(route: APIRoute) -> bool:
    return "GET" in (route.methods or ()) and "/queries/" not in route.path
