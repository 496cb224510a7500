"""User-defined models together with the built-in ones: their order, and every error with file and line."""

from __future__ import annotations

import os
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
    """Write a folder of models: text by path."""

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


def test_models_are_ordered_by_zone_and_dependency(write: Write) -> None:
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


def test_a_model_depends_on_the_tables_of_its_checks(write: Write) -> None:
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
            "t.sql:2:6: unknown table silver.brewery. Did you mean silver.",
        ),
        (
            "t.sql",
            "SELECT id FROM breweries",
            "t.sql:1:16: unknown table breweries. Did you mean silver.breweries?",
        ),
        ("t.sql", "-- A row.\n\nSELECT '🍺' AS b,\n  ctry FROM silver.breweries", "t.sql:4:3: unknown column ctry"),
        ("t.sql", "SELECT b.nam FROM silver.breweries AS b", "t.sql:1:10: unknown column nam in b. Did you mean name?"),
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
        ("t.sql", "-- A row.\nSELECT id,\n 'x FROM t", "t.sql:3: a string or a comment begins here; close it"),
        ("t.sql", "-- A row.\n", "t.sql:1: the file has no SELECT"),
        ("t.sql", "-- key: ctry\nSELECT country FROM silver.breweries", "t.sql:1: the SELECT has no column ctry"),
        ("t.sql", "-- A.\n-- partition: x\nSELECT 1 AS a", "t.sql:2: the SELECT has no column x. Known: a."),
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
        ("t.sql", "-- kye: a\nSELECT 1 AS a", "t.sql:1: unknown field 'kye'. Did you mean key?"),
        ("t.sql", "SELECT 1 AS b, count(*) FROM silver.breweries", "t.sql:1:16: name the column COUNT(*)"),
        (
            "t.sql",
            "SELECT id, name AS id FROM silver.breweries",
            "t.sql:1:8: two columns are named id; rename",
        ),
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
def test_an_invalid_model_is_reported_with_file_and_line(write: Write, file: str, text: str, problem: str) -> None:
    (found,) = problems(write({file: text}))
    assert found.startswith(problem)


def test_two_files_of_one_table_are_an_error(write: Write) -> None:
    (found,) = problems(write({"t.sql": "SELECT 1 AS a", "gold/t.sql": "SELECT 1 AS a"}))
    assert found.startswith("t.sql:1: the table gold.t is also defined by ")


def test_a_cycle_is_reported_at_one_of_its_models(write: Write) -> None:
    texts = {"a.sql": "SELECT x FROM gold.b", "b.sql": "SELECT x\nFROM gold.c", "c.sql": "SELECT x FROM gold.a"}
    (found,) = problems(write(texts))
    words = found.partition("form a cycle: ")[2].partition(";")[0].split(" reads ")
    assert words[0] == words[-1]
    assert set(words) == {"gold.a", "gold.b", "gold.c"}
    place, first, second = found.partition(":")[0], words[0], words[1]
    assert place == f"{first[-1]}.sql"
    assert second in texts[place]


def test_the_problems_of_all_files_are_reported_together(write: Write) -> None:
    found = problems(write({"a.sql": "SELECT 1", "b.sql": "SELECT nam FROM silver.breweries"}))
    assert [problem.partition(":")[0] for problem in found] == ["a.sql", "b.sql"]


def test_a_missing_folder_is_reported(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"models folder .* does not exist"):
        models_of(folder=tmp_path / "absent")


def test_a_file_that_is_not_utf_8_is_reported_with_its_line(write: Write) -> None:
    folder = write({"t.sql": ""})
    (folder / "t.sql").write_bytes(b"-- A row.\nSELECT '\xff' AS a")
    assert problems(folder) == ["t.sql:2: the file is not UTF-8 text"]


@pytest.mark.parametrize("content", ["-- A row.\nSELECT 1 AS a".encode("utf-16"), b"\xfe\xff", b"SELECT\0 1 AS a"])
def test_a_file_of_another_encoding_or_with_binary_data_is_reported(write: Write, content: bytes) -> None:
    folder = write({"t.sql": ""})
    (folder / "t.sql").write_bytes(content)
    assert problems(folder) == ["t.sql:1: the file is not UTF-8 text"]


@pytest.mark.parametrize("name", ["._x.sql", ".#x.sql", ".ipynb_checkpoints/x-checkpoint.sql", "silver/.x.sql", "x.md"])
def test_hidden_and_other_files_are_no_models(write: Write, name: str) -> None:
    folder = write({"x.sql": "SELECT 1 AS a", name: "\0 nothing"})
    (folder / "old.sql").mkdir()
    assert [model.name for model in models_of("gold", folder=folder) if model.user_defined] == ["gold.x"]


