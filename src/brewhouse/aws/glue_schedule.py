"""Schedules of Glue triggers: six fields in UTC, of which CloudFormation only checks that they are six."""

from __future__ import annotations

import re

_DAY = "[1-9]|[12][0-9]|3[01]"
_FIELDS = {  # a value of each, and what may stand there instead of values
    "minute": ("[0-5]?[0-9]", "[*]"),
    "hour": ("[01]?[0-9]|2[0-3]", "[*]"),
    "day of month": (f"0?(?:{_DAY})", rf"[*?]|L|L?W|(?:{_DAY})W"),
    "month": ("0?[1-9]|1[0-2]|JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC", "[*]"),
    "day of week": ("[1-7]|SUN|MON|TUE|WED|THU|FRI|SAT", "[*?]|[1-7]?L|[1-7]#[1-5]"),
    "year": ("19[7-9][0-9]|2[01][0-9][0-9]", "[*]"),
}


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
    for text, (name, (value, special)) in zip(fields, _FIELDS.items(), strict=True):
        values = rf"(?:{value})(?:-(?:{value}))?"
        if not re.fullmatch(rf"{special}|(?:[*]|{values})(?:/[0-9]+)?(?:,{values})*", text):
            return f"{text} is an invalid {name}"
    return ""
