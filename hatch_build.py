"""What the package's metadata takes from the clone that it is built in: its address, for links and pictures."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from hatchling.metadata.plugin.interface import MetadataHookInterface

_ADDRESS = re.compile(
    r"(?:https://(?:[^@/]*@)?|(?:ssh://)?git@)((?:github|gitlab)\.com|codeberg\.org)[/:](.+?)(?:\.git)?/?"
)
_LINK = re.compile(r"(!?)\[([^]]*)\]\((?!https?:|#)([^)]+)\)")


class Addresses(MetadataHookInterface):
    """Sets the project's URLs, and makes the README's links absolute or, without a public address, plain text."""

    def update(self, metadata: dict[str, object]) -> None:
        """Add the fields that pyproject.toml declares as dynamic."""
        command = ["git", "-C", self.root, "config", "--get", "remote.origin.url"]
        try:
            origin = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603 - fixed
        except OSError:  # git is not installed
            origin = ""
        address = public_address(origin)
        readme = (Path(self.root) / "README.md").read_text("utf-8")
        metadata["readme"] = {"content-type": "text/markdown", "text": with_absolute_links(readme, address)}
        pages = {"Repository": "", "Documentation": "/tree/HEAD/docs", "Changelog": "/blob/HEAD/CHANGELOG.md"}
        own = {name: address + page for name, page in pages.items()} if address else {}
        metadata["urls"] = {**own, "Data": "https://www.openbrewerydb.org/"}


def public_address(origin: str) -> str:
    """Return the page of a repository on a public host, without credentials; empty for any other.

    Example:
        >>> public_address("git@github.com:someone/brewhouse.git"), public_address("/srv/git/brewhouse")
        ('https://github.com/someone/brewhouse', '')
    """
    match = _ADDRESS.fullmatch(origin)
    return f"https://{match[1]}/{match[2]}" if match else ""


def with_absolute_links(text: str, address: str) -> str:
    """Make the links of a page absolute; without an address, keep their text and leave out pictures."""

    def replaced(link: re.Match[str]) -> str:
        mark, label, path = link.groups()
        if not address:
            return "" if mark else label
        return f"{mark}[{label}]({address}/{'raw' if mark else 'blob'}/HEAD/{path})"

    return _LINK.sub(replaced, text)
