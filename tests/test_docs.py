"""The reference pages say what the code does, and the README names only commands there are."""

from __future__ import annotations

import importlib.util
import re
import sys
import tomllib
from configparser import ConfigParser
from pathlib import Path

import pytest
import typer
import typer.main

from brewhouse.cli.main import app
from brewhouse.events.alerts import Kind, Message
from brewhouse.events.messages import body, subject
from brewhouse.pipeline.cron_schedule import parse_schedule
from brewhouse.settings import load

ROOT = Path(__file__).parents[1]


def generated_pages() -> dict[str, str]:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    pages: dict[str, str] = module.pages()
    return pages


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="help texts wrap differently; needs Python 3.11")
@pytest.mark.parametrize("page", ["settings.md", "tables.md", "cli.md", "lineage.svg"])
def test_reference_pages_are_what_the_code_gives(page: str) -> None:
    assert (ROOT / "docs" / page).read_text("utf-8") == generated_pages()[page], "run `make docs`"


def test_the_readme_uses_only_commands_there_are() -> None:
    group = typer.main.get_command(app)
    names = set(group.list_commands(typer.Context(group)))  # type: ignore[attr-defined]
    used = set(re.findall(r"^(?:\$ )?brewhouse ([a-z-]+)", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE))
    assert used
    assert used <= names


def blocks(page: str, kind: str = "") -> list[str]:
    text = (ROOT / "docs" / page).read_text("utf-8")
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [block for its_kind, block in found if its_kind == kind]


def test_the_examples_of_schedules_can_be_read(tmp_path: Path) -> None:
    (toml,) = blocks("schedule.md", "toml")
    (tmp_path / "brewhouse.toml").write_text(toml)
    told = load({}, folder=tmp_path, environ={}).schedule
    assert tomllib.loads(toml)["schedule"] == {"cron": told.cron, "time_zone": told.time_zone}
    assert parse_schedule(told.cron, told.time_zone)
    (crontab,) = blocks("schedule.md", "crontab")
    assert all(parse_schedule(" ".join(line.split()[:5]), "UTC") for line in crontab.splitlines()[1:])
    for unit in blocks("schedule.md", "ini"):
        read = ConfigParser(strict=True)
        read.read_string(unit)
        assert "Description" in read["Unit"]
    for program in blocks("schedule.md", "python"):
        compile(program, "docs/schedule.md", "exec")
    page = (ROOT / "docs" / "schedule.md").read_text("utf-8")
    used = set(re.findall(r"(?:bin/brewhouse|^brewhouse|\{BREWHOUSE\}) ([a-z-]+)", page, re.MULTILINE))
    group = typer.main.get_command(app)
    assert used <= set(group.list_commands(typer.Context(group)))  # type: ignore[attr-defined]


@pytest.mark.parametrize(("kind", "job", "failures"), [("failed", "extract", 1), ("recovered", "", 2)])
def test_the_messages_in_the_page_on_alerts_are_what_the_code_writes(kind: Kind, job: str, failures: int) -> None:
    (shown,) = (block for block in blocks("alerts.md") if re.match(rf"Brewhouse: .*{kind}\n", block))
    why = re.findall(r"^(?:Failed to .*|\w+ shows snapshot .*|snapshot .*)$", shown, re.MULTILINE)
    run, lake = re.findall(r"show (\w+) --lake (\S+)", shown)[0]
    at = "2026-11-28T15:22:00+00:00"
    message = Message(kind=kind, incidents=(), run=run, job=job, time=at, since=at, why=tuple(why), failures=failures)
    links = (f"brewhouse {command} {run} --lake {lake}" for command in ("show", "logs"))
    assert shown == f"{subject(message)}\n\n{body(message, *links)}"


def test_links_between_pages_lead_to_pages() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
            assert (page.parent / link).exists(), f"{page.name} links to {link}"
