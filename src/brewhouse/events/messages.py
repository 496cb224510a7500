"""The texts of notifications: which job, when, why, the first lines of the error, where to look.

The same locally and in AWS. Standard library only: the Lambda functions of the AWS stack share this module.
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files

from brewhouse.events.alerts import Message

_LINES = 5
_LINE_CHARACTERS = 500


def subject(message: Message) -> str:
    """Write the subject line, complete for readers who read no further."""
    return f"Brewhouse: {_text(message, 'subject')}"


def body(message: Message, run_link: str = "", log_link: str = "") -> str:
    """Write the text.

    Args:
        run_link: URL or command that shows the run; empty shows its id.
        log_link: The same for its log; empty leaves it out.
    """
    lines = [_text(message, "summary")]
    if message.why:
        lines += ["", *(_short(line) for line in message.why[:_LINES])]
        if len(message.why) > _LINES:
            lines.append(f"… and {len(message.why) - _LINES} more lines")
    if consequence := _text(message, "consequence"):
        lines += ["", consequence]
    if message.run:
        lines += ["", f"Run: {run_link or message.run}"]
        if log_link:
            lines.append(f"Log: {log_link}")
    return "\n".join(lines) + "\n"


def _text(message: Message, part: str) -> str:
    """Write a part of a message by its template, empty if its kind has none."""
    failures = f"{message.failures} run{'' if message.failures == 1 else 's'}"
    before = f"It had been failing since {_time(message.since)} ({failures})."
    if not message.failures:
        before = f"It had not succeeded since {_time(message.since)}."
    template = _templates()[message.kind].get(part, "")
    return template.format(
        what=message.job or f"the {message.workflow} workflow",
        The_job=f"The job {message.job}" if message.job else f"The {message.workflow} workflow",
        workflow=message.workflow,
        time=_time(message.time),
        before=before,
    )


@cache
def _templates() -> dict[str, dict[str, str]]:
    return tomllib.loads(files("brewhouse.events").joinpath("messages.toml").read_text("utf-8"))


def _time(text: str) -> str:
    return f"{text[:10]} {text[11:16]} UTC"


def _short(line: str) -> str:
    return line if len(line) <= _LINE_CHARACTERS else f"{line[:_LINE_CHARACTERS]}…"
