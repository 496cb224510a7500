"""The behaviour that both engines share: what they expose, compute and write, and their errors."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pyarrow import parquet
from tests.engines.pages import write_page

from brewhouse.api.contract import FIELDS
from brewhouse.engines.duckdb import DuckDBEngine
from brewhouse.engines.engine import Engine, EngineError
from brewhouse.iceberg.table_spec import Column, TableSpec
from brewhouse.models.model import parse

COLUMNS = (Column("country", "string", "c"), Column("city", "string", "c"), Column("n", "long", "n"))
SPEC = TableSpec("silver.places", "Places.", COLUMNS, ("country",), ("city",))
IDS = {"country": 7, "city": 3, "n": 9}
ROWS = [("B", "z", 1), (None, "q", 2), ("B", "a", 3), ("O'x/é=1", "m", 4), ("B", None, 5)]
NOON = datetime(2026, 8, 2, 12, tzinfo=UTC)
SPARK = [pytest.mark.xdist_group("spark"), pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")]


@pytest.fixture(scope="module")
def embedded() -> Iterator[DuckDBEngine]:
    engine = DuckDBEngine(512)
    yield engine
    engine.close()


@pytest.fixture(params=["duckdb", pytest.param("spark", marks=SPARK)])
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each engine in turn."""
    found: Engine = request.getfixturevalue("embedded" if request.param == "duckdb" else "spark")
    return found


def compute(engine: Engine, rows: Sequence[Sequence[Any]] = ROWS) -> None:
    """Compute the model of `SPEC` with these rows."""
    engine.attach_rows("reference.given", {"country": "string", "city": "string", "n": "long"}, rows)
    engine.compute(parse(SPEC.name, "SELECT country, city, CAST(n AS INT) AS n FROM reference.given"))


def contents(files: Sequence[str]) -> list[list[tuple[object, ...]]]:
    """Return the rows of each file."""
    tables = (parquet.ParquetFile(file).read(columns=[column.name for column in COLUMNS]) for file in files)
    return sorted(([tuple(row.values()) for row in table.to_pylist()] for table in tables), key=str)


def pages(folder: Path, *texts: str) -> list[str]:
    """Write raw pages."""
    return [write_page(folder, number, text) for number, text in enumerate(texts, 1)]


def test_rows_are_exposed_with_their_types_and_nulls(engine: Engine) -> None:
    columns = {"s": "string", "d": "double", "l": "long", "i": "int", "b": "boolean", "t": "timestamptz", "y": "date"}
    rows = [("ü'\"\\", 0.1, 2**40, 7, True, NOON, date(2026, 8, 2)), (None,) * 7]
    engine.attach_rows("reference.types", columns, rows)
    assert engine.rows("SELECT * FROM reference.types ORDER BY s NULLS LAST") == [
        dict(zip(columns, row, strict=True)) for row in rows
    ]
    engine.attach_rows("reference.types", columns, [])
    assert engine.rows("SELECT * FROM reference.types") == []
    model = parse("silver.types", "SELECT * FROM reference.types")
    assert {column.name: column.type for column in engine.compute(model)} == columns


def test_a_raw_snapshot_has_its_records_and_its_metadata(engine: Engine, tmp_path: Path) -> None:
    lines = ['{"id":"a", "longitude":-1.50,"more":[1]}', '{"name":null}', "{}"]
    files = pages(tmp_path, f"{lines[0]}\n{lines[1]}\n", "", f"{lines[2]}\n")
    engine.attach_raw_snapshot(files, "it's RUN1", "2026-08-02T14:00:00.123456+02:00")
    records = engine.rows("SELECT id, longitude, name, page, record FROM bronze.breweries ORDER BY page, id NULLS LAST")
    assert [tuple(record.values()) for record in records] == [
        ("a", "-1.50", None, 1, lines[0]),
        (None, None, None, 1, lines[1]),
        (None, None, None, 3, lines[2]),
    ]
    metadata = engine.rows("SELECT * FROM bronze.snapshot")
    assert metadata == [{"run": "it's RUN1", "taken_at": NOON.replace(microsecond=123456)}]


