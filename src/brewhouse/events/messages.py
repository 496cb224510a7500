"""The texts of notifications: which job, when, why, the first lines of the error, where to look.

The same locally and in AWS. Standard library only: the Lambda functions of the AWS stack share this module.
"""

from __future__ import annotations

from brewhouse.events.alerts import Message

_LINES = 5
_LINE_CHARACTERS = 500
_ONCE = "You are notified once, and again when it has recovered."
_CONSEQUENCE = {
    "failed": f"The published tables are unchanged. {_ONCE}",
    "checks_failed": f"Nothing was published: the tables are unchanged. {_ONCE}",
    "late": f"The published tables are unchanged. Check that the machine and its scheduler are running. {_ONCE}",
    "drift": "The records are kept as received, and nothing failed.",
    "crawl_failed": "No job depends on the crawler: silver and gold are up to date, its own tables are not. "
    "Its log is in the log group /aws-glue/crawlers.",
}


def subject(message: Message) -> str:
    """Write the subject line, complete for readers who read no further.

    Example:
        >>> subject(Message(kind="failed", incidents=(), run="R1", job="extract"))
        'Brewhouse: extract failed'
    """
    what = message.job or f"the {message.workflow} workflow"
    return {
        "failed": f"Brewhouse: {what} failed",
        "checks_failed": f"Brewhouse: checks of {what} failed",
        "recovered": f"Brewhouse: the {message.workflow} workflow has recovered",
        "late": f"Brewhouse: the {message.workflow} workflow is late",
        "drift": "Brewhouse: schema drift in the source",
        "crawl_failed": "Brewhouse: warning: the crawler failed",
        "test": "Brewhouse: test message",
    }[message.kind]


def body(message: Message, run_link: str = "", log_link: str = "") -> str:
    """Write the text.

    Args:
        run_link: URL or command that shows the run; empty shows its id.
        log_link: The same for its log; empty leaves it out.
    """
    lines = [_summary(message)]
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


def _summary(message: Message) -> str:
    time = _time(message.time)
    workflow = f"The {message.workflow} workflow"
    what = f"The job {message.job}" if message.job else workflow
    failures = f"{message.failures} run{'' if message.failures == 1 else 's'}"
    before = f"It had been failing since {_time(message.since)} ({failures})."
    if not message.failures:
        before = f"It had not succeeded since {_time(message.since)}."
    return {
        "failed": f"{what} failed at {time}.",
        "checks_failed": f"{what} failed its checks at {time}.",
        "recovered": f"{workflow} succeeded at {time}. {before}",
        "late": f"{workflow} has not succeeded since {time}.",
        "crawl_failed": f"The crawler failed at {time}.",
        "drift": f"At {time} the source sent data that deviates from its contract in a new way.",
        "test": "This is a test message of `brewhouse alerts test`: notifications arrive.",
    }[message.kind]


def _time(text: str) -> str:
    return f"{text[:10]} {text[11:16]} UTC"


def _short(line: str) -> str:
    return line if len(line) <= _LINE_CHARACTERS else f"{line[:_LINE_CHARACTERS]}…"
