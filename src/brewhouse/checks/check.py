"""A check and what it found."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

from brewhouse.errors import ChecksFailed

Severity = Literal["error", "warning"]


class Check(msgspec.Struct, frozen=True, kw_only=True, rename={"violations": "found"}):
    """The result of one check.

    Attributes:
        name: What must hold, as a short statement.
        table: The table it looked at.
        severity: An error stops the publishing, a warning is recorded.
        found: How many violations there are; none means it passed.
        example: One of them, in words or as JSON.

    Example:
        >>> Check(name="id is never null", table="silver.breweries", severity="error", violations=0).passed
        True
    """

    name: str
    table: str
    severity: Severity
    violations: int
    example: str | None = None

    @property
    def passed(self) -> bool:
        """Whether nothing was found."""
        return self.violations == 0


def raise_on_failure(checks: Iterable[Check]) -> None:
    """Stop the publishing when a check of severity error found something.

    Raises:
        ChecksFailed: Names every such check with its number and example.
    """
    failed = [check for check in checks if check.severity == "error" and not check.passed]
    if failed:
        facts = "; ".join(
            f"{check.table}: {check.name} ({check.violations} found, for example {check.example})" for check in failed
        )
        raise ChecksFailed(
            f"Nothing was published, because {len(failed)} check(s) failed: {facts}.",
            hint="The published tables are as they were; look at the data with `brewhouse show` and run again.",
        )
