"""Commands that serve: `brewhouse serve`, `mock-api` and `demo`."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Call = Callable[..., Any]


@pytest.mark.parametrize(("host", "has_link"), [("127.0.0.1", False), ("0.0.0.0", True)])
def test_serve_prints_its_address_and_ends_quietly(full: Path, host: str, has_link: bool) -> None:
    command = [sys.executable, "-m", "brewhouse", "serve", "--lake", str(full), "--host", host, "--port", "0"]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("BREWHOUSE_")}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ) as process:
        assert process.stdout is not None
        address = process.stdout.readline().rsplit(" ", 1)[1].strip()
        address = address.replace(f"//{socket.gethostname()}:", "//127.0.0.1:")  # a short name may be in the token, too
        try:
            with urllib.request.urlopen(address, timeout=30) as page:
                assert b"Brewhouse" in page.read()
        finally:
            process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert ("/login?token=" in address) is has_link
    assert (process.returncode, errors) == (0, "")


def test_a_port_in_use_is_an_error_with_a_hint(call: Call, full: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = call("serve", "--lake", full, "--port", taken.getsockname()[1])
    assert done.code == 2
    assert "Cannot listen on 127.0.0.1" in done.err
    assert "--port" in done.err


def test_a_missing_lake_is_an_error(call: Call, tmp_path: Path) -> None:
    done = call("serve", "--lake", tmp_path / "nowhere")
    assert done.code == 2
    assert "does not exist" in done.err


def test_a_missing_dependency_is_an_error_with_a_hint(call: Call, full: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    done = call("serve", "--lake", full)
    assert done.code == 2
    assert 'pip install "brewhouse[console]"' in done.err


def test_the_command_line_does_not_import_the_console() -> None:
    code = "import sys, brewhouse.cli.main; print({'fastapi', 'uvicorn', 'jinja2'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
