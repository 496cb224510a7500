"""Every command in the documentation runs as it is written, or its page says why it is not run.

A fence with the language `sh` is a script, and one with `console` shows commands after `$ ` with their output.
"""

from __future__ import annotations

import csv
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.compatibility import warm_process
from tests.mock_api.server import MockApiServer

from brewhouse.api.contract import FIELDS
from brewhouse.mock_api.dataset import generate

ROOT = Path(__file__).parents[1]
GENERATED = {"cli.md", "settings.md", "tables.md"}
RUN_ELSEWHERE = {"docs/backup.md"}
"""Pages with a test of their own, which checks results as well: tests/cli/test_jobs.py."""
PAGES = sorted(
    str(page.relative_to(ROOT))
    for page in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"))
    if page.name not in GENERATED
)
FIRST_HOUR = {"README.md", "README.pt-BR.md", "docs/tutorial.md", "docs/pt-BR/tutorial.md"}
"""Pages that `.ci/run` also runs from a wheel: `INSTALLED_BIN` names the folder of its programs."""
INSTALLED_BIN = os.environ.get("INSTALLED_BIN")
BIN = INSTALLED_BIN or str(Path(sys.executable).parent)
QUICK = {"docs/tutorial.md", "docs/history.md"}
"""Pages of `make test`, whose commands start fast but for those of a wheel; `make test-slow` runs the others."""
STARTS_EMPTY = FIRST_HOUR | {"docs/history.md"}
"""Pages whose commands make the lake that they use."""
PROGRAMS = r"(?:brewhouse|make|pip|pipx|uv|uvx|git|curl|python3?|dagster|docker|aws|export|source|cp|mv|rm) "
VERSIONS = {"2025-10-03": 300, "2026-05-14": 330, "2026-08-02": 360}


@dataclass(frozen=True)
class Fence:
    """A fenced block of a page: its language, its text, and why it is not run, if it is not."""

    language: str
    text: str
    reason: str

    @property
    def script(self) -> str:
        """The commands of the block, without the output between them."""
        return self.text if self.language == "sh" else "\n".join(_typed(self.text.splitlines()))


def _typed(lines: Sequence[str]) -> Iterator[str]:
    """Yield each command after a prompt, with its further lines while a quotation is open."""
    command = ""
    for line in lines:
        if command:
            command += "\n" + line
        elif line.startswith("$ "):
            command = line[2:]
        if command and _is_whole(command):
            yield command
            command = ""


def _is_whole(command: str) -> bool:
    try:
        return bool(shlex.split(command))
    except ValueError:
        return False


def fences(page: str) -> list[Fence]:
    text = (ROOT / page).read_text("utf-8")
    found = re.findall(r"(?:<!-- not run: (.*?) -->\n)?^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [Fence(language, block, reason) for reason, language, block in found]


def commands(page: str) -> list[str]:
    """List the scripts of a page that are run."""
    return [fence.script for fence in fences(page) if fence.language in {"sh", "console"} and not fence.reason]


@pytest.mark.parametrize("page", PAGES)
def test_each_block_of_commands_is_run_or_gives_a_reason(page: str) -> None:
    for fence in fences(page):
        if fence.language not in {"sh", "console"}:
            assert not re.search(rf"^(?:\$ )?{PROGRAMS}", fence.text, re.MULTILINE), f"not marked as sh: {fence.text}"
        elif not fence.reason:
            assert fence.script


@pytest.fixture(scope="session")
def source() -> Iterator[str]:
    with MockApiServer(generate(VERSIONS["2026-08-02"])) as server:
        yield server.url


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=() if page in QUICK else pytest.mark.slow)
        for page in PAGES
        if commands(page) and page not in RUN_ELSEWHERE
    ],
)
def test_the_commands_of_a_page_succeed(page: str, source: str, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for day, rows in VERSIONS.items():
        with (tmp_path / "data" / f"breweries-{day}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, FIELDS, restval="", extrasaction="ignore")
            writer.writeheader()
            writer.writerows(generate(rows))
    before = ["brewhouse demo"] if page in FIRST_HOUR else [] if page in STARTS_EMPTY else ["brewhouse run"]
    script = "\n".join(["set -euo pipefail", *before, *commands(page)])  # `make demo` is `brewhouse demo`
    (programs := tmp_path / "bin").mkdir()
    if page in QUICK and not INSTALLED_BIN:
        warm_process.write_program(programs)
    environment = os.environ | {
        "PATH": os.pathsep.join((str(programs), BIN, os.environ["PATH"])),
        "BREWHOUSE_SOURCE_URL": source,
        "HOME": str(tmp_path),
    }
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{done.stdout[-1500:]}\n{done.stderr[-1500:]}"
