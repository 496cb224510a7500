"""The metadata of the wheel: authors, notices, classifiers, and addresses that lead somewhere."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hatchling.metadata.core import ProjectMetadata
from hatchling.plugin.manager import PluginManager

ROOT = Path(__file__).parents[1]


def metadata(folder: Path, origin: str) -> ProjectMetadata[PluginManager]:
    """Return what a wheel that is built in a clone from this origin says of itself."""
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    subprocess.run(["git", "init", "--quiet", folder], check=True)
    subprocess.run(["git", "-C", folder, "remote", "add", "origin", origin], check=True)
    return ProjectMetadata(str(folder), PluginManager())


@pytest.mark.parametrize(
    "origin",
    ["https://github.com/someone/brewhouse", "https://me:word@github.com/someone/brewhouse.git",
     "git@github.com:someone/brewhouse.git", "ssh://git@github.com/someone/brewhouse.git"],
)  # fmt: skip
def test_links_and_pictures_lead_to_the_repository_of_the_clone(tmp_path: Path, origin: str) -> None:
    core = metadata(tmp_path, origin).core
    address = "https://github.com/someone/brewhouse"
    assert core.urls["Repository"] == address
    assert f"]({address}/raw/HEAD/docs/console-overview.png)" in core.readme
    assert f"]({address}/blob/HEAD/docs/tutorial.md)" in core.readme
    assert all(link.startswith(("https://", "#")) for link in re.findall(r"\]\((.*?)\)", core.readme))
    assert "word" not in "".join(core.urls.values())


@pytest.mark.parametrize("origin", ["/srv/git/brewhouse", "https://git.example.com/brewhouse.git"])
def test_no_private_address_gets_into_a_wheel_and_no_link_is_dead(tmp_path: Path, origin: str) -> None:
    core = metadata(tmp_path, origin).core
    assert core.urls == {"Data": "https://www.openbrewerydb.org/"}
    assert all(link.startswith("https://") for link in re.findall(r"\]\((.*?)\)", core.readme))
    assert "The tutorial leads in half an hour" in core.readme


def test_the_wheel_names_its_authors_and_every_notice_and_supported_python(tmp_path: Path) -> None:
    whole = metadata(tmp_path, "/")
    assert whole.core.authors
    patterns = whole.core.config["license-files"]
    notices = {file for pattern in patterns for file in ROOT.glob(pattern)}
    bundled = [*(ROOT / "src").rglob("*LICENSE*")]
    assert notices == {ROOT / "LICENSE", *bundled}
    pythons = [line.rpartition(" ")[2] for line in whole.core.classifiers if re.search(r":: 3\.\d+$", line)]
    assert pythons == ["3.11", "3.12", "3.13", "3.14"]
    readme = (ROOT / "README.md").read_text("utf-8")
    assert f"Python {pythons[0]} to {pythons[-1]}" in readme
    assert f"Python {pythons[0]} a {pythons[-1]}" in (ROOT / "README.pt-BR.md").read_text("utf-8")
