"""Views in a DuckDB file that is replaced atomically and that any client opens."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brewhouse.api.contract import FIELDS, parse_page
from brewhouse.errors import BrewhouseError
from brewhouse.iceberg.table_spec import DUCKDB_TYPES, Column, TableSpec
from brewhouse.iceberg.tables import Tables
from brewhouse.lake.duckdb_access import identifier, literal
from brewhouse.lake.lake import Lake
from brewhouse.query.views import raw_records_sql, table_sql, view_statements, write_views

SPEC = TableSpec("silver.it's", 'It\'s a "table".', (Column("na me", "string", "It's"), Column("n", "long", "Number")))


def test_a_plain_client_reads_tables_and_raw_records(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    data = tmp_path / "some.parquet"
    duckdb.connect().execute(f"COPY (SELECT 'x' AS \"na me\", 1::BIGINT AS n) TO '{data}'")
    page = tmp_path / "page-00012.abcdef123456.jsonl.gz"
    line = b'{ "id":"a" , "longitude":-1.5, "more":[1] }'
    page.write_bytes(gzip.compress(line + b"\n"))
    write_views(lake, {SPEC.name: (SPEC, [str(data)])}, [str(page)])
    with duckdb.connect(str(lake.views_file), read_only=True) as connection:
        assert connection.execute('SELECT * FROM silver."it\'s"').fetchall() == [("x", 1)]
        raw = connection.execute("SELECT id, longitude, name, page, record FROM bronze.breweries").fetchall()
        comments = connection.execute("SELECT comment FROM duckdb_views() WHERE view_name = 'it''s'").fetchall()
    assert raw == [("a", "-1.5", None, 12, line.decode())]
    assert comments == [(SPEC.description,)]


def test_a_table_without_files_is_empty_with_the_right_columns(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    write_views(lake, {SPEC.name: (SPEC, [])}, [])
    with duckdb.connect(str(lake.views_file), read_only=True) as connection:
        columns = connection.execute('DESCRIBE silver."it\'s"').fetchall()
        assert [column[:2] for column in columns] == [("na me", "VARCHAR"), ("n", "BIGINT")]
        assert connection.execute("SELECT count(*) FROM bronze.breweries").fetchall() == [(0,)]


def test_a_reader_keeps_the_old_views_and_leftovers_are_deleted(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    write_views(lake, {SPEC.name: (SPEC, [])}, [])
    leftover = tmp_path / "brewhouse.duckdb.1.tmp"
    leftover.write_bytes(b"half written by a killed run")
    with duckdb.connect(str(lake.views_file), read_only=True) as reader:
        write_views(lake, {}, [])
        assert reader.execute('SELECT count(*) FROM silver."it\'s"').fetchall() == [(0,)]
    assert not leftover.exists()


def test_a_column_is_null_in_files_that_lack_it(tmp_path: Path) -> None:
    files = [str(tmp_path / f"it's [{number}].parquet") for number in range(2)]
    duckdb.execute(f"COPY (SELECT 1 AS n, 'x' AS \"na me\") TO {literal(files[0])}")
    duckdb.execute(f"COPY (SELECT 'y' AS \"na me\") TO {literal(files[1])}")
    wider = TableSpec(SPEC.name, "", (*SPEC.columns, Column("new", "date", "")))
    with duckdb.connect() as connection:
        for statement in view_statements({wider.name: (wider, files)}, []):
            connection.execute(statement)
        assert connection.execute('SELECT * FROM silver."it\'s" ORDER BY ALL').fetchall() == [
            ("x", 1, None),
            ("y", None, None),
        ]
        comments = connection.execute("SELECT comment FROM duckdb_columns() WHERE table_name = 'it''s'").fetchall()
        assert [comment for (comment,) in comments][:2] == ["It's", "Number"]


def test_an_empty_table_has_every_type() -> None:
    spec = TableSpec("gold.none", "", tuple(Column(f"c_{kind}", kind, "") for kind in DUCKDB_TYPES))
    kinds = [row[1] for row in duckdb.execute(f"DESCRIBE {table_sql(spec, [])}").fetchall()]
    assert kinds == [kind.replace("TIMESTAMPTZ", "TIMESTAMP WITH TIME ZONE") for kind in DUCKDB_TYPES.values()]


def test_no_pages_and_an_empty_page_give_the_same_empty_table(tmp_path: Path) -> None:
    page = tmp_path / "page-00001.00.jsonl.gz"
    page.write_bytes(gzip.compress(b""))
    shapes = []
    for files in ([], [str(page)]):
        assert duckdb.execute(raw_records_sql(files)).fetchall() == []
        shapes.append([row[:2] for row in duckdb.execute(f"DESCRIBE {raw_records_sql(files)}").fetchall()])
    assert shapes[0] == shapes[1]
    assert [name for name, _ in shapes[0]] == [*FIELDS, "page", "record"]


def test_the_write_ahead_log_of_a_killed_client_does_not_break_the_new_file(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    write_views(lake, {}, [])
    code = (
        "import duckdb, os, sys\nc = duckdb.connect(sys.argv[1])\nc.execute('CREATE TABLE mine AS SELECT 1')\n"
        "os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(lake.views_file)], check=False)
    assert lake.views_file.with_name("brewhouse.duckdb.wal").exists()
    write_views(lake, {}, [])
    with duckdb.connect(str(lake.views_file), read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM bronze.breweries").fetchall() == [(0,)]


def test_any_duckdb_since_1_0_opens_the_file(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    write_views(lake, {SPEC.name: (SPEC, [])}, [])
    header = lake.views_file.read_bytes()[:20]
    assert (header[8:12], int.from_bytes(header[12:20], "little")) == (b"DUCK", 64), "the storage version of DuckDB 1.0"


VALUES = {
    "string": "'ü🍺'",
    "double": "0.1",
    "long": "9007199254740993",
    "int": "-7",
    "boolean": "true",
    "timestamptz": "'2026-08-02 10:00:00.123456+02'",
    "date": "'1969-12-31'",
}
OLD_CLIENT = """
import duckdb, sys
connection = duckdb.connect(sys.argv[1], read_only=True)
views = connection.execute(
    "SELECT schema_name, view_name FROM duckdb_views() WHERE schema_name IN ('bronze', 'silver', 'gold')"
).fetchall()
for schema, view in sorted(views):
    relation = f'"{schema}"."{view}"'
    columns = [row[0] for row in connection.execute(f"DESCRIBE {relation}").fetchall()]
    texts = ", ".join(f'CAST("{column}" AS VARCHAR)' for column in columns)
    print(relation, columns, connection.execute(f"SELECT {texts} FROM {relation} ORDER BY ALL").fetchall())