def test_a_suffix_in_upper_case_is_one_of_a_model(write: Write) -> None:
    assert "gold.y" in {model.name for model in models_of("gold", folder=write({"y.SQL": "SELECT 1 AS a"}))}


def test_files_that_cannot_be_read_are_reported(write: Write) -> None:
    folder = write({"x.sql": "SELECT 1 AS a"})
    (folder / "absent.sql").symlink_to("/nonexistent/z")
    (folder / "loop.sql").symlink_to("loop.sql")
    os.mkfifo(folder / "pipe.sql")
    assert problems(folder) == [
        "absent.sql:1: the file cannot be read: No such file or directory",
        "loop.sql:1: the file cannot be read: Too many levels of symbolic links",
        "pipe.sql:1: it is not a file",
    ]


@pytest.mark.parametrize(
    ("make", "reason"),
    [(Path.touch, "Not a directory"), (lambda path: path.symlink_to(path.name), "Too many levels of symbolic links")],
)
def test_a_folder_that_cannot_be_opened_is_reported(tmp_path: Path, make: Callable[[Path], None], reason: str) -> None:
    make(tmp_path / "models")
    with pytest.raises(UsageError, match=f"The models folder .*models cannot be opened: {reason}"):
        models_of(folder=tmp_path / "models")


@pytest.mark.parametrize("name", ["", "gold"])
def test_a_folder_without_permission_is_reported(write: Write, name: str) -> None:
    folder = write({"gold/x.sql": "SELECT 1 AS a"})
    (folder / name).chmod(0)
    user = os.geteuid()
    try:
        if user == 0:
            folder.parents[1].chmod(0o755)
            os.seteuid(65534)
        with pytest.raises(UsageError, match=r"cannot be opened: Permission denied\."):
            models_of(folder=folder)
    finally:
        os.seteuid(user)
        (folder / name).chmod(0o755)


@pytest.mark.parametrize("depth", [501, 30_000])
def test_sql_that_is_nested_too_deeply_is_reported(write: Write, depth: int) -> None:
    found = problems(write({"x.sql": f"SELECT {'(' * depth}1{')' * depth} AS a"}))
    assert found == ["x.sql:1: the SQL is nested too deeply; split it into several models"]


def test_built_in_models_pass_the_validation_of_user_defined_ones(write: Write) -> None:
    assert models_of(*ZONES, folder=write({"t.sql": "SELECT 1 AS a"}))


@pytest.mark.parametrize("changed", ["silver/a.sql", "b.sql"])
def test_a_version_changes_with_the_file_and_its_dependencies(write: Write, changed: str) -> None:
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
def test_every_model_comes_after_its_dependencies(write: Write, names: list[int], pairs: set[tuple[int, int]]) -> None:
    texts = {}
    for number in range(6):
        read = sorted({low for low, high in pairs if high == number and low < high})
        tables = "".join(f" CROSS JOIN gold.t{names[low]} AS u{low}" for low in read)
        texts[f"t{names[number]}.sql"] = f"SELECT s.run AS run{number} FROM (SELECT 1 AS run) AS s{tables}"
    ordered = models_of(*ZONES, folder=write(texts))
    places = {model.name: place for place, model in enumerate(ordered)}
    assert all(places[read] < places[model.name] for model in ordered for read in model.reads if read in places)


@pytest.mark.parametrize(
    ("name", "is_valid"),
    [
        *(("t", True), ("_t", True), ("t2", True), ("a_b", True)),
        *(("T", False), ("a-b", False), ("2t", False), ("a.b", False), ("é", False), ("a b", False)),
    ],
)
def test_a_file_name_is_a_table_name_in_lower_case(write: Write, name: str, is_valid: bool) -> None:
    folder = write({f"{name}.sql": "SELECT 1 AS a"})
    if is_valid:
        assert f"gold.{name}" in [model.name for model in models_of("gold", folder=folder)]
    else:
        assert problems(folder) == [f"{name}.sql:1: {name} is not a table name: use a-z, 0-9 and _, no digit first"]


@pytest.mark.parametrize("path", ["staging/t.sql", "gold/deep/t.sql", "silver/gold/t.sql", "bronze/t.sql"])
def test_other_folders_than_silver_and_gold_are_rejected(write: Write, path: str) -> None:
    (found,) = problems(write({path: "SELECT 1 AS a"}))
    assert found == f"{path}:1: models belong in silver/, in gold/, or in the models folder itself, which is gold"


def test_other_files_are_ignored_and_an_empty_folder_adds_nothing(write: Write) -> None:
    folder = write({"notes.txt": "SELECT", "t.sql.bak": "DROP", "silver/README.md": ""})
    assert models_of(*ZONES, folder=folder) == models_of(*ZONES)


