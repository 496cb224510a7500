"""The documentation agrees with the code: generated pages, commands, examples, header fields and columns."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import tomllib
from configparser import ConfigParser
from pathlib import Path

import pytest
import typer
import typer.main
import yaml

from brewhouse.cli.main import app
from brewhouse.engines.dialect import translate
from brewhouse.events.alerts import Kind, Message
from brewhouse.events.messages import body, subject
from brewhouse.models import model
from brewhouse.models.header import _FIELDS, _RULES, Header, parse_header
from brewhouse.models.model import column_definitions
from brewhouse.models.project import models_of
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
def test_generated_pages_are_up_to_date() -> None:
    for page, text in generated_pages().items():
        assert (ROOT / "docs" / page).read_text("utf-8") == text, f"run `make docs` for {page}"


def test_the_readme_uses_only_existing_commands() -> None:
    group = typer.main.get_command(app)
    names = set(group.list_commands(typer.Context(group)))  # type: ignore[attr-defined]
    for readme in ("README.md", "README.pt-BR.md"):
        used = set(re.findall(r"^(?:\$ )?brewhouse ([a-z-]+)", (ROOT / readme).read_text("utf-8"), re.MULTILINE))
        assert used
        assert used <= names


def blocks(page: str, kind: str = "") -> list[str]:
    text = (ROOT / "docs" / page).read_text("utf-8")
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [block for its_kind, block in found if its_kind == kind]


def test_the_examples_of_schedules_are_valid(tmp_path: Path) -> None:
    (toml,) = blocks("schedule.md", "toml")
    (tmp_path / "brewhouse.toml").write_text(toml)
    schedule = load({}, folder=tmp_path, environ={}).schedule
    assert tomllib.loads(toml)["schedule"] == {"cron": schedule.cron, "time_zone": schedule.time_zone}
    assert parse_schedule(schedule.cron, schedule.time_zone)
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


@pytest.mark.parametrize("page", sorted(str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")))
def test_a_page_uses_only_existing_commands(page: str) -> None:
    group = typer.main.get_command(app)
    text = (ROOT / "docs" / page).read_text("utf-8")
    used = set(
        re.findall(
            r"^(?:\$ |\w+=\S+ )*brewhouse ([a-z-]+)",
            "\n".join(re.findall(r"```(?:sh|console)?\n(.*?)```", text, re.DOTALL)),
            re.MULTILINE,
        )
    )
    assert used <= set(group.list_commands(typer.Context(group)))  # type: ignore[attr-defined]


def test_every_header_field_is_documented_with_a_valid_example() -> None:
    page = (ROOT / "docs" / "models.md").read_text("utf-8")
    rows = re.findall(r"^\| (`[a-z ]+: .*?) \|", page, re.MULTILINE)
    examples = [example for row in rows for example in re.findall(r"`([a-z ]+: [^`]+)`", row)]
    documented = {re.sub(r"^column \w+$", "column", example.partition(":")[0]) for example in examples}
    assert documented == {*_FIELDS, *_RULES, "column"}
    for example in examples:
        header, problems = parse_header(f"-- {example}\nSELECT 1", "t.sql")
        assert problems == []
        assert header != Header()


def test_every_column_of_a_published_table_is_documented() -> None:
    page = (ROOT / "docs" / "tables.md").read_text("utf-8")
    assert {name for name in column_definitions() if "." not in name} == set(
        re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    )
    assert re.findall(r"^## (.+)$", page, re.MULTILINE) == [model.name for model in models_of("silver", "gold")]


@pytest.mark.parametrize(("kind", "job", "failures"), [("failed", "extract", 1), ("recovered", "", 2)])
def test_the_messages_in_the_page_on_alerts_are_what_the_code_writes(kind: Kind, job: str, failures: int) -> None:
    (shown,) = (block for block in blocks("alerts.md") if re.match(rf"Brewhouse: .*{kind}\n", block))
    why = re.findall(r"^(?:Failed to .*|silver .*|snapshot .*)$", shown, re.MULTILINE)
    run, lake = re.findall(r"show (\w+) --lake (\S+)", shown)[0]
    at = "2026-11-28T15:22:00+00:00"
    message = Message(kind=kind, incidents=(), run=run, job=job, time=at, since=at, why=tuple(why), failures=failures)
    links = (f"brewhouse {command} {run} --lake {lake}" for command in ("show", "logs"))
    assert shown == f"{subject(message)}\n\n{body(message, *links)}"


def test_links_between_pages_lead_to_pages() -> None:
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
            assert (page.parent / link).exists(), f"{page.name} links to {link}"


def test_what_is_prepared_of_the_sql_is_what_sqlglot_derives(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = model.prepared()
    assert stored.duckdb == {sql: translate(sql) for sql in stored.duckdb}, "run `make docs`"
    names = [name for zone in model.ZONES for name in (model.FOLDER / zone).glob("*.sql")]
    texts = {f"{file.parent.name}.{file.stem}": file.read_text("utf-8") for file in names}
    loaded = {name: model.parse(name, text) for name, text in texts.items()}
    monkeypatch.setattr(model, "prepared", lambda: model.Prepared({}, {}))
    parsed = {name: model.parse(name, text) for name, text in texts.items()}
    assert loaded == parsed
    assert stored.reads == {each.version: (each.reads, each.depends_on) for each in parsed.values()}, "run `make docs`"


def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(tmp_path)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    pages = [page.relative_to(ROOT / "docs").with_suffix("") for page in (ROOT / "docs").rglob("*.md")]
    assert all((tmp_path / page / "index.html").exists() for page in pages)
    start = (tmp_path / "pt-BR" / "index.html").read_text("utf-8")
    assert 'href="tutorial/"' in start
    assert 'src="../console-overview.png"' in start


def test_the_kubernetes_job_runs_an_existing_command_as_the_images_user() -> None:
    (job,) = map(yaml.safe_load, blocks("containers.md", "yaml"))
    pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    group = typer.main.get_command(app)
    command = group.get_command(typer.Context(group), container["args"][0])  # type: ignore[attr-defined]
    options = {option for parameter in command.params for option in parameter.opts}
    assert {arg for arg in container["args"] if arg.startswith("--")} <= options
    assert f"--uid {pod['securityContext']['runAsUser']}" in (ROOT / "Dockerfile").read_text("utf-8")