"""


@pytest.mark.slow
@pytest.mark.parametrize("version", ["1.0.0", "1.2.2", "1.3.2", "1.4.5"])
def test_an_earlier_duckdb_reads_every_view_with_the_same_rows(tmp_path: Path, demo_lake: Path, version: str) -> None:
    uv = Path(sys.executable).with_name("uv")
    if not uv.exists():
        pytest.skip("uv, which installs the earlier DuckDB, is not in this environment")
    install = [str(uv), "run", "--no-project", "--python", sys.executable, "--with", f"duckdb=={version}"]
    if subprocess.run([*install, "python", "-c", ""], capture_output=True, check=False).returncode:
        pytest.skip(f"DuckDB {version} cannot be installed here")
    every_type = tmp_path / "every type.parquet"
    cells = ", ".join(f"CAST({value} AS {DUCKDB_TYPES[kind]}) AS c_{kind}" for kind, value in VALUES.items())
    ids = ", ".join(f"c_{kind}: {number}" for number, kind in enumerate(VALUES, 1))
    duckdb.execute(f"COPY (SELECT {cells}) TO {literal(str(every_type))} (FORMAT parquet, FIELD_IDS {{{ids}}})")
    columns = tuple(Column(f"c_{kind}", kind, "", number) for number, kind in enumerate(VALUES, 1))
    lake = Lake(tmp_path)
    published = Tables(Lake(demo_lake))
    views = {name: (published.describe(name), published.files(name)) for name in published.names()}
    views["gold.types"] = (TableSpec("gold.types", "", columns), [str(every_type)])
    views["gold.no_ids"] = (TableSpec("gold.no_ids", "", (Column("c_long", "long", ""),)), [str(every_type)])
    write_views(lake, views, [str(file) for file in demo_lake.glob("bronze/**/page-*.gz")])
    texts = []
    for python in ([sys.executable], [*install, "python"]):
        done = subprocess.run(
            [*python, "-c", OLD_CLIENT, str(lake.views_file)], capture_output=True, text=True, check=True
        )
        texts.append(done.stdout)
    assert texts[1] == texts[0]
    assert texts[0].count("\n") == len(views) + 1


LIMITED = """
import resource, sys
from pathlib import Path
from brewhouse.errors import BrewhouseError
from brewhouse.iceberg.table_spec import Column, TableSpec
from brewhouse.lake.lake import Lake
from brewhouse.query.views import write_views

