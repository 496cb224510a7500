"""The user's models beside the built-in ones: their order, and every error with file and line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from brewhouse.errors import UsageError
from brewhouse.models.model import ZONES
from brewhouse.models.problems import ModelError
from brewhouse.models.project import models_of

Write = Callable[[Mapping[str, str]], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Make a folder of models: text by path."""

    def make(files: Mapping[str, str]) -> Path:
        for name, text in files.items():
            file = tmp_path / "models" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, "utf-8")
        return tmp_path / "models"

    return make


def problems(folder: Path) -> list[str]:
    with pytest.raises(ModelError) as caught:
        models_of(*ZONES, folder=folder)
    return [str(problem).removeprefix(f"{folder}/") for problem in caught.value.problems]


def test_models_stand_in_their_zones_in_order(write: Write) -> None:
    folder = write(
        {
            "a.sql": "SELECT id FROM gold.b",
            "gold/b.sql": "SELECT id FROM silver.z",
            "silver/z.sql": "SELECT id FROM silver.breweries;\n",
        }
    )
    own = [model.name for model in models_of(*ZONES, folder=folder) if model.user_defined]
    assert own == ["silver.z", "gold.b", "gold.a"]
    assert "silver.z" in [model.name for model in models_of("silver", folder=folder)]


def test_a_check_makes_a_model_wait_for_what_it_reads(write: Write) -> None:
    folder = write({"a.sql": "-- no row: x: SELECT * FROM gold.z\nSELECT 1 AS x", "z.sql": "SELECT 1 AS y"})
    (a,) = [model for model in models_of("gold", folder=folder) if model.name == "gold.a"]
    assert (a.reads, a.depends_on) == ((), ("gold.z",))
    names = [model.name for model in models_of("gold", folder=folder)]
    assert names.index("gold.z") < names.index("gold.a")


@pytest.mark.parametrize(
    ("file", "text", "problem"),
    [
        (
            "t.sql",
            "SELECT id\nFROM silver.brewery",
            "t.sql:2:6: unknown table silver.brewery; did you mean silver.",
        ),
        (
            "t.sql",
            "SELECT id FROM breweries",
            "t.sql:1:16: unknown table breweries; did you mean silver.breweries?",
        ),
        ("t.sql", "-- A row.\n\nSELECT '🍺' AS b,\n  ctry FROM silver.breweries", "t.sql:4:3: unknown column ctry"),
        ("t.sql", "SELECT b.nam FROM silver.breweries AS b", "t.sql:1:10: unknown column nam in b; did you mean name?"),
        ("t.sql", "SELECT x.name FROM silver.breweries AS b", "t.sql:1:10: unknown table or alias x in x.name"),
        (
            "t.sql",
            "WITH a AS (SELECT naem FROM silver.breweries) SELECT * FROM a",
            "t.sql:1:19: unknown column naem",
        ),
        (
            "t.sql",
            "SELECT a.id FROM silver.breweries a, silver.breweries b WHERE name > ''",
            "t.sql:1:63: ambiguous column name: qualify it with a or b",
        ),
        ("t.sql", "SELECT a.id FROM silver.breweries a JOIN gold.breweries_by_location b USING (id)", "t.sql:1:78: "),
        ("t.sql", "SELECT id FROM silver.breweries GROUP BY 3", "t.sql:1:1: Unknown output column: 3"),
        ("t.sql", "SELECT id FROM gold.t", "t.sql:1:16: the models form a cycle: gold.t reads gold.t"),
        ("silver/breweries.sql", "SELECT 1 AS a", "silver/breweries.sql:1: the table silver.breweries is built in"),
        (
            "t.sql",
            "-- A row.\nDELETE FROM silver.breweries",
            "t.sql:2:1: a model is one SELECT, but this begins with DELETE",
        ),
        (
            "t.sql",
            "WITH a AS (SELECT 1 AS x) INSERT INTO b SELECT * FROM a",
            "t.sql:1:1: a model is one SELECT, not INSERT",
        ),
        ("t.sql", "SELECT 1 AS a;\nSELECT 2 AS b", "t.sql:2:1: a model is one SELECT; remove the second statement"),
        ("t.sql", "-- A row.\nSELECT id,\nFROM WHERE", "t.sql:3:6: invalid Spark SQL"),
        ("t.sql", "-- A row.\nSELECT id,\n 'x FROM t", "t.sql:3: a string or a comment begins here and is not closed"),
        ("t.sql", "-- A row.\n", "t.sql:1: the file has no SELECT"),
        ("t.sql", "-- key: ctry\nSELECT country FROM silver.breweries", "t.sql:1: the SELECT has no column ctry"),
        ("t.sql", "-- A.\n-- partition: x\nSELECT 1 AS a", "t.sql:2: the SELECT has no column x; known: a"),
        ("t.sql", "-- A.\n-- sort: x\nSELECT 1 AS a", "t.sql:2: the SELECT has no column x"),
        ("t.sql", "-- A.\n-- not null: x\nSELECT 1 AS a", "t.sql:2: the SELECT has no column x"),
        ("t.sql", "-- accepted values: x in 1\nSELECT 1 AS a", "t.sql:1: the SELECT has no column x"),
        ("t.sql", "-- column x: y\nSELECT 1 AS a", "t.sql:1: the SELECT has no column x"),
        (
            "t.sql",
            "-- no row: fine:\n--   SELECT\n--   b FROM gold.t\nSELECT 1 AS a",
            "t.sql:3:6: unknown column b",
        ),
        ("t.sql", "-- no row: fine: SELECT * FROM gold.u\nSELECT 1 AS a", "t.sql:1:32: unknown table gold.u"),
        (
            "t.sql",
            "-- no row: fine: DROP TABLE x\nSELECT 1 AS a",
            "t.sql:1:18: a model is one SELECT, but this begins with D",
        ),
        ("t.sql", "-- kye: a\nSELECT 1 AS a", "t.sql:1: unknown field 'kye'; did you mean 'key'?"),
        ("t.sql", "SELECT 1 AS b, count(*) FROM silver.breweries", "t.sql:1:16: name the column COUNT(*)"),
        ("t.sql", "SELECT id, name AS id FROM silver.breweries", "t.sql:1:8: two columns are named id"),
        ("t.sql", "SELECT id AS `a b` FROM silver.breweries", "t.sql:1:8: a b is not a column name"),
        (
            "silver/t.sql",
            "SELECT name FROM gold.breweries_by_location",
            "silver/t.sql:1:18: gold.breweries_by_location cannot",
        ),
        ("t.sql", "SELECT id FROM staging.records", "t.sql:1:16: staging.records cannot be read here: it is ephemeral"),
        (
            "t.sql",
            "SELECT id FROM bronze.breweries",
            "t.sql:1:16: bronze.breweries cannot be read here: only silver models",
        ),
        ("2nd.sql", "SELECT 1 AS a", "2nd.sql:1: 2nd is not a table name"),
        (
            "silber/t.sql",
            "SELECT 1 AS a",
            "silber/t.sql:1: models belong in silver/, in gold/, or in the",
        ),
    ],
)
def test_what_cannot_be_run_is_named_with_file_and_line(write: Write, file: str, text: str, problem: str) -> None:
    (found,) = problems(write({file: text}))
    assert found.startswith(problem)