@pytest.mark.parametrize("name", [model.name for model in models_of("silver", "gold")])
def test_no_built_in_table_can_be_overridden(write: Write, name: str) -> None:
    zone, _, table = name.partition(".")
    (found,) = problems(write({f"{zone}/{table}.sql": "SELECT 1 AS a"}))
    assert found == f"{zone}/{table}.sql:1: the table {name} is built in; rename the file"


def test_tables_of_one_name_may_be_in_silver_and_gold(write: Write) -> None:
    folder = write({"silver/t.sql": "SELECT 1 AS a", "gold/t.sql": "SELECT a FROM silver.t"})
    assert {"silver.t", "gold.t"} <= {model.name for model in models_of(*ZONES, folder=folder)}


@pytest.mark.parametrize("bom", ["", "\ufeff"])
def test_a_byte_order_mark_is_skipped(write: Write, bom: str) -> None:
    (model,) = [
        model
        for model in models_of("gold", folder=write({"t.sql": f"{bom}-- A row.\nSELECT 1 AS a"}))
        if model.user_defined
    ]
    assert (model.description, model.sql) == ("A row.", "SELECT 1 AS a")


def test_only_the_models_of_the_given_zones_are_returned(write: Write) -> None:
    folder = write({"silver/s.sql": "SELECT 1 AS a", "g.sql": "SELECT 1 AS a"})
    assert models_of(folder=folder) == []
    for zone in ZONES:
        assert {model.zone for model in models_of(zone, folder=folder)} == {zone}


@pytest.mark.parametrize("kind", ["inner", "check"])
def test_a_gold_model_reads_ephemeral_gold_but_not_ephemeral_silver(write: Write, kind: str) -> None:
    def reading(table: str) -> str:
        return f"SELECT a FROM {table}" if kind == "inner" else f"-- no row: x: SELECT a FROM {table}\nSELECT 1 AS a"

    ephemeral = "-- ephemeral: yes\nSELECT 1 AS a"
    assert models_of("gold", folder=write({"e.sql": ephemeral, "t.sql": reading("gold.e")}))
    (found,) = problems(write({"silver/e.sql": ephemeral, "t.sql": reading("silver.e")}))
    assert "silver.e cannot be read here: it is ephemeral, so only silver models can read it" in found


def test_what_reads_an_invalid_table_is_not_reported_itself(write: Write) -> None:
    files = {"a.sql": "SELECT nope FROM silver.breweries", "b.sql": "SELECT whatever FROM gold.a", "c.sql": "SELECT 1"}
    assert [problem.partition(":")[0] for problem in problems(write(files))] == ["a.sql", "c.sql"]


def test_columns_are_followed_from_table_to_table(write: Write) -> None:
    files = {
        "silver/a.sql": "SELECT id AS key_a, name FROM silver.breweries",
        "b.sql": "SELECT *, 1 AS one FROM silver.a",
        "c.sql": "SELECT key_a, one FROM gold.b",
    }
    assert models_of(*ZONES, folder=write(files))
    assert problems(write({**files, "c.sql": "SELECT id FROM gold.b"})) == [
        "c.sql:1:8: unknown column id. Known: key_a, name, one."
    ]


@pytest.mark.parametrize(
    ("header", "line"),
    [
        *(("key: x", 2), ("partition: x", 2), ("sort: a, x", 2), ("unique: x", 2), ("not null: x", 2)),
        *(("accepted values: x in 1", 2), ("column x: y", 2), ("incremental by: snapshot_run", 2)),
    ],
)
def test_a_header_field_with_a_missing_column_is_reported_at_its_line(write: Write, header: str, line: int) -> None:
    column = "snapshot_run" if "snapshot_run" in header else "x"
    (found,) = problems(write({"t.sql": f"-- A row.\n-- {header}\nSELECT 1 AS a"}))
    assert found == f"t.sql:{line}: the SELECT has no column {column}. Known: a."


def test_a_model_error_lists_every_problem_and_counts_them(write: Write) -> None:
    folder = write({"a.sql": "SELECT id FROM silver.brewery", "b.sql": "SELECT id FROM silver.x"})
    with pytest.raises(
        ModelError, match=r"^2 problems in the models:\n.*brewery. Did you mean .*\?\n.*silver\.x\. Known"
    ) as caught:
        models_of(folder=folder)
    assert str(caught.value).count("\n") == 2
    assert str(caught.value).endswith(".")


def test_models_are_equal_however_often_they_are_loaded(write: Write) -> None:
    folder = write({"t.sql": "SELECT 1 AS a"})
    assert models_of(*ZONES, folder=folder) == models_of(*ZONES, folder=folder)
    versions = {model.name: model.version for model in models_of(*ZONES)}
    assert versions == {m.name: m.version for m in models_of(*ZONES, folder=folder) if not m.user_defined}
    assert len(set(versions.values())) == len(versions)
