"""Views: a DuckDB file replaced in one step, that any client opens."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import duckdb

from brewhouse.api.contract import FIELDS
from brewhouse.iceberg.table_spec import DUCKDB_TYPES, Column, TableSpec
from brewhouse.lake.duckdb_access import literal
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


def test_a_reader_that_holds_the_old_views_goes_on_and_leftovers_go(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    write_views(lake, {SPEC.name: (SPEC, [])}, [])
    leftover = tmp_path / "brewhouse.duckdb.1.tmp"
    leftover.write_bytes(b"half written by a killed run")
    with duckdb.connect(str(lake.views_file), read_only=True) as reader:
        write_views(lake, {}, [])
        assert reader.execute('SELECT count(*) FROM silver."it\'s"').fetchall() == [(0,)]
    assert not leftover.exists()


def test_a_file_may_lack_columns_and_so_may_all(tmp_path: Path) -> None:
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


def test_no_pages_and_empty_pages_look_alike(tmp_path: Path) -> None:
    page = tmp_path / "page-00001.00.jsonl.gz"
    page.write_bytes(gzip.compress(b""))
    shapes = []
    for files in ([], [str(page)]):
        assert duckdb.execute(raw_records_sql(files)).fetchall() == []
        shapes.append([row[:2] for row in duckdb.execute(f"DESCRIBE {raw_records_sql(files)}").fetchall()])
    assert shapes[0] == shapes[1]
    assert [name for name, _ in shapes[0]] == [*FIELDS, "page", "record"]


def test_what_a_killed_client_left_does_not_harm_the_new_file(tmp_path: Path) -> None:
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