def test_another_raw_snapshot_replaces_the_first(engine: Engine, tmp_path: Path) -> None:
    engine.attach_raw_snapshot(pages(tmp_path, '{"id":"a"}\n'), "R1", NOON.isoformat())
    engine.attach_raw_snapshot([], "R2", (NOON + timedelta(days=1)).isoformat())
    assert engine.rows("SELECT * FROM bronze.breweries") == []
    assert [row["run"] for row in engine.rows("SELECT run FROM bronze.snapshot")] == ["R2"]
    columns = [column.name for column in engine.compute(parse("silver.t", "SELECT * FROM bronze.breweries"))]
    assert columns == [*FIELDS, "page", "record"]


def test_a_table_without_files_is_empty_and_has_its_columns(engine: Engine) -> None:
    types = ("string", "double", "long", "int", "boolean", "timestamptz", "date")
    spec = TableSpec("silver.none", "", tuple(Column(f"c_{kind}", kind, "") for kind in types))
    engine.attach_table(spec, [])
    assert engine.rows("SELECT * FROM silver.none") == []
    computed = engine.compute(parse("silver.t", "SELECT * FROM silver.none"))
    assert [column.type for column in computed] == list(types)


def test_a_name_can_be_exposed_again_in_any_way(engine: Engine, tmp_path: Path) -> None:
    def exposed() -> list[object]:
        return [row["n"] for row in engine.rows("SELECT n FROM silver.places")]

    engine.attach_rows(SPEC.name, {"n": "long"}, [(1,)])
    assert exposed() == [1]
    compute(engine, [("A", "b", 2)])
    assert exposed() == [2]
    files = engine.write(SPEC, IDS, tmp_path)
    engine.attach_rows(SPEC.name, {"n": "long"}, [(3,)])
    assert exposed() == [3]
    engine.attach_table(SPEC, files)
    assert exposed() == [2]
    engine.attach_table(SPEC, [])
    assert exposed() == []


@pytest.mark.parametrize(
    ("sql", "kind"),
    [
        *(("'x'", "string"), ("1", "int"), ("CAST(1 AS SMALLINT)", "int"), ("CAST(1 AS BIGINT)", "long")),
        *(("count(*)", "long"), ("sum(1)", "long"), ("1.5", "double"), ("CAST(1 AS DECIMAL(9, 2))", "double")),
        *(("CAST(1 AS FLOAT)", "double"), ("1 / 2", "double"), ("true", "boolean"), ("CAST(NULL AS STRING)", "string")),
        *(("CAST('2026-08-02' AS DATE)", "date"), ("CAST('2026-08-02' AS TIMESTAMP)", "timestamptz")),
    ],
)
def test_a_computed_column_has_an_iceberg_type_and_a_lower_case_name(engine: Engine, sql: str, kind: str) -> None:
    assert engine.compute(parse("gold.t", f"SELECT {sql} AS Value")) == (Column("value", kind, ""),)


@pytest.mark.parametrize("sql", ["array(1)", "struct(1 AS a)", "map('a', 1)", "CAST('x' AS BINARY)"])
def test_a_type_that_tables_cannot_store_keeps_the_engines_name(engine: Engine, sql: str) -> None:
    model = parse("gold.t", f"SELECT {sql} AS value", user_defined=True)
    with pytest.raises(Exception, match=r"column value has type .+, which tables cannot store"):
        model.spec(engine.compute(model))


def test_a_model_is_computed_once(engine: Engine) -> None:
    engine.attach_rows("reference.given", {"n": "long"}, [(1,)])
    engine.compute(parse("silver.a", "SELECT n FROM reference.given"))
    assert engine.rows("SELECT n FROM silver.a") == [{"n": 1}]
    engine.attach_rows("reference.given", {"n": "long"}, [(2,)])
    engine.compute(parse("silver.b", "SELECT a.n AS a, g.n AS g FROM silver.a AS a CROSS JOIN reference.given AS g"))
    assert engine.rows("SELECT * FROM silver.b") == [{"a": 1, "g": 2}]


