"""A lake after two runs, and a fixture that calls the command line."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.mock_api.server import MockApiServer

from brewhouse.cli.main import main
from brewhouse.mock_api.dataset import generate


@dataclass
class Outcome:
    """Exit code and output of a command."""

    code: int
    out: str
    err: str


Call = Callable[..., Outcome]


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
