"""Numbers, sizes and times in the notation of a language."""

from __future__ import annotations

from datetime import UTC, date, datetime

MISSING = "—"
_MONTHS = {
    "en": ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"],
    "pt": ["jan.", "fev.", "mar.", "abr.", "mai.", "jun.", "jul.", "ago.", "set.", "out.", "nov.", "dez."],
}
_DAYS = {"Mon": "segunda", "Tues": "terça", "Wednes": "quarta", "Thurs": "quinta", "Fri": "sexta"}
_WEEKEND = {"Saturday": "sábado", "Sunday": "domingo"}
_UNITS = ("B", "kB", "MB", "GB", "TB")


def number(value: float | None, language: str, decimals: int = 0) -> str:
    """Format a number with thousands separators; a dash for None.

    Example:
        >>> number(9083, "en"), number(9083.25, "pt", 1), number(None, "en")
        ('9,083', '9.083,2', '—')
    """
    if value is None:
        return MISSING
    text = f"{value:,.{decimals}f}"
    return text.translate(str.maketrans(",.", ".,")) if language.startswith("pt") else text


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
        >>> duration(0.514, "en"), duration(75, "en"), duration(3700, "pt")
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
        >>> day(date(2026, 8, 2), "en"), day(date(2026, 8, 2), "pt")
        ('2 Aug 2026', '2 de ago. de 2026')
    """
    if value is None:
        return MISSING
    joint = " de " if language.startswith("pt") else " "
    return joint.join([str(value.day), _MONTHS[language[:2]][value.month - 1], str(value.year)])


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
        >>> [ago(noon, "en", noon + timedelta(minutes=minutes)) for minutes in (0, 5, -90, 5000)]
        ['just now', '5 min ago', 'in 2 h', '3 days ago']
        >>> ago(noon, "pt", noon + timedelta(hours=30))
        'há 30 h'
    """
    is_portuguese = language.startswith("pt")
    seconds = ((now or datetime.now(UTC)) - value).total_seconds()
    minutes, hours, days = (round(abs(seconds) / unit) for unit in (60, 3600, 86400))
    if not minutes:
        return "agora" if is_portuguese else "just now"
    days_word = "dias" if is_portuguese else "days"
    span = f"{minutes} min" if minutes < 60 else f"{hours} h" if hours < 48 else f"{days} {days_word}"
    if seconds < 0:
        return f"{'em' if is_portuguese else 'in'} {span}"
    return f"há {span}" if is_portuguese else f"{span} ago"


def cron_words(cron: str, language: str) -> str:
    """Describe a schedule.

    Example:
        >>> cron_words("30 2 * * 1-5", "en")
        'At 02:30, Monday through Friday'
        >>> cron_words("30 2 * * 1-5", "pt")
        'Às 02:30, de segunda-feira a sexta-feira'
    """
    from cron_descriptor import FormatError, Options, get_description

    options = Options()
    options.locale_code = "pt_PT" if language.startswith("pt") else "en_US"  # it has no pt_BR, and no names of days
    options.use_24hour_time_format = True
    try:
        words = str(get_description(cron, options))
    except FormatError:  # it knows fewer fields than cronsim
        return cron
    if language.startswith("pt"):
        for english, portuguese in {**{f"{k}day": f"{v}-feira" for k, v in _DAYS.items()}, **_WEEKEND}.items():
            words = words.replace(english, portuguese)
    return words