lake = Lake(Path(sys.argv[1]))
views = {f"gold.t{n}": (TableSpec(f"gold.t{n}", "x" * 3000, (Column("n", "long", ""),)), []) for n in range(9)}
for limit in map(int, sys.argv[2:]):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        write_views(lake, views, [], lake.own_views / "new.duckdb")
        print("written")
    except BrewhouseError as error:
        print(error)
"""


def test_a_file_that_cannot_be_written_completely_replaces_nothing(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    write_views(lake, {SPEC.name: (SPEC, [])}, [], lake.own_views / "old.duckdb")
    before = lake.views_file.read_bytes()
    limits = [0, 4096, 12288, 20_000, 100_000, 200_000]
    command = [sys.executable, "-c", LIMITED, str(tmp_path), *map(str, limits)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert len(done.stdout.splitlines()) == len(limits)
    for line in done.stdout.splitlines():
        assert "brewhouse.duckdb shows the tables as they were before, since it could not be replaced: " in line
        assert "File too large" in line
    assert lake.views_file.read_bytes() == before
    assert [file.name for file in lake.own_views.iterdir()] == ["old.duckdb"]
    done = subprocess.run([*command[:4], "2000000"], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout == "written\n"
    assert lake.views_file.read_bytes() != before
    assert [file.name for file in lake.own_views.iterdir()] == ["new.duckdb"]


Views = dict[str, tuple[TableSpec, list[str]]]
HOSTILE = [
    "it's",
    'a "quoted" name',
    "semi;colon",
    "-- comment",
    "new\nline",
    "SELECT",
    "ünï🍺",
    "a{b}",
    "%s",
    "\\",
    "a,b",
]


@pytest.mark.parametrize("has_ids", [True, False], ids=["by field id", "by name"])
@pytest.mark.parametrize("name", HOSTILE)
def test_any_column_name_and_description_is_quoted(tmp_path: Path, name: str, has_ids: bool) -> None:
    file = tmp_path / "it's.parquet"
    options = f"(FORMAT parquet, FIELD_IDS {{{identifier(name.replace('.', '_'))}: 1}})"
    duckdb.execute(f"COPY (SELECT 'x' AS {identifier(name)}) TO {literal(str(file))} {options}")
    spec = TableSpec("silver.t", name, (Column(name, "string", name, 1 if has_ids else None),))
    with duckdb.connect() as connection:
        for statement in view_statements({spec.name: (spec, [str(file)])}, []):
            connection.execute(statement)
        assert connection.execute("FROM silver.t").fetchall() == [("x",)]
        ((column, comment),) = connection.execute(
            "SELECT column_name, comment FROM duckdb_columns() WHERE table_name = 't'"
        ).fetchall()
        assert (column, comment) == (name, name)
        assert connection.execute("SELECT comment FROM duckdb_views() WHERE view_name = 't'").fetchall() == [(name,)]


def test_columns_with_field_ids_are_found_by_id_whatever_their_name_was(tmp_path: Path) -> None:
    files = [str(tmp_path / f"{number}.parquet") for number in range(3)]
    contents = {"1 AS a, 'old' AS b": "a: 1, b: 2", "2 AS b, 'swapped' AS a": "b: 1, a: 2", "'only' AS c": "c: 2"}
    for file, (cells, ids) in zip(files, contents.items(), strict=True):
        duckdb.execute(f"COPY (SELECT {cells}) TO {literal(file)} (FORMAT parquet, FIELD_IDS {{{ids}}})")
    spec = TableSpec(
        "gold.t", "", (Column("n", "long", "", 1), Column("s", "string", "", 2), Column("d", "date", "", 3))
    )
    rows = duckdb.execute(f"{table_sql(spec, files)} ORDER BY n NULLS LAST").fetchall()
    assert rows == [(1, "old", None), (2, "swapped", None), (None, "only", None)]


def test_an_older_type_is_read_as_the_current_one(tmp_path: Path) -> None:
    file = str(tmp_path / "old.parquet")
    duckdb.execute(f"COPY (SELECT 7::INTEGER AS n) TO {literal(file)} (FORMAT parquet, FIELD_IDS {{n: 1}})")
    for field_id in (1, None):
        spec = TableSpec("gold.t", "", (Column("n", "long", "", field_id),))
        assert duckdb.execute(f"SELECT n, typeof(n) FROM ({table_sql(spec, [file])})").fetchall() == [(7, "BIGINT")]


def test_a_folder_that_looks_like_a_partition_adds_no_column(tmp_path: Path) -> None:
    folder = tmp_path / "n=5"
    folder.mkdir()
    duckdb.execute(f"COPY (SELECT 1 AS n) TO '{folder}/a.parquet'")
    spec = TableSpec("gold.t", "", (Column("n", "long", ""),))
    assert duckdb.execute(table_sql(spec, [f"{folder}/a.parquet"])).fetchall() == [(1,)]


@given(
    st.dictionaries(st.sampled_from(FIELDS), st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\0")))
)
def test_raw_records_have_the_fields_as_text_and_the_verbatim_record(record: dict[str, str | None]) -> None:
    line = json.dumps(record, ensure_ascii=False)
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "page-00003.ab.jsonl.gz"
        page.write_bytes(gzip.compress(f"{line}\n".encode()))
        ((*fields, number, raw),) = duckdb.execute(raw_records_sql([str(page)])).fetchall()
    assert (number, raw) == (3, line)
    assert dict(zip(FIELDS, fields, strict=True)) == {name: record.get(name) for name in FIELDS}


def records_of(*lines: str) -> list[dict[str, str | None]]:
    """Read lines of a raw page as `bronze.breweries` does."""
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "page-00001.ab.jsonl.gz"
        page.write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode()))
        result = duckdb.execute(f"SELECT {', '.join(map(identifier, FIELDS))} FROM ({raw_records_sql([str(page)])})")
        return [dict(zip(FIELDS, row, strict=True)) for row in result.fetchall()]


KEYS = st.sampled_from(["id", "name", "city", "Id", "ID", "NAME", "tags", "", "$", "a.b", "id\0"])
PAIRS = st.lists(st.tuples(KEYS, st.none() | st.text(st.characters(codec="utf-8"), max_size=3)), max_size=6)


@given(st.lists(PAIRS, min_size=1, max_size=4), st.booleans())
def test_repeated_escaped_and_differently_cased_fields_are_read_as_by_the_extract(
    written: list[list[tuple[str, str | None]]], is_escaped: bool
) -> None:
    def key(name: str) -> str:
        escaped = "".join(rf"\u{ord(character):04x}" for character in name)
        return f'"{escaped}"' if is_escaped else json.dumps(name)

    lines = [f"{{{', '.join(f'{key(name)}: {json.dumps(value)}' for name, value in pairs)}}}" for pairs in written]
    _, records = parse_page(f"[{','.join(lines)}]".encode())
    expected = [{**dict.fromkeys(FIELDS), **records[index]} for index in range(len(lines))]
    assert records_of(*lines) == [{name: record[name] for name in FIELDS} for record in expected]


@pytest.mark.parametrize(("value", "text"), [("1e22", "1e22"), ("true", "true"), ('[1.50, {"a": null}]', None)])
def test_a_value_that_is_not_text_is_read_alike_whether_or_not_its_field_is_repeated(
    value: str, text: str | None
) -> None:
    once, twice = records_of(f'{{"city": {value}}}', f'{{"city": "x", "city": {value}}}')
    assert once == twice
    assert once["city"] == (text or '[1.50,{"a":null}]')


def test_records_at_the_limits_of_the_extract_are_read() -> None:
    deep, large = "[" * 99 + "]" * 99, "x" * 900_000
    found = records_of(f'{{"id": "a", "tags": {deep}}}', f'{{"id": "b", "name": "{large}"}}')
    assert [(row["id"], len(row["name"] or "")) for row in found] == [("a", 0), ("b", 900_000)]


def test_schemas_exist_without_tables_and_those_of_other_zones_are_created() -> None:
    def schemas(*names: str) -> list[str]:
        specs: Views = {name: (TableSpec(name, "", (Column("n", "long", ""),)), []) for name in names}
        with duckdb.connect() as connection:
            for statement in view_statements(specs, []):
                connection.execute(statement)
            rows = connection.execute("SELECT schema_name FROM duckdb_schemas() WHERE NOT internal").fetchall()
        return sorted(str(name) for (name,) in rows if name != "main")

    assert schemas() == ["bronze", "gold", "silver"]
    assert schemas("platinum.t", "gold.t") == ["bronze", "gold", "platinum", "silver"]


def test_a_failed_write_leaves_the_old_views(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    write_views(lake, {SPEC.name: (SPEC, [])}, [])
    invalid = TableSpec("gold.t", "", (Column("a", "long", ""), Column("a", "long", "")))
    with pytest.raises(BrewhouseError, match=r"No files found.*`brewhouse query` shows the current ones"):
        write_views(lake, {invalid.name: (invalid, [str(tmp_path / "missing.parquet")])}, [])
    with duckdb.connect(str(lake.views_file), read_only=True) as connection:
        assert connection.execute('SELECT count(*) FROM silver."it\'s"').fetchall() == [(0,)]
    write_views(lake, {}, [])
    assert [path.name for path in tmp_path.iterdir()] == [lake.views_file.name]
