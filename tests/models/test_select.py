"""Analysis of a SELECT: its tables, its result columns, and the positions of unknown names and syntax errors."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brewhouse.models.problems import ModelError
from brewhouse.models.select import parse_select

KNOWN = {"silver.a": ["id", "name", "city"], "silver.b": ["id", "kind"]}
READABLE = {"silver.a": "", "silver.b": "", "gold.c": "gold is built from silver"}


def columns(sql: str) -> tuple[tuple[str, ...], list[str]]:
    """Return the result columns and the problems, as line:column: text."""
    names, problems = parse_select(sql, "t.sql").columns(KNOWN)
    return names, [str(problem).removeprefix("t.sql:") for problem in problems]


@pytest.mark.parametrize(
    ("sql", "reads"),
    [
        ("SELECT id FROM silver.a", ("silver.a",)),
        ("SELECT id FROM Silver.`A`", ("silver.a",)),
        ("SELECT a.id FROM silver.b AS b JOIN silver.a AS a ON a.id = b.id", ("silver.a", "silver.b")),
        ("SELECT id FROM silver.a WHERE id IN (SELECT id FROM silver.b)", ("silver.a", "silver.b")),
        ("SELECT (SELECT max(id) FROM silver.b) AS m FROM silver.a", ("silver.a", "silver.b")),
        ("SELECT id FROM silver.a UNION ALL SELECT id FROM silver.b", ("silver.a", "silver.b")),
        ("(SELECT id FROM silver.a) EXCEPT (SELECT id FROM silver.b)", ("silver.a", "silver.b")),
        ("WITH a AS (SELECT id FROM silver.b) SELECT id FROM a", ("silver.b",)),
        ("SELECT id FROM silver.a AS x, silver.a AS y", ("silver.a",)),
        ("SELECT id FROM range(10)", ()),
        ("SELECT id FROM a", ()),
        ("SELECT 'silver.a' AS x -- silver.b", ()),
    ],
)
def test_the_tables_are_those_with_a_zone_wherever_they_are_read(sql: str, reads: tuple[str, ...]) -> None:
    assert parse_select(sql, "t.sql").reads == reads


@pytest.mark.parametrize(
    ("sql", "names"),
    [
        ("SELECT id AS x, a.name, city FROM silver.a AS a", "x name city"),
        ("SELECT ID, `Name` FROM silver.a", "id name"),
        ("SELECT * FROM silver.a", "id name city"),
        ("SELECT b.*, a.city FROM silver.a AS a JOIN silver.b AS b ON a.id = b.id", "id kind city"),
        ("SELECT * EXCEPT (id) FROM silver.a", "name city"),
        ("SELECT * FROM (SELECT id, city AS place FROM silver.a) AS x", "id place"),
        ("WITH c AS (SELECT id, name AS n FROM silver.a) SELECT * FROM c", "id n"),
        ("WITH c (x, y) AS (SELECT id, name FROM silver.a) SELECT * FROM c", "x y"),
        ("WITH c AS (SELECT id FROM silver.a), d AS (SELECT * FROM c) SELECT * FROM d", "id"),
        ("SELECT id AS x FROM silver.a UNION ALL SELECT kind FROM silver.b", "x"),
        ("SELECT CASE WHEN id IS NULL THEN name ELSE city END AS c FROM silver.a", "c"),
        ("SELECT (SELECT max(kind) FROM silver.b AS b WHERE b.id = a.id) AS k FROM silver.a AS a", "k"),
        ("SELECT (SELECT max(kind) FROM silver.b AS b WHERE b.id = name) AS k FROM silver.a AS a", "k"),
        ("SELECT id FROM silver.a JOIN silver.b USING (id)", "id"),
        ("SELECT a.id FROM silver.a AS a LEFT ANTI JOIN silver.b AS b ON a.id = b.id", "id"),
        ("SELECT id AS i, count(*) AS n FROM silver.a GROUP BY i HAVING count(*) > 1 ORDER BY n", "i n"),
        ("SELECT row_number() OVER (PARTITION BY city ORDER BY id) AS n FROM silver.a", "n"),
        ("SELECT explode(split(name, ' ')) AS word FROM silver.a", "word"),
        ("SELECT id, z FROM silver.a LATERAL VIEW explode(array(1)) t AS z", "id z"),
        ("SELECT id, x FROM silver.a PIVOT (count(*) FOR city IN ('x'))", "id x"),
        ("SELECT 1 AS a, 'x' AS b", "a b"),
    ],
)
def test_the_result_columns_are_derived_from_the_tables(sql: str, names: str) -> None:
    assert columns(sql) == (tuple(names.split()), [])


@pytest.mark.parametrize(
    ("sql", "problem"),
    [
        ("SELECT id,\n  nme FROM silver.a", "2:3: unknown column nme. Did you mean name?"),
        ("SELECT a.nme FROM silver.a AS a", "1:10: unknown column nme in a. Did you mean name?"),
        ("SELECT x.id FROM silver.a AS a", "1:10: unknown table or alias x in x.id. Known: a."),
        ("SELECT a.id FROM silver.a AS x", "1:10: unknown table or alias a in a.id. Known: x."),
        ("SELECT id FROM silver.a, silver.b", "1:8: ambiguous column id: qualify it with a or b"),
        (
            "WITH c AS (SELECT id FROM silver.a) SELECT id FROM c AS x, c AS y",
            "1:44: ambiguous column id: qualify it with x or y",
        ),
        ("SELECT CASE WHEN id = 1 THEN nme END AS c FROM silver.a", "1:30: unknown column nme. Did you mean name?"),
        ("SELECT id FROM silver.a UNION ALL SELECT nope FROM silver.b", "1:42: unknown column nope. Known: id, kind."),
        ("SELECT x.city FROM (SELECT id FROM silver.a) AS x", "1:10: unknown column city in x. Known: id."),
        ("WITH c AS (SELECT id AS x FROM silver.a) SELECT id FROM c", "1:49: unknown column id. Known: x."),
        (
            "SELECT id FROM silver.a WHERE EXISTS (SELECT 1 FROM silver.b AS b WHERE b.knd = 1)",
            "1:75: unknown column knd in b. Did you mean kind?",
        ),
        (
            "SELECT (SELECT max(b.kind) FROM silver.b AS b WHERE b.id = a.idd) AS k FROM silver.a AS a",
            "1:62: unknown column idd in a. Did you mean id?",
        ),
        ("SELECT (SELECT max(nope) FROM silver.b) AS k FROM silver.a", "1:20: unknown column nope. Known: id, kind."),
        ("SELECT id FROM silver.a WHERE nme = 'x'", "1:31: unknown column nme. Did you mean name?"),
        ("SELECT id FROM silver.a GROUP BY idd", "1:34: unknown column idd. Did you mean id?"),
        ("SELECT id FROM silver.a ORDER BY nme", "1:34: unknown column nme. Did you mean name?"),
        ("SELECT sum(1) OVER (PARTITION BY cty) AS n FROM silver.a", "1:34: unknown column cty. Did you mean city?"),
        (
            "SELECT id FROM silver.a JOIN silver.b USING (name)",
            "1:46: Cannot join by a column that is not in both: name",
        ),
        ("SELECT a.id FROM silver.a AS a JOIN silver.b AS a ON true", "1:49: Alias already used: a"),
    ],
)
def test_an_unknown_or_ambiguous_column_is_reported_once_with_its_position(sql: str, problem: str) -> None:
    assert columns(sql)[1] == [problem]


def test_all_unknown_columns_are_reported_in_the_order_of_the_text() -> None:
    _, problems = columns("SELECT one,\n two FROM silver.a WHERE three > 0")
    assert [problem.partition(". ")[0] for problem in problems] == [
        *("1:8: unknown column one", "2:2: unknown column two", "2:26: unknown column three")
    ]


@pytest.mark.parametrize(
    ("sql", "problems"),
    [
        ("SELECT 1 AS x FROM silver.a, silver.b", []),
        ("SELECT 1 AS x FROM silver.aa", ["t.sql:1:20: unknown table silver.aa. Did you mean silver.a?"]),
        ("SELECT 1 AS x FROM cat.silver.a", ["t.sql:1:20: unknown table cat.silver.a. Did you mean silver.a?"]),
        ("SELECT 1 AS x\nFROM gold.c", ["t.sql:2:6: gold.c cannot be read here: gold is built from silver"]),
        ("WITH b AS (SELECT 1 AS x) SELECT x FROM b", []),
        ("WITH b AS (SELECT 1 AS x) SELECT x FROM b AS y", []),
        (
            "WITH b AS (SELECT 1 AS x) SELECT 1 AS x FROM gold.b",
            ["t.sql:1:46: unknown table gold.b. Known: silver.a, silver.b."],
        ),
        ("SELECT 1 AS x FROM b", ["t.sql:1:20: unknown table b. Did you mean silver.b?"]),
        ("SELECT 1 AS x FROM range(3)", []),
    ],
)
def test_an_unknown_or_closed_table_is_reported_and_a_cte_is_not(sql: str, problems: list[str]) -> None:
    assert [str(problem) for problem in parse_select(sql, "t.sql").table_problems(READABLE)] == problems


@pytest.mark.parametrize(
    ("sql", "problem"),
    [
        ("SELECT 1 AS a, id + 1 FROM silver.a", "1:16: name the column id + 1: … AS name"),
        ("SELECT\n count(*) FROM silver.a", "2:2: name the column COUNT(*): … AS name"),
        ("SELECT CASE WHEN id = 1 THEN 2 END FROM silver.a", "1:18: name the column CASE"),
    ],
)
def test_a_column_needs_a_name(sql: str, problem: str) -> None:
    (found,) = parse_select(sql, "t.sql").unnamed_columns()
    assert str(found).removeprefix("t.sql:").startswith(problem)


@pytest.mark.parametrize(
    "sql", ["SELECT id, a.id AS x FROM silver.a AS a", "SELECT * FROM silver.a", "SELECT a.* FROM a"]
)
def test_columns_with_names_and_stars_are_accepted(sql: str) -> None:
    assert parse_select(sql, "t.sql").unnamed_columns() == []


@pytest.mark.parametrize(
    ("name", "position"), [("x", (2, 8)), ("y", (3, 3)), ("z", (4, 3)), ("only in the star", (2, 1))]
)
def test_a_result_column_has_a_position(name: str, position: tuple[int, int]) -> None:
    select = parse_select("-- A row.\nSELECT a.id AS x,\n  y,\n  upper(name) AS Z, b.*\nFROM silver.a AS a", "t.sql")
    assert select.column_position(name) == position


def test_a_table_has_the_position_of_its_first_occurrence() -> None:
    select = parse_select("SELECT 1 AS x\nFROM silver.a,\n silver.b, silver.b AS c", "t.sql")
    assert [select.table_position(name) for name in ("silver.a", "silver.b", "silver.none")] == [(2, 6), (3, 2), (1, 1)]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "t.sql:1: the file has no SELECT"),
        ("-- A row.\n\n/* nothing */", "t.sql:3: the file has no SELECT"),
        ("VALUES (1)", "t.sql:1:1: a model is one SELECT, but this begins with VALUES"),
        ("-- A row.\n  DROP TABLE x", "t.sql:2:3: a model is one SELECT, but this begins with DROP"),
        ("WITH a AS (SELECT 1 AS x) DELETE FROM a", "t.sql:1:1: a model is one SELECT, not DELETE"),
        ("SELECT 1 AS a;\n SELECT 2 AS b", "t.sql:2:2: a model is one SELECT; remove the second statement"),
        ("SELECT 1 AS a;;", "t.sql:1:15: a model is one SELECT; remove the second statement"),
        ("SELECT 1 AS a\n/* x", "t.sql:2: a string or a comment begins here; close it"),
        ("SELECT 1 AS a,\n  'x\n\n", "t.sql:2: a string or a comment begins here; close it"),
        ("'x", "t.sql:1: a string or a comment begins here; close it"),
        ("SELECT (1 AS a", "t.sql:1:14: invalid Spark SQL near a: Expecting )"),
        ("SELECT id FROM silver.a\nLIMIT", "t.sql:2:1: invalid Spark SQL near LIMIT: "),
    ],
)
def test_text_that_is_not_one_select_is_rejected_at_its_position(text: str, problem: str) -> None:
    with pytest.raises(ModelError) as caught:
        parse_select(text, "t.sql")
    (found,) = caught.value.problems
    assert str(found).startswith(problem)


@pytest.mark.parametrize(
    "text", ["SELECT 1 AS a;", "SELECT 1 AS a ; -- end", "SELECT 1 AS a; /* ; */\n-- ;", "SELECT ';' AS a -- ; x"]
)
def test_a_semicolon_and_comments_may_end_the_statement(text: str) -> None:
    assert parse_select(text, "t.sql").columns({}) == (("a",), [])


@given(st.text(st.sampled_from(" \t\n") | st.characters(codec="utf-8", categories=["L", "So"])))
def test_positions_count_characters_after_any_comment(comment: str) -> None:
    lines = [f"-- {line}" for line in comment.splitlines()]
    text = "\n".join([*lines, f"/* {comment} */ SELECT nope FROM silver.a"])
    (problem,) = parse_select(text, "t.sql").columns(KNOWN)[1]
    line, column = problem.line, problem.column
    assert text.split("\n")[line - 1][column - 1 :].startswith("nope FROM")
