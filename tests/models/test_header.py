"""What a header says, and what it cannot say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brewhouse.models.header import AcceptedValues, NoRow, NotNull, RowCount, Unique, parse_header


def test_every_field_is_read() -> None:
    header = parse_header(
        """-- A row: a city.
-- Really.
-- key: a, B
-- unique: c
-- not null: a, c
-- accepted values: kind in micro, 'a, b', 'it''s'
-- row count: 1 to 5000
-- warn row count: at least 10
-- no row: all is well:
--   SELECT a
--   FROM gold.t
-- column a: What it
--   means.
-- partition: a
-- sort: b
-- ephemeral: yes
SELECT 1""",
        "t.sql",
    )
    assert header.description == "A row: a city. Really."
    assert (header.key, header.partition, header.sort, header.ephemeral) == (("a", "b"), ("a",), ("b",), True)
    assert header.columns == {"a": ("What it means.", 12)}
    assert header.rules == (
        Unique(("a", "b"), line=3),
        Unique(("c",), line=4),
        NotNull(("a", "c"), line=5),
        AcceptedValues(("kind",), ("micro", "a, b", "it's"), line=6),
        RowCount(1, 5000, line=7),
        RowCount(10, None, "warning", line=8),
        NoRow("all is well", "SELECT a\nFROM gold.t", line=10),
    )
    assert header.problems == ()
    assert header.size == 16


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("kye: a", "did you mean key?"),
        ("not nul: a", "did you mean not null?"),
        ("partiton: a", "did you mean partition?"),
        ("colum total: sum", "did you mean column total?"),
        ("warn key: a", "only a check can be a warning"),
        ("key: a,,b", "separated by commas"),
        ("unique:", "separated by commas"),
        ("accepted values: micro, nano", "accepted values: brewery_type in micro, nano"),
        ("row count: many", "`at least 1`"),
        ("row count: 5 to 1", "no table has 5 to 1 rows"),
        ("no row: SELECT 1", "no row: <what must hold>: SELECT"),
        ("ephemeral: perhaps", "yes or no"),
        ("sort: b", "a second time"),
    ],
)
def test_a_field_that_cannot_be_understood_is_named_with_its_line(line: str, fault: str) -> None:
    (problem,) = parse_header(f"-- A row.\n-- sort: a\n-- {line}\nSELECT 1", "t.sql").problems
    assert (problem.file, problem.line) == ("t.sql", 3)
    assert fault in problem.what


@pytest.mark.parametrize("sentence", ["Note: a row is a city.", "One thing: it is slow.", "See https://example.org."])
def test_a_sentence_with_a_colon_stays_description(sentence: str) -> None:
    header = parse_header(f"-- {sentence}\nSELECT 1", "t.sql")
    assert (header.description, header.problems) == (sentence, ())


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1), min_size=1))
def test_any_accepted_value_can_be_quoted(values: list[str]) -> None:
    listed = ", ".join("'" + value.replace("'", "''") + "'" for value in values)
    (rule,) = parse_header(f"-- accepted values: a in {listed}\nSELECT 1", "t.sql").rules
    assert isinstance(rule, AcceptedValues)
    assert list(rule.values) == values
