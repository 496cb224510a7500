"""Numbers, sizes, durations and times follow the notation of each language."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brewhouse.console import formatting
from brewhouse.console.language import LANGUAGES

EN, PT = "en", "pt-BR"
languages = st.sampled_from(sorted(LANGUAGES))


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("function", ["number", "size", "duration", "day", "moment"])
def test_a_missing_value_is_a_dash(function: str, language: str) -> None:
    assert getattr(formatting, function)(None, language) == "—"


@pytest.mark.parametrize(
    ("value", "decimals", "english", "portuguese"),
    [
        (0, 0, "0", "0"),
        (999, 0, "999", "999"),
        (1000, 0, "1,000", "1.000"),
        (-1234567, 0, "-1,234,567", "-1.234.567"),
        (1234.5, 1, "1,234.5", "1.234,5"),
        (0.05, 2, "0.05", "0,05"),
    ],
)
def test_separators_depend_on_the_language(value: float, decimals: int, english: str, portuguese: str) -> None:
    assert formatting.number(value, EN, decimals) == english
    assert formatting.number(value, PT, decimals) == portuguese


@given(st.integers(-(10**15), 10**15), languages)
def test_an_integer_keeps_all_its_digits(value: int, language: str) -> None:
    assert int(re.sub(r"[.,]", "", formatting.number(value, language))) == value


@given(st.floats(0, 10**15), languages)
def test_a_size_has_at_most_three_digits_before_the_decimal_separator(count_bytes: float, language: str) -> None:
    text = formatting.size(count_bytes, language)
    value, unit = text.split(" ")
    assert unit in {"B", "kB", "MB", "GB", "TB"}
    assert len(re.split(r"[.,]", value)[0]) <= 3 or unit == "TB"


@pytest.mark.parametrize(
    ("count_bytes", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (999_949, "1.0 MB"), (10**9, "1.0 GB"), (5 * 10**15, "5,000.0 TB")],
)
def test_a_size_uses_the_largest_unit_that_fits(count_bytes: float, text: str) -> None:
    assert formatting.size(count_bytes, EN) == text
    assert formatting.size(count_bytes, PT) == text.translate(str.maketrans(",.", ".,"))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 0 s"),
        (60, "1 min 0 s"),
        (3599.4, "59 min 59 s"),
        (3599.6, "1 h 0 min"),
        (90_000, "25 h 0 min"),
    ],
)
def test_a_duration_never_shows_sixty_of_a_unit(seconds: float, text: str) -> None:
    assert formatting.duration(seconds, EN) == text


@given(st.floats(0, 10**7), languages)
def test_minutes_and_seconds_of_a_duration_are_below_sixty(seconds: float, language: str) -> None:
    parts = re.findall(r"(\d+)(?:[.,]\d)? (h|min|s)", formatting.duration(seconds, language))
    assert 1 <= len(parts) <= 2
    assert all(int(count) < 60 for count, unit in parts if unit != "h")


@given(st.dates(), languages)
def test_a_day_names_day_month_and_year(value: date, language: str) -> None:
    assert re.findall(r"\d+", formatting.day(value, language)) == [str(value.day), str(value.year)]


def test_every_month_has_its_own_name_in_each_language() -> None:
    for language in LANGUAGES:
        days = [formatting.day(date(2026, month, 1), language) for month in range(1, 13)]
        assert len(set(days)) == 12
    assert formatting.day(date(2026, 9, 7), PT) == "7 de set. de 2026"
    assert formatting.day(date(2026, 9, 7), EN) == "7 Sept 2026"


def test_a_time_is_converted_to_utc() -> None:
    sao_paulo = timezone(timedelta(hours=-3))
    value = datetime(2026, 8, 2, 22, 30, tzinfo=sao_paulo)
    assert formatting.moment(value, EN) == formatting.moment(value.astimezone(UTC), EN) == "3 Aug 2026, 01:30 UTC"
    assert formatting.moment(value, PT) == "3 de ago. de 2026, 01:30 UTC"
    naive = datetime(2026, 8, 2, 12)  # noqa: DTZ001 - a time without a zone
    assert formatting.moment(naive, EN) == "2 Aug 2026, 12:00 UTC", "naive times are UTC"
