"""Errors name the command that installs what is missing, as Brewhouse itself was installed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from brewhouse import errors
from brewhouse.errors import install_command, suggestion

WHEEL = {"url": "file:///downloads/brewhouse-0.1.0-py3-none-any.whl", "archive_info": {}}
FOLDER = {"url": "file:///home/me/my%20brewhouse", "dir_info": {"editable": True}}
GIT = {"url": "https://example.org/brewhouse.git", "vcs_info": {"vcs": "git", "commit_id": "abc123"}}


@pytest.mark.parametrize(
    ("origin", "prefix", "command"),
    [
        (None, "/opt/venv", "{python} -m pip install 'brewhouse[aws]'"),
        (WHEEL, "/opt/venv", "{python} -m pip install 'brewhouse[aws] @ {url}'"),
        (FOLDER, "/opt/venv", "{python} -m pip install --editable '/home/me/my brewhouse[aws]'"),
        (GIT, "/opt/venv", "{python} -m pip install 'brewhouse[aws] @ git+{url}@abc123'"),
        (WHEEL, "/home/me/.local/pipx/venvs/brewhouse", "pipx install --force 'brewhouse[aws] @ {url}'"),
        (WHEEL, "/home/me/.local/share/uv/tools/brewhouse", "uv tool install --force 'brewhouse[aws] @ {url}'"),
        (WHEEL, "/home/me/.cache/uv/archive-v0/x1", "uvx --from 'brewhouse[aws] @ {url}' brewhouse"),
    ],
)
def test_an_extra_is_installed_as_brewhouse_was(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, origin: dict[str, object] | None, prefix: str, command: str
) -> None:
    metadata = tmp_path / "brewhouse-0.1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Name: brewhouse\nVersion: 0.1.0\n")
    if origin:
        (metadata / "direct_url.json").write_text(json.dumps(origin))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "prefix", prefix)
    monkeypatch.setattr(errors, "find_spec", lambda _: True)
    assert install_command("aws") == command.format(python=sys.executable, url=(origin or {}).get("url"))


def test_an_environment_without_pip_is_changed_by_uv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errors, "find_spec", lambda _: None)
    assert install_command("aws").startswith(f"uv pip install --python {sys.executable} ")


@pytest.mark.parametrize(
    ("name", "known", "text"),
    [
        ("contry", ["city", "country"], "Did you mean country?"),
        ("breweries", ["gold.x", "silver.breweries"], "Did you mean silver.breweries?"),
        ("a", ["silver.a", "gold.a"], "Did you mean gold.a?"),
        ("x", ["b", "a"], "Known: a, b."),
        ("x", [], ""),
    ],
)
def test_a_close_name_is_suggested_else_all_are_listed(name: str, known: list[str], text: str) -> None:
    assert suggestion(name, known) == text
    assert suggestion(name, known, "List them.") == (text if "?" in text else "List them.")
