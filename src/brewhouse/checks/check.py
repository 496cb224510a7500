"""Check results."""

from __future__ import annotations

import msgspec

from brewhouse.models.header import Severity


class Check(msgspec.Struct, frozen=True, kw_only=True, rename={"violations": "found"}):
    """The result of one check.

    Attributes:
        name: What must hold, as a short statement.
        severity: An error blocks the publication, a warning is recorded.
        violations: Their number; 0 means that the check passed.
        example: One violation, as text or JSON.
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
