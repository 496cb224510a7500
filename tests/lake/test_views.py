"""Views: a DuckDB file replaced in one step, that any client opens."""

from __future__ import annotations

import gzip
from pathlib import Path

import duckdb

from brewhouse.lake.lake import Lake
from brewhouse.lake.spec import Column, TableSpec
from brewhouse.lake.views import write_views

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
