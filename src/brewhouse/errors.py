"""The errors a user meets: one paragraph that says what happened, where, and what to do.

What a library raises is translated into one of these at the edge where it is called, so that a command
can print any of them as it is and choose its exit code by the class.
"""

from __future__ import annotations


class BrewhouseError(Exception):
    """Something a user can act on.

    Args:
        what: What happened and where, as one or more sentences.
        hint: What to do next, as a sentence; empty when there is nothing to do but read.

    Example:
        >>> print(BrewhouseError("The lake 'x' has no tables yet.", hint="Run `brewhouse run` first."))
        The lake 'x' has no tables yet. Run `brewhouse run` first.
    """

    exit_code = 1

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(f"{what} {hint}".strip())
        self.what = what
        self.hint = hint


class UsageError(BrewhouseError):
    """A setting, an option or a statement that cannot be used as it was given."""

    exit_code = 2


class ChecksFailed(BrewhouseError):  # noqa: N818 - read aloud in `except ChecksFailed`, it says what it is
    """A check of severity error did not pass; nothing was published."""

    exit_code = 3
