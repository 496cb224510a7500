"""The header of a model file: every field, and every error with its line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brewhouse.models.header import (
    AcceptedValues,
    Header,
    NoRow,
    NotNull,
    RowCount,
    Rule,
    Unique,
    header_lines,
    parse_header,
)


def parsed(*lines: str) -> Header:
    """Parse valid header lines."""
    header, problems = parse_header("\n".join([*(f"-- {line}" for line in lines), "SELECT 1"]), "t.sql")
    assert problems == []
    return header


def test_every_field_is_read() -> None:
    text = """-- A row: a city.
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
-- incremental by: snapshot_run
SELECT 1"""
    header, problems = parse_header(text, "t.sql")
    assert problems == []
    assert header.description == "A row: a city. Really."
    assert (header.key, header.partition, header.sort) == (("a", "b"), ("a",), ("b",))
    assert (header.ephemeral, header.incremental_by) == (True, "snapshot_run")
    assert header.columns == {"a": "What it means."}
    assert header.rules == (
        Unique(columns=("a", "b"), line=3),
        Unique(columns=("c",), line=4),
        NotNull(columns=("a", "c"), line=5),
        AcceptedValues(columns=("kind",), values=("micro", "a, b", "it's"), line=6),
        RowCount(least=1, most=5000, line=7),
        RowCount(least=10, most=None, severity="warning", line=8),
        NoRow(name="all is well", sql="SELECT a\nFROM gold.t", line=10),
    )
    lines = {"key": 3, "column a": 12, "partition": 14, "sort": 15, "ephemeral": 16, "incremental by": 17}
    assert header.lines == lines
    assert len(header_lines(text)) == 17


def test_without_fields_everything_has_a_default() -> None:
    assert parse_header("SELECT 1", "t.sql") == (Header(), [])
    assert parsed() == Header(description="", key=(), partition=(), sort=(), incremental_by="", ephemeral=False)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("-- a\n-- b\nSELECT 1\n-- key: x", 2),
        ("SELECT 1\n-- key: x", 0),
        ("\n-- key: x\nSELECT 1", 0),
        (" -- key: x\nSELECT 1", 0),
        ("-- a\n--\n-- b", 3),
        ("", 0),
    ],
)
def test_the_header_is_the_leading_comment_lines_only(text: str, count: int) -> None:
    assert len(header_lines(text)) == count
    assert parse_header(text, "t.sql")[0].key == ()


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("unique: A, b", Unique(columns=("a", "b"), line=1)),
        ("warn unique: a", Unique(columns=("a",), severity="warning", line=1)),
        ("not null: a", NotNull(columns=("a",), line=1)),
        ("warn not null: a", NotNull(columns=("a",), severity="warning", line=1)),
        ("Not  Null : a", NotNull(columns=("a",), line=1)),
        ("accepted values: K in 1, 'x y'", AcceptedValues(columns=("k",), values=("1", "x y"), line=1)),
        ("accepted values: k in a,, b,", AcceptedValues(columns=("k",), values=("a", "b"), line=1)),
        ("accepted values: k in ''", AcceptedValues(columns=("k",), values=("",), line=1)),
        ("row count: 7", RowCount(least=7, most=7, line=1)),
        ("row count: 0", RowCount(least=0, most=0, line=1)),
        ("row count: 3 to 3", RowCount(least=3, most=3, line=1)),
        ("row count: at most 10", RowCount(least=None, most=10, line=1)),
        ("row count:  at   least  2", RowCount(least=2, most=None, line=1)),
        ("no row: x: SELECT 1 AS a;", NoRow(name="x", sql="SELECT 1 AS a", line=1)),
        ("no row: x: SELECT 'a:b' AS a", NoRow(name="x", sql="SELECT 'a:b' AS a", line=1)),
        ("warn no row: x: SELECT 1", NoRow(name="x", sql="SELECT 1", severity="warning", line=1)),
    ],
)
def test_each_rule_is_read_with_its_severity(line: str, rule: Rule) -> None:
    assert parsed(line).rules == (rule,)


def test_a_query_on_continuation_lines_keeps_its_lines_and_its_first_line_number() -> None:
    (rule,) = parsed("A.", "no row: a long", "  condition:", "  SELECT a", "    FROM t").rules
    assert rule == NoRow(name="a long condition", sql="SELECT a\nFROM t", line=4)


def test_an_unindented_line_ends_an_entry_and_an_empty_one_too() -> None:
    header = parsed("First", "  sentence.", "", "  Second.", "key: a,", "  b", "Third.")
    assert header.description == "First sentence. Second. Third."
    assert header.key == ("a", "b")


@pytest.mark.parametrize(("value", "expected"), [("yes", True), ("no", False)])
def test_ephemeral_is_yes_or_no(value: str, expected: bool) -> None:
    assert parsed(f"ephemeral: {value}").ephemeral is expected


@pytest.mark.parametrize("batch", ["snapshot_run", "snapshot_date"])
def test_a_table_can_be_incremental_by_a_batch_column(batch: str) -> None:
    assert parsed(f"incremental by: {batch}").incremental_by == batch


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("kye: a", "unknown field 'kye'. Did you mean key?"),
        ("not nul: a", "unknown field 'not nul'. Did you mean not null?"),
        ("partiton: a", "Did you mean partition?"),
        ("incrementl by: a", "Did you mean incremental by?"),
        ("warn uniqe: a", "Did you mean unique?"),
        ("colum total: sum", "Did you mean column total?"),
        ("warn key: a", "key is not a check, so it cannot be a warning"),
        ("warn column a: b", "column a is not a check"),
        ("key: a,,b", "separated by commas, as in `key: country, city` (got 'a,,b')"),
        ("unique:", "separated by commas"),
        ("accepted values: micro, nano", "accepted values: brewery_type in micro, nano"),
        ("accepted values: kind in ,", "invalid accepted values"),
        ("row count: many", "`at least 1`"),
        ("row count: -1", "invalid row count '-1'; write"),
        ("row count: 5 to 1", "5 is greater than 1"),
        ("no row: SELECT 1", "no row: <condition>: SELECT"),
        ("no row: : SELECT 1", "no row: <condition>: SELECT"),
        ("ephemeral: perhaps", "ephemeral must be yes or no or view, not 'perhaps'"),
        ("incremental by: city", "incremental by must be snapshot_run or snapshot_date, not 'city'"),
        ("sort: b", "sort is specified twice; keep one"),
        ("column a: b", "column a is specified twice"),
    ],
)
def test_an_invalid_field_is_reported_with_its_line(line: str, error: str) -> None:
    text = f"-- A row.\n-- sort: a\n-- column a: b\n-- {line}\n--   \n-- not null: a\nSELECT 1"
    header, (problem,) = parse_header(text, "t.sql")
    assert (problem.file, problem.line, problem.column) == ("t.sql", 4, 0)
    assert error in problem.what
    assert header.rules == (NotNull(columns=("a",), line=6),)


def test_all_invalid_fields_are_reported() -> None:
    _, problems = parse_header("-- key:\n-- kye: a\n-- A row.\n-- ephemeral: maybe", "t.sql")
    assert [problem.line for problem in problems] == [1, 2, 4]


@pytest.mark.parametrize(
    "sentence",
    [
        *("Note: a row is a city.", "One thing: it is slow.", "See https://example.org.", "Columns of note: none."),
        *(": odd", "warn: odd", "keys", "grows by itself"),
    ],
)
def test_a_sentence_with_a_colon_stays_description(sentence: str) -> None:
    assert parsed(sentence) == Header(description=sentence)


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1), min_size=1))
def test_any_accepted_value_can_be_quoted(values: list[str]) -> None:
    listed = ", ".join("'" + value.replace("'", "''") + "'" for value in values)
    (rule,) = parsed(f"accepted values: a in {listed}").rules
    assert isinstance(rule, AcceptedValues)
    assert list(rule.values) == values


@given(st.text(st.characters(codec="utf-8")))
def test_any_text_has_a_header_or_problems_within_its_lines(text: str) -> None:
    _, problems = parse_header(text, "t.sql")
    assert all(1 <= problem.line <= len(text.splitlines()) for problem in problems)