@pytest.mark.parametrize(
    "sql", ["SELECT nope FROM reference.one", "SELECT 1 AS a FROM silver.nowhere", "SELECT f(1) AS a"]
)
def test_sql_that_cannot_run_is_an_engine_error_with_file_model_and_cause(engine: Engine, sql: str) -> None:
    engine.attach_rows("reference.one", {"n": "long"}, [(1,)])
    with pytest.raises(EngineError, match=r"^models/t\.sql: gold\.t cannot be computed: ") as caught:
        engine.compute(parse("gold.t", sql, file="models/t.sql"))
    assert caught.value.__cause__ is not None
    with pytest.raises(EngineError, match=r"^The query cannot be run: "):
        engine.rows(sql)


@pytest.mark.parametrize("sql", ["SELECT FROM WHERE", "SELECT 'x", "SELECT (1"])
def test_invalid_sql_is_an_engine_error(engine: Engine, sql: str) -> None:
    with pytest.raises(EngineError, match=r"^Invalid Spark SQL: .*Fix the statement\.$"):
        engine.rows(sql)


def test_each_partition_is_a_sorted_file_and_nothing_else_remains(engine: Engine, tmp_path: Path) -> None:
    folder = tmp_path / "a [b] {c} it's" / "city=Ghost"
    folder.mkdir(parents=True)
    compute(engine)
    files = engine.write(SPEC, IDS, folder)
    assert contents(files) == [
        [("O'x/é=1", "m", 4)],
        [("B", None, 5), ("B", "a", 3), ("B", "z", 1)],
        [(None, "q", 2)],
    ]
    assert sorted(files) == sorted(map(str, folder.rglob("*")))
    assert engine.rows("SELECT sum(n) AS n FROM silver.places") == [{"n": 15}]
    assert {row["city"] for row in engine.rows("SELECT city FROM silver.places")} == {row[1] for row in ROWS}


def test_partitions_by_several_columns_of_any_type_are_separate_files(engine: Engine, tmp_path: Path) -> None:
    columns = {"b": "boolean", "y": "date", "i": "int", "t": "timestamptz"}
    rows = [
        (b, y, i, t)
        for b in (True, None)
        for y in (date(2026, 8, 2), None)
        for i in (-1, 0)
        for t in (NOON, NOON + timedelta(microseconds=1))
    ]
    engine.attach_rows("reference.given", columns, rows * 2)
    engine.compute(parse("gold.t", "SELECT * FROM reference.given"))
    spec = TableSpec("gold.t", "", tuple(Column(name, kind, "") for name, kind in columns.items()), tuple(columns))
    files = engine.write(spec, dict(zip(columns, range(1, 5), strict=True)), tmp_path)
    written = [parquet.ParquetFile(file).read().to_pylist() for file in files]
    assert [len(table) for table in written] == [2] * len(rows)
    assert all(table[0] == table[1] for table in written)
    assert {tuple(table[0].values()) for table in written} == set(rows)


def test_without_a_partition_there_is_one_sorted_file(engine: Engine, tmp_path: Path) -> None:
    compute(engine)
    files = engine.write(TableSpec(SPEC.name, "", COLUMNS, (), ("n",)), IDS, tmp_path)
    assert [[row[2] for row in rows] for rows in contents(files)] == [[1, 2, 3, 4, 5]]


def test_files_have_field_ids_table_types_and_compression(engine: Engine, tmp_path: Path) -> None:
    compute(engine, ROWS[:1])
    (file,) = engine.write(SPEC, IDS, tmp_path)
    footer = parquet.ParquetFile(file)
    fields = {field.name: int((field.metadata or {})[b"PARQUET:field_id"]) for field in footer.schema_arrow}
    assert fields == IDS
    assert [str(field.type) for field in footer.schema_arrow] == ["string", "string", "int64"]
    assert footer.metadata.row_group(0).column(0).compression == "ZSTD"


