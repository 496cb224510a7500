"""Numbers, sizes and times in the notation of a language, by Unicode CLDR."""

from __future__ import annotations

from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any

from babel.dates import format_date, format_skeleton, format_timedelta
from babel.numbers import format_decimal

from brewhouse.console.language import locale_of

MISSING = "—"
_UNITS = ("B", "kB", "MB", "GB", "TB")


@lru_cache(10_000)
def number(value: float | None, language: str, decimals: int = 0) -> str:
    """Format a number with thousands separators; a dash for None.

    Example:
        >>> number(9083, "en"), number(9083.25, "pt-BR", 1), number(None, "en")
        ('9,083', '9.083,2', '—')
    """
    if value is None:
        return MISSING
    pattern = f"#,##0.{'0' * decimals}" if decimals else "#,##0"
    return format_decimal(value, pattern, locale_of(language))


def size(count_bytes: float | None, language: str) -> str:
    """Format a size in the largest decimal unit that fits.

    Example:
        >>> size(999, "en"), size(1_234_567, "en")
        ('999 B', '1.2 MB')
    """
    if count_bytes is None:
        return MISSING
    unit = 0
    while count_bytes >= 999.5 and unit < len(_UNITS) - 1:
        count_bytes, unit = count_bytes / 1000, unit + 1
    return f"{number(count_bytes, language, 1 if unit else 0)} {_UNITS[unit]}"


def duration(seconds: float | None, language: str) -> str:
    """Format a duration.

    Example:
        >>> duration(0.514, "en"), duration(75, "en"), duration(3700, "pt-BR")
        ('0.5 s', '1 min 15 s', '1 h 1 min')
    """
    if seconds is None:
        return MISSING
    if seconds < 59.95:  # 59.95 is written as 60.0
        return f"{number(seconds, language, 1)} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def day(value: date | None, language: str) -> str:
    """Format a date.

    Example:
        >>> day(date(2026, 8, 2), "en"), day(date(2026, 8, 2), "pt-BR")
        ('2 Aug 2026', '2 de ago. de 2026')
    """
    return MISSING if value is None else format_date(value, "medium", locale_of(language))


def date_part(value: date, fields: str, language: str) -> str:
    """Format some fields of a date: `yMMM` is its month, `MMMd` its day without the year.

    Example:
        >>> date_part(date(2026, 8, 2), "yMMM", "pt-BR"), date_part(date(2026, 8, 2), "MMMd", "pt-BR")
        ('ago. de 2026', '2 de ago.')
    """
    return format_skeleton(fields, value, locale=locale_of(language))


def d3_time_format(language: str) -> dict[str, Any]:
    """Return the names of months and days for charts, in d3's order, from Sunday on; d3 capitalises Portuguese ones.

    Example:
        >>> names = d3_time_format("pt-BR")
        >>> names["shortMonths"][1], names["months"][2], names["days"][0]
        ('fev', 'março', 'domingo')
    """
    locale = locale_of(language)

    def names(kind: str, width: str) -> list[str]:
        texts = getattr(locale, kind)["format"][width]
        return [texts[key].rstrip(".") for key in (range(1, 13) if kind == "months" else (6, *range(6)))]

    return {
        **dict.fromkeys(("dateTime", "date"), "%d/%m/%Y"),
        "time": "%H:%M",
        "periods": ["AM", "PM"],
        **{kind: names(kind, "wide") for kind in ("months", "days")},
        **{f"short{kind.capitalize()}": names(kind, "abbreviated") for kind in ("months", "days")},
    }


def moment(value: datetime | None, language: str) -> str:
    """Format a time in UTC.

    Example:
        >>> moment(datetime(2026, 8, 2, 12, 5, tzinfo=UTC), "en")
        '2 Aug 2026, 12:05 UTC'
    """
    if value is None:
        return MISSING
    value = value.astimezone(UTC) if value.tzinfo else value
    return f"{day(value, language)}, {value:%H:%M} UTC"


def ago(value: datetime, language: str, now: datetime | None = None) -> str:
    """Format a time relative to the present.

    Example:
        >>> from datetime import timedelta
        >>> noon = datetime(2026, 8, 2, 12, tzinfo=UTC)
        >>> [ago(noon, "en", noon + timedelta(minutes=minutes)) for minutes in (5, -150, 5000)]
        ['5 min ago', 'in 2 hr', '3 days ago']
        >>> ago(noon, "pt-BR", noon + timedelta(hours=30))
        'há 30 h'
    """
    span = value - (now or datetime.now(UTC))
    return format_timedelta(
        span, granularity="minute", threshold=2, add_direction=True, format="short", locale=locale_of(language)
    )


def cron_words(cron: str, language: str) -> str:
    """Describe a schedule.

    Example:
        >>> cron_words("30 2 * * 1-5", "en")
        'At 02:30, Monday through Friday'
        >>> cron_words("30 2 * * 1,5", "pt-BR")
        'Às 02:30, somente segunda-feira e sexta-feira'
    """
    from cron_descriptor import FormatError, Options, get_description

    english, local = locale_of("en"), locale_of(language)
    options = Options()
    options.locale_code = "pt_PT" if local.language == "pt" else "en_US"  # it has no pt_BR, and no names of days
    options.use_24hour_time_format = True
    try:
        words = str(get_description(cron, options))
    except FormatError:  # it knows fewer fields than cronsim
        return cron
    if local != english:
        for names in ("days", "months"):
            for key, name in getattr(english, names)["format"]["wide"].items():
                words = words.replace(name, getattr(local, names)["format"]["wide"][key])
        words = words.replace("somente de ", "somente ").replace(", e ", " e ")
    return words
