"""Schedules of Glue triggers: six fields in UTC, of which CloudFormation only checks that they are six."""

from __future__ import annotations

import re

_FIELDS = (
    ("minute", 0, 59),
    ("hour", 0, 23),
    ("day of month", 1, 31),
    ("month", 1, 12),
    ("day of week", 1, 7),
    ("year", 1970, 2199),
)
_NAMES = {
    "month": "JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC",
    "day of week": "SUN|MON|TUE|WED|THU|FRI|SAT",
}
_SPECIAL = {"day of month": r"\?|L|L?W|([1-9]|[12]\d|3[01])W", "day of week": r"\?|[1-7]?L|[1-7]#[1-5]"}


def schedule_problem(expression: str) -> str:
    """Return what is invalid in a schedule, or an empty text.

    Six fields, UTC: minutes, hours, day of month, month, day of week, year; one of the two days is `?`.
    https://docs.aws.amazon.com/glue/latest/dg/monitor-data-warehouse-schedule.html

    Example:
        >>> schedule_problem("cron(0 6 * * ? *)")
        ''
        >>> schedule_problem("cron(0 6 * * * *)")
        'exactly one of day of month and day of week must be ?'
    """
    match = re.fullmatch(r"cron\((.*)\)", expression)
    fields = match[1].split(" ") if match else []
    if len(fields) != len(_FIELDS):
        return "it must be cron() with six fields, UTC"
    if (fields[2] == "?") == (fields[4] == "?"):
        return "exactly one of day of month and day of week must be ?"
    for text, (name, low, high) in zip(fields, _FIELDS, strict=True):
        if not _is_valid(text, name, low, high):
            return f"{text} is an invalid {name}"
    return ""


def _is_valid(text: str, name: str, low: int, high: int) -> bool:
    if text == "*" or re.fullmatch(_SPECIAL.get(name, "(?!)"), text):
        return True
    value = rf"(?:{_NAMES.get(name, '(?!)')}|\d+)"
    if not re.fullmatch(rf"(?:\*|{value}(?:-{value})?)(?:/\d+)?(?:,{value}(?:-{value})?)*", text):
        return False
    return all(low <= int(number) <= high for number in re.findall(r"(?<!/)\b\d+", text))
