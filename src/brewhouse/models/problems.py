"""What is wrong in a model's file, and where."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

from brewhouse.errors import UsageError


@dataclass(frozen=True, order=True)
class Problem:
    """One thing that is wrong in a model's file.

    Attributes:
        file: The file, as the user named its folder.
        line: From 1.
        column: From 1; 0 when it is about the whole line.
        what: What is wrong, and what would be right.

    Example:
        >>> print(Problem("models/t.sql", 3, 8, "there is no column nam"))
        models/t.sql:3:8: there is no column nam
    """

    file: str
    line: int
    column: int
    what: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.column else f"{self.file}:{self.line}"
        return f"{place}: {self.what}"


class ModelError(UsageError):
    """Models that cannot be run.

    Args:
        problems: All that was found, one or more.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = sorted(set(problems))
        head = "" if len(self.problems) == 1 else f"{len(self.problems)} problems in the models:\n"
        super().__init__(head + "\n".join(_sentence(str(problem)) for problem in self.problems))


def _sentence(text: str) -> str:
    return text if text.endswith("?") else f"{text}."


def place_of(text: str, offset: int) -> tuple[int, int]:
    r"""Turn an offset in a text into line and column, both from 1.

    Example:
        >>> place_of("ab\ncd", 4)
        (2, 2)
    """
    before = text[:offset]
    return before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1


def suggestion(name: str, known: Iterable[str]) -> str:
    """Say which known name was probably meant, or which there are.

    Example:
        >>> suggestion("contry", ["city", "country"])
        '; did you mean country?'
        >>> suggestion("x", ["city", "country"])
        '; there are: city, country'
    """
    names = sorted(known)
    close = get_close_matches(name, names, n=1) or [each for each in names if each.endswith(f".{name}")][:1]
    if close:
        return f"; did you mean {close[0]}?"
    return f"; there are: {', '.join(names)}" if names else ""
