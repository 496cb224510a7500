"""A lake after two runs, and a fixture that calls the command line."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.compatibility import warm_process
from tests.mock_api.server import MockApiServer

from brewhouse.cli.main import main
from brewhouse.cli.output import PIPED_WIDTH
from brewhouse.iceberg.tables import Tables
from brewhouse.lake.lake import Lake
from brewhouse.mock_api.dataset import generate


@dataclass
class Outcome:
    """Exit code and output of a command."""

    code: int
    out: str
    err: str


Call = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def output_as_wide_as_in_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever terminal the tests, or a worker of theirs, have."""
    monkeypatch.setenv("COLUMNS", str(PIPED_WIDTH))


def shell(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:  # noqa: ANN401 - of `subprocess.run`
    """Run `brewhouse` as a process of its own, without retries; without options, one that starts fast."""
    command = [sys.executable, "-m", "brewhouse", *map(str, arguments)]
    environ = {**os.environ, "BREWHOUSE_MAX_ATTEMPTS": "1", "BREWHOUSE_RETRY_INITIAL_WAIT_S": "0"}
    if not options:
        return warm_process.run(command[3:], cwd=str(Path.cwd()), environment=environ, timeout_s=60)
    environ |= options.pop("env", {})
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.run(command, text=True, timeout=60, env=environ, check=False, **streams)


def read_terminal(descriptor: int) -> str:
    """Read a pseudo-terminal to its end, without the codes of colours."""
    received = b""
    with contextlib.suppress(OSError):  # Linux reports the end of a terminal as an error
        while part := os.read(descriptor, 65536):
            received += part
    os.close(descriptor)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", received.decode())


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Call `brewhouse` with these arguments."""

    def run(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["brewhouse", *map(str, arguments)])
        code: object = 0
        try:
            main()
        except SystemExit as left:
            code = left.code or 0
        captured = capsys.readouterr()
        assert isinstance(code, int)
        return Outcome(code, captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake after two runs; tests only read it."""
    root = tmp_path_factory.mktemp("cli") / "lake"
    with MockApiServer(generate(300, unusable=4)) as source, pytest.MonkeyPatch.context() as patch:
        for _ in range(2):
            patch.setattr(sys, "argv", ["brewhouse", "run", "--lake", str(root), "--source-url", source.url])
            with pytest.raises(SystemExit) as left:
                main()
            assert not left.value.code
    return root


@pytest.fixture
def copied(full: Path, tmp_path: Path) -> Path:
    """A copy of the lake that tests may write."""
    shutil.copytree(full, tmp_path / "lake")
    Tables(Lake(tmp_path / "lake")).relocate()
    return tmp_path / "lake"


@pytest.fixture(scope="session")
def old_lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake whose ids and times never change, after three runs that succeeded and three that did not."""
    folder = tmp_path_factory.mktemp("old")
    with tarfile.open(Path(__file__).parents[1] / "compatibility" / "lake-0.1.0.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    Tables(Lake(folder / "lake")).relocate()
    return folder / "lake"
