"""Check results."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from brewhouse.errors import ChecksFailed
from brewhouse.models.header import Severity


class Check(msgspec.Struct, frozen=True, kw_only=True, rename={"violations": "found"}):
    """The result of one check.

    Attributes:
        name: What must hold, as a short statement.
        severity: An error blocks the publication, a warning is recorded.
        violations: Their number; 0 means that the check passed.
        example: One violation, as text or JSON.

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
        """Whether the check found no violation."""
        return self.violations == 0


def check_result(name: str, table: str, violations: int, example: str | None, severity: Severity = "error") -> Check:
    """Return the result of a check; only a failed one keeps the example."""
    shown = example if violations else None
    return Check(name=name, table=table, severity=severity, violations=violations, example=shown)


def raise_on_failure(checks: Iterable[Check]) -> None:
    """Block the publication when a check of severity error failed.

    Raises:
        ChecksFailed: Lists each failed check with its number of violations and an example.
    """
    failed = [check for check in checks if check.severity == "error" and not check.passed]
    if failed:
        facts = "; ".join(
            f"{check.table}: {check.name} ({check.violations} violations, for example {check.example})"
            for check in failed
        )
        raise ChecksFailed(
            f"Nothing was published, because {len(failed)} check(s) failed: {facts}.",
            hint="The published tables are unchanged; inspect the run with `brewhouse show`, then run again.",
        )
