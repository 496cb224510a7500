"""User-facing errors: what failed, where and why, and the next step.

Errors of libraries are translated into these where the library is called; a command prints them as they are, and the
class determines its exit code.
"""

from __future__ import annotations


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
        super().__init__(f"{what} {hint}".strip())
        self.what = what
        self.hint = hint


class UsageError(BrewhouseError):
    """An invalid setting, option or statement."""

    exit_code = 2


class ChecksFailed(BrewhouseError):  # noqa: N818 - the state of the run
    """A check of severity error failed; nothing was published."""

    exit_code = 3
