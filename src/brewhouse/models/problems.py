"""Problems in model files, with their positions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from brewhouse.errors import UsageError


@dataclass(frozen=True, order=True)
class Problem:
    """A problem in a model file.

    Attributes:
        line: From 1.
        column: From 1; 0 means the whole line.

    Example:
        >>> print(Problem("models/t.sql", 3, 8, "unknown column nam"))
        models/t.sql:3:8: unknown column nam
    """

    file: str
    line: int
    column: int
    what: str

    def __str__(self) -> str:
        position = f"{self.file}:{self.line}:{self.column}" if self.column else f"{self.file}:{self.line}"
        return f"{position}: {self.what}"


class ModelError(UsageError):
    """Models that cannot run, with all of their problems."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = sorted(set(problems))
        head = "" if len(self.problems) == 1 else f"{len(self.problems)} problems in the models:\n"
        lines = (str(problem).rstrip(" .") for problem in self.problems)
        super().__init__(head + "\n".join(line if line.endswith("?") else f"{line}." for line in lines))


def line_and_column(text: str, offset: int) -> tuple[int, int]:
    r"""Convert an offset to a line and a column, both from 1.

    Example:
        >>> line_and_column("ab\ncd", 4)
        (2, 2)
    """
    before = text[:offset]
    return before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1