def test_a_name_two_files_want_is_an_error(write: Write) -> None:
    (found,) = problems(write({"t.sql": "SELECT 1 AS a", "gold/t.sql": "SELECT 1 AS a"}))
    assert found.startswith("t.sql:1: the table gold.t is also defined by ")


def test_a_circle_is_named_where_it_is_entered(write: Write) -> None:
    texts = {"a.sql": "SELECT x FROM gold.b", "b.sql": "SELECT x\nFROM gold.c", "c.sql": "SELECT x FROM gold.a"}
    (found,) = problems(write(texts))
    words = found.partition("form a cycle: ")[2].split(" reads ")
    assert words[0] == words[-1]
    assert set(words) == {"gold.a", "gold.b", "gold.c"}
    place, first, second = found.partition(":")[0], words[0], words[1]
    assert place == f"{first[-1]}.sql"
    assert second in texts[place]


def test_all_files_problems_are_told_at_once(write: Write) -> None:
    found = problems(write({"a.sql": "SELECT 1", "b.sql": "SELECT nam FROM silver.breweries"}))
    assert [problem.partition(":")[0] for problem in found] == ["a.sql", "b.sql"]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"models folder .* does not exist"):
        models_of(folder=tmp_path / "absent")


def test_a_file_that_is_no_text_is_named_with_its_line(write: Write) -> None:
    folder = write({"t.sql": ""})
    (folder / "t.sql").write_bytes(b"-- A row.\nSELECT '\xff' AS a")
    assert problems(folder) == ["t.sql:2: the file is not UTF-8 text"]


def test_built_in_models_pass_what_the_users_must(write: Write) -> None:
    assert models_of(*ZONES, folder=write({"t.sql": "SELECT 1 AS a"}))


@pytest.mark.parametrize("changed", ["silver/a.sql", "b.sql"])
def test_a_version_changes_with_the_file_and_with_those_it_needs(write: Write, changed: str) -> None:
    texts = {
        "silver/a.sql": "SELECT id FROM silver.breweries",
        "b.sql": "SELECT id FROM silver.a",
        "c.sql": "SELECT 1 AS x",
    }

    def versions() -> dict[str, str]:
        return {model.name: model.version for model in models_of(*ZONES, folder=write(texts))}

    before = versions()
    texts[changed] += " WHERE true"
    after = versions()
    different = {name for name in before if before[name] != after[name]}
    assert different == ({"silver.a", "gold.b"} if changed == "silver/a.sql" else {"gold.b"})


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.permutations(range(6)), st.sets(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=8))
def test_every_model_stands_after_what_it_reads(write: Write, names: list[int], pairs: set[tuple[int, int]]) -> None:
    texts = {}
    for number in range(6):
        read = sorted({low for low, high in pairs if high == number and low < high})
        tables = "".join(f" CROSS JOIN gold.t{names[low]} AS u{low}" for low in read)
        texts[f"t{names[number]}.sql"] = f"SELECT s.run AS run{number} FROM (SELECT 1 AS run) AS s{tables}"
    ordered = models_of(*ZONES, folder=write(texts))
    places = {model.name: place for place, model in enumerate(ordered)}
    assert all(places[read] < places[model.name] for model in ordered for read in model.reads if read in places)