@pytest.mark.parametrize("partition", [(), ("country",)])
def test_an_empty_table_is_read_as_empty(engine: Engine, tmp_path: Path, partition: tuple[str, ...]) -> None:
    compute(engine, [])
    files = engine.write(TableSpec(SPEC.name, "", COLUMNS, partition, ("city",)), IDS, tmp_path)
    assert sum(parquet.ParquetFile(file).metadata.num_rows for file in files) == 0
    assert engine.rows("SELECT country, city, n FROM silver.places") == []


def test_a_written_table_is_read_from_its_files(engine: Engine, tmp_path: Path) -> None:
    compute(engine)
    files = engine.write(SPEC, IDS, tmp_path)
    replaced = TableSpec(SPEC.name, "", (Column("n", "long", "", IDS["n"]), Column("new", "date", "", 99)))
    engine.attach_table(
        replaced, [file for file, rows in zip(files, map(contents_of, files), strict=True) if len(rows) > 1]
    )
    assert engine.rows("SELECT n, new FROM silver.places ORDER BY n") == [{"n": n, "new": None} for n in (1, 3, 5)]


def contents_of(file: str) -> list[tuple[object, ...]]:
    """Return the rows of a file."""
    (rows,) = contents([file])
    return rows


def test_times_are_instants_in_utc(engine: Engine) -> None:
    there = datetime(2026, 8, 2, 1, 30, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    engine.attach_rows("reference.times", {"t": "timestamptz"}, [(there,)])
    (row,) = engine.rows("SELECT t, CAST(t AS DATE) AS day, CAST(t AS STRING) AS text FROM reference.times")
    assert row == {"t": there, "day": date(2026, 8, 1), "text": "2026-08-01 20:00:00"}
    assert row["t"].utcoffset() == timedelta(0)


CELLS = {
    "s": st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8),
    "d": st.none() | st.floats(allow_nan=False),
    "l": st.none() | st.integers(-(2**63), 2**63 - 1),
    "b": st.none() | st.booleans(),
    "t": st.none() | st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    "y": st.none() | st.dates(date(1900, 1, 1), date(2200, 1, 1)),
}
TYPES = {"s": "string", "d": "double", "l": "long", "b": "boolean", "t": "timestamptz", "y": "date"}


@settings(
    max_examples=3,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(rows=st.lists(st.tuples(*CELLS.values()), min_size=5, max_size=60))
def test_any_rows_survive_writing_and_reading(engine: Engine, tmp_path: Path, rows: list[tuple[object, ...]]) -> None:
    columns = {"number": "long", **TYPES}
    numbered = [(number, *row) for number, row in enumerate(rows)]
    engine.attach_rows("reference.given", columns, numbered)
    engine.compute(parse("gold.t", "SELECT * FROM reference.given"))
    spec = TableSpec("gold.t", "", tuple(Column(name, kind, "") for name, kind in columns.items()), (), ("s", "number"))
    files = engine.write(spec, {name: index for index, name in enumerate(columns, 1)}, tmp_path)
    read = engine.rows("SELECT * FROM gold.t ORDER BY number")
    assert [tuple(row.values()) for row in read] == numbered
    written = [row for file in files for row in parquet.ParquetFile(file).read().to_pylist()]
    assert sorted((tuple(row.values()) for row in written), key=lambda row: row[0]) == numbered
    order = [(row["s"] is not None, (row["s"] or "").encode(), row["number"]) for row in written]
    assert order == sorted(order)


def test_invalid_json_in_a_page_fails_a_query(engine: Engine, tmp_path: Path) -> None:
    engine.attach_raw_snapshot(pages(tmp_path, json.dumps({"id": 1}) + "\n{broken\n"), "R", NOON.isoformat())
    with pytest.raises(Exception, match=r"(?i)json"):
        engine.rows("SELECT id FROM bronze.breweries ORDER BY id")
