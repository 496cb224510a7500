"""The words of a message, for a person: which job, when, why, the first lines of the error, where to look.

The same on one machine and in the cloud; needs nothing but the message and two places to look at.
"""

from __future__ import annotations

from brewhouse.events.alerts import Message

_LINES = 5
_LINE_CHARACTERS = 500


def subject(message: Message) -> str:
    """Word the subject: one line that tells it all to who reads no more.

    Example:
        >>> subject(Message(kind="failed", incidents=(), run="R1", job="extract"))
        'Brewhouse: extract failed'
    """
    what = message.job or f"the {message.workflow} workflow"
    return {
        "failed": f"Brewhouse: {what} failed",
        "checks_failed": f"Brewhouse: checks of {what} failed",
        "recovered": f"Brewhouse: the {message.workflow} workflow is well again",
        "late": f"Brewhouse: the {message.workflow} workflow is late",
        "drift": "Brewhouse: the source sends something new",
        "test": "Brewhouse: a test",
    }[message.kind]


def body(message: Message, run_link: str = "", log_link: str = "") -> str:
    """Word the text.

    Args:
        message: What is told.
        run_link: Where the run can be looked at, a URL or a command; empty when there is none.
        log_link: Where its log can be.
    """
    lines = [_happened(message)]
    if message.why:
        lines += ["", *(_short(line) for line in message.why[:_LINES])]
        if len(message.why) > _LINES:
            lines.append(f"… and {len(message.why) - _LINES} more lines")
    if consequence := _CONSEQUENCE.get(message.kind):
        lines += ["", consequence]
    if message.run:
        lines += ["", f"Run: {run_link or message.run}"]
        if log_link:
            lines.append(f"Log: {log_link}")
    return "\n".join(lines) + "\n"


_CONSEQUENCE = {
    "failed": "The published tables are as they were. You are told once, and again when it is over.",
    "checks_failed": "Nothing of it was published: the tables are as they were. You are told once, and again when it "
    "is over.",
    "late": "The published tables are as they were. Is the machine up, and its scheduler? You are told once, and again "
    "when it is over.",
    "drift": "It is kept as it was sent, and nothing failed.",
}


def _happened(message: Message) -> str:
    time = _time(message.time)
    what = f"The job {message.job}" if message.job else f"The {message.workflow} workflow"
    failures = f"{message.failures} run{'' if message.failures == 1 else 's'}"
    return {
        "failed": f"{what} failed at {time}.",
        "checks_failed": f"{what} was stopped by its checks at {time}.",
        "recovered": f"The {message.workflow} workflow succeeded at {time}. "
        + (f"It was failing since {_time(message.since)} ({failures})." if message.failures else _was_late(message)),
        "late": f"The {message.workflow} workflow had no success since {time}.",
        "drift": f"At {time} the source sent what it did not send before.",
        "test": "This is a test, sent by `brewhouse alerts test`. Messages arrive.",
    }[message.kind]


def _was_late(message: Message) -> str:
    return f"It had no success since {_time(message.since)}."


def _time(text: str) -> str:
    return f"{text[:10]} {text[11:16]} UTC"


def _short(line: str) -> str:
    return line if len(line) <= _LINE_CHARACTERS else f"{line[:_LINE_CHARACTERS]}…"
