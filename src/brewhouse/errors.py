"""User-facing errors: what failed, where and why, and the next step.

Errors of libraries are translated into these where the library is called; a command prints them as they are, and the
class determines its exit code. Secrets are removed from their texts, since libraries quote URLs.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

SECRETS: set[str] = set()
"""Texts that are never printed, percent-encoded or not; `brewhouse.settings.Secret` adds its own."""

_TOOLS = {
    "/pipx/venvs/": "pipx install --force {}",
    "/uv/tools/": "uv tool install --force {}",
    "/archive-v": "uvx --from {} brewhouse",
}
"""Install commands by a part of the path of the environment; the last is uv's cache."""
MIN_SECRET_CHARACTERS = 4
_MIN_INFIX_CHARACTERS = 8  # a shorter secret is only removed where it is a whole word
_CREDENTIALS = re.compile(r"(?<=://)[^/?#\s\"']*@(?=[^@\s])")
_PARAMETERS = re.compile(
    r"([?&;#](?:[\w.-]*[_-])?(?:key|apikey|token|secret|password|passwd|pwd|sig|signature|credential|auth)=)[^&;#\s\"']+",
    re.IGNORECASE,
)


def redacted(text: str) -> str:
    """Remove the secrets of the settings from a text, and the credentials of any other URL in it.

    Example:
        >>> redacted("Failed to read https://me:secret@example.com/v1?api_key=abc&page=1")
        'Failed to read https://…@example.com/v1?api_key=…&page=1'
    """
    for secret in sorted(SECRETS, key=len, reverse=True):
        pattern = "".join(map(_spelled, secret))
        if len(secret) >= _MIN_INFIX_CHARACTERS:
            text = re.sub(pattern, "…", text)
        elif len(secret) >= MIN_SECRET_CHARACTERS:
            text = re.sub(rf"(?<!\w){pattern}(?!\w)", "…", text)
    return _PARAMETERS.sub(r"\1…", _CREDENTIALS.sub("…@", text))


def _spelled(character: str) -> str:
    """Match a character, percent-encoded or not."""
    encoded = re.escape(quote(character, safe=""))
    return f"(?:{re.escape(character)}|{encoded}|{encoded.lower()}{'|[+]' if character == ' ' else ''})"


def install_command(extra: str) -> str:
    """Return the command that adds an extra: with the tool that installed Brewhouse, from where it was installed."""
    import json
    import shlex
    from importlib.metadata import distribution

    origin = json.loads(distribution("brewhouse").read_text("direct_url.json") or "{}")
    url, name = origin.get("url", ""), f"brewhouse[{extra}]"
    if vcs := origin.get("vcs_info"):
        url = f"{vcs['vcs']}+{url}@{vcs['commit_id']}"
    what = shlex.quote(f"{name} @ {url}" if url else name)
    if origin.get("dir_info", {}).get("editable"):
        what = f"--editable {shlex.quote(f'{unquote(urlsplit(url).path)}[{extra}]')}"
    environment = Path(sys.prefix).as_posix()
    for part, command in _TOOLS.items():
        if part in environment:
            return command.format(what)
    python = shlex.quote(sys.executable)
    return f"{python} -m pip install {what}" if find_spec("pip") else f"uv pip install --python {python} {what}"


def suggestion(name: str, known: Iterable[str], otherwise: str | None = None) -> str:
    """Suggest the closest known name, or the one that only lacks its zone.

    Args:
        otherwise: What to return if there is none; None lists the known names.

    Example:
        >>> suggestion("top_city", ["top_cities", "coverage"]), suggestion("x", ["b", "a"])
        ('Did you mean top_cities?', 'Known: a, b.')
    """
    from difflib import get_close_matches

    names = sorted(known)
    for close in get_close_matches(name, names, 1, 0.7) or [each for each in names if each.endswith(f".{name}")]:
        return f"Did you mean {close}?"
    return otherwise if otherwise is not None else f"Known: {', '.join(names)}." if names else ""


class BrewhouseError(Exception):
    """An error that a user can act on.

    Args:
        what: What failed and where, as one or more sentences.
        hint: The next step, as a sentence; empty when there is none.

    Example:
        >>> print(BrewhouseError("The lake 'x' has no tables yet.", hint="Run `brewhouse run` first."))
        The lake 'x' has no tables yet. Run `brewhouse run` first.
    """

    exit_code = 1

    def __init__(self, what: str, hint: str = "") -> None:
        self.what = redacted(what)
        self.hint = redacted(hint)
        super().__init__(f"{self.what} {self.hint}".strip())


class UsageError(BrewhouseError):
    """An invalid setting, option or statement."""

    exit_code = 2


class NotFoundError(UsageError):
    """An id or a name that does not exist."""


class ChecksFailed(BrewhouseError):  # noqa: N818 - the state of the run
    """A check of severity error failed; nothing was published."""

    exit_code = 3
