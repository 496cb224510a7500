"""The SQLite catalog shares its file with PyIceberg's, and commits several tables in one transaction."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import (
    CommitFailedException,
    NamespaceAlreadyExistsError,
    NoSuchTableError,
    TableAlreadyExistsError,
)
from pyiceberg.schema import Schema
from pyiceberg.table import StaticTable, Table
from pyiceberg.table.update import AssertTableUUID
from pyiceberg.types import LongType, NestedField

from brewhouse.errors import BrewhouseError
from brewhouse.iceberg.lake_catalog import NAME
from brewhouse.iceberg.sqlite_catalog import SQLiteCatalog
from brewhouse.lake.error_translation import translate_error

SCHEMA = Schema(NestedField(1, "n", LongType(), required=False))


def opened(folder: Path) -> SQLiteCatalog:
    return SQLiteCatalog(folder / "catalog.db", f"file://{folder}/warehouse")


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[SQLiteCatalog]:
    catalog = opened(tmp_path)
    catalog.create_namespace("silver")
    yield catalog
    catalog.close()


@pytest.fixture
def sql_catalog(tmp_path: Path, catalog: SQLiteCatalog) -> Iterator[SqlCatalog]:
    assert catalog.name == NAME
    other = SqlCatalog(NAME, uri=f"sqlite:///{tmp_path}/catalog.db", warehouse=f"file://{tmp_path}/warehouse")
    yield other
    other.close()


def create(catalog: SQLiteCatalog, name: str) -> Table:
    return catalog.create_table(name, SCHEMA, location=f"{catalog.properties['warehouse']}/{name.replace('.', '/')}")


def set_property(table_of: SQLiteCatalog | SqlCatalog, name: str, value: str) -> None:
    with table_of.load_table(name).transaction() as transaction:
        transaction.set_properties({"said": value})


def test_pyicebergs_sql_catalog_reads_and_writes_our_tables(catalog: SQLiteCatalog, sql_catalog: SqlCatalog) -> None:
    ours = create(catalog, "silver.a")
    theirs = sql_catalog.load_table("silver.a")
    assert theirs.metadata == ours.metadata
    assert sql_catalog.list_tables("silver") == catalog.list_tables("silver") == [("silver", "a")]
    assert sql_catalog.list_namespaces() == catalog.list_namespaces() == [("silver",)]
    assert sql_catalog.namespace_exists("silver")
    set_property(sql_catalog, "silver.a", "theirs")
    assert catalog.load_table("silver.a").properties["said"] == "theirs"
    set_property(catalog, "silver.a", "ours")
    assert sql_catalog.load_table("silver.a").properties["said"] == "ours"


def test_we_read_and_write_tables_of_pyicebergs_sql_catalog(tmp_path: Path) -> None:
    theirs = SqlCatalog(NAME, uri=f"sqlite:///{tmp_path}/catalog.db", warehouse=f"file://{tmp_path}/warehouse")
    theirs.create_namespace("gold")
    made = theirs.create_table("gold.b", SCHEMA)
    ours = opened(tmp_path)
    assert ours.load_table("gold.b").metadata == made.metadata
    set_property(ours, "gold.b", "ours")
    assert theirs.load_table("gold.b").properties["said"] == "ours"
    theirs.close()
    ours.close()


def test_the_database_has_the_schema_of_pyicebergs_sql_catalog(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    SqlCatalog(NAME, uri=f"sqlite:///{tmp_path}/theirs/catalog.db").close()
    opened(tmp_path / "ours").close()
    shapes = []
    for whose in ("ours", "theirs"):
        connection = sqlite3.connect(tmp_path / whose / "catalog.db")
        shapes.append(
            {
                table: connection.execute(f"PRAGMA table_info({table})").fetchall()
                for table in ("iceberg_tables", "iceberg_namespace_properties")
            }
        )
        connection.close()
    assert shapes[0] == shapes[1]


def test_tables_and_namespaces_are_listed_and_created_once(catalog: SQLiteCatalog) -> None:
    create(catalog, "silver.a")
    create(catalog, "silver.b")
    catalog.create_namespace("gold")
    with pytest.raises(TableAlreadyExistsError):
        create(catalog, "silver.a")
    with pytest.raises(NamespaceAlreadyExistsError):
        catalog.create_namespace("silver")
    catalog.create_namespace_if_not_exists("silver")
    with pytest.raises(NoSuchTableError):
        catalog.load_table("silver.c")
    assert catalog.list_tables("silver") == [("silver", "a"), ("silver", "b")]
    assert catalog.list_tables("gold") == []


def test_unsupported_operations_name_the_alternative(catalog: SQLiteCatalog) -> None:
    with pytest.raises(NotImplementedError, match="with PyIceberg itself"):
        catalog.drop_namespace("silver")
    with pytest.raises(NotImplementedError, match="with PyIceberg itself"):
        catalog.register_table("silver.x", "file:///x")
    with pytest.raises(NotImplementedError, match="with PyIceberg itself"):
        catalog.rename_table("silver.x", "silver.y")


def test_a_commit_waits_for_a_concurrent_one_and_keeps_it(tmp_path: Path, catalog: SQLiteCatalog) -> None:
    create(catalog, "silver.a")
    waiting = threading.Event()

    def commit() -> None:
        other = opened(tmp_path)
        waiting.set()
        with other.load_table("silver.a").transaction() as transaction:
            transaction.set_properties({"second": "yes"})
        other.close()

    thread = threading.Thread(target=commit)
    with catalog.atomically():
        thread.start()
        assert waiting.wait(10)
        set_property(catalog, "silver.a", "first")
    thread.join()
    properties = catalog.load_table("silver.a").properties
    assert (properties["said"], properties["second"]) == ("first", "yes")


def metadata_files(folder: Path) -> set[str]:
    return {file.name for file in folder.rglob("*.metadata.json")}


def test_a_transaction_writes_one_metadata_file_per_table_and_logs_the_one_before(
    tmp_path: Path, catalog: SQLiteCatalog
) -> None:
    with catalog.atomically():
        first = create(catalog, "silver.a")
        set_property(catalog, "silver.a", "1")
        assert metadata_files(tmp_path) == set(), "readers of the folder would take it for current"
    first = catalog.load_table("silver.a")
    assert metadata_files(tmp_path) == {Path(first.metadata_location).name}
    assert first.metadata.metadata_log == []
    with catalog.atomically():
        for value in "234":
            set_property(catalog, "silver.a", value)
    now = catalog.load_table("silver.a")
    assert metadata_files(tmp_path) == {Path(table.metadata_location).name for table in (first, now)}
    assert [entry.metadata_file for entry in now.metadata.metadata_log] == [first.metadata_location]
    assert now.properties["said"] == "4"


def test_the_version_hint_names_the_current_metadata(tmp_path: Path, catalog: SQLiteCatalog) -> None:
    create(catalog, "silver.a")
    for value in "12":
        set_property(catalog, "silver.a", value)
        found = StaticTable.from_metadata(f"{tmp_path}/warehouse/silver/a")
        assert found.properties["said"] == value


def test_damaged_metadata_is_named_with_its_table_and_its_repair(tmp_path: Path, catalog: SQLiteCatalog) -> None:
    table = create(catalog, "silver.a")
    file = Path(table.metadata_location.removeprefix("file://"))
    content = file.read_bytes()
    damages = {
        "it does not exist": None,
        "its content does not match its checksum": content.replace(b'"n"', b'"m"'),
        "match its checksum": content[:-5],
    }
    for reason, damage in damages.items():
        file.unlink() if damage is None else file.write_bytes(damage)
        reader = opened(tmp_path)
        with pytest.raises(BrewhouseError, match=reason) as raised:
            reader.load_table("silver.a")
        assert str(file) in raised.value.what
        assert "the metadata of table silver.a" in raised.value.what
        assert "`brewhouse rebuild`" in raised.value.hint
        reader.close()


def test_metadata_without_a_checksum_in_its_name_is_read_and_checked_for_its_format(
    tmp_path: Path, catalog: SQLiteCatalog, sql_catalog: SqlCatalog
) -> None:
    create(catalog, "silver.a")
    set_property(sql_catalog, "silver.a", "theirs")
    table = catalog.load_table("silver.a")
    assert table.properties["said"] == "theirs"
    Path(table.metadata_location.removeprefix("file://")).write_text("{}")
    reader = opened(tmp_path)
    with pytest.raises(BrewhouseError, match="it is not the metadata of a table"):
        reader.load_table("silver.a")
    reader.close()


@pytest.mark.parametrize("damage", ["missing", "empty", "header", "body"])
def test_a_lost_or_damaged_catalog_is_refused_and_not_replaced(
    tmp_path: Path, catalog: SQLiteCatalog, damage: str
) -> None:
    create(catalog, "silver.a")
    catalog.close()
    file = tmp_path / "catalog.db"
    content = file.read_bytes()
    name = content.index(b"silvera")
    changed = {
        "empty": b"",
        "header": b"X" + content[1:],
        "body": content[:name] + b"silverb" + content[name + 7 :],
    }
    file.unlink() if damage == "missing" else file.write_bytes(changed[damage])
    with pytest.raises(BrewhouseError, match="the catalog of the tables") as raised:
        opened(tmp_path)
    assert str(file) in raised.value.what
    assert (file.read_bytes() if file.exists() else None) == changed.get(damage)


def test_a_replaced_catalog_exists_from_its_first_commit_on(tmp_path: Path, catalog: SQLiteCatalog) -> None:
    create(catalog, "silver.a")
    catalog.close()
    (tmp_path / "catalog.db").unlink()

    def replace(*, fail: bool) -> None:
        new = SQLiteCatalog(tmp_path / "catalog.db", f"file://{tmp_path}/warehouse", replaces=True)
        try:
            with new.atomically():
                new.create_namespace("silver")
                create(new, "silver.a")
                if fail:
                    raise KeyboardInterrupt
        finally:
            new.close()

    with pytest.raises(KeyboardInterrupt):
        replace(fail=True)
    with pytest.raises(BrewhouseError, match="missing or empty"):
        opened(tmp_path)
    replace(fail=False)
    reader = opened(tmp_path)
    assert reader.list_tables("silver") == [("silver", "a")]
    reader.close()


def test_others_see_all_tables_of_a_transaction_change_at_once(
    tmp_path: Path, catalog: SQLiteCatalog, sql_catalog: SqlCatalog
) -> None:
    other = opened(tmp_path)
    create(catalog, "silver.a")
    with catalog.atomically():
        set_property(catalog, "silver.a", "new")
        create(catalog, "silver.b")
        assert catalog.load_table("silver.a").properties["said"] == "new"
        for reader in (other, sql_catalog):
            assert "said" not in reader.load_table("silver.a").properties
            assert reader.list_tables("silver") == [("silver", "a")]
    for reader in (other, sql_catalog):
        assert reader.load_table("silver.a").properties["said"] == "new"
        assert reader.table_exists("silver.b")
    other.close()


def test_an_error_rolls_back_the_whole_transaction(catalog: SQLiteCatalog) -> None:
    create(catalog, "silver.a")

    def change_and_fail() -> None:
        with catalog.atomically():
            set_property(catalog, "silver.a", "new")
            create(catalog, "silver.b")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        change_and_fail()
    assert "said" not in catalog.load_table("silver.a").properties
    assert not catalog.table_exists("silver.b")
    with catalog.atomically():
        set_property(catalog, "silver.a", "again")
    assert catalog.load_table("silver.a").properties["said"] == "again"


def test_a_reader_sees_one_moment_while_another_process_waits_to_commit(tmp_path: Path, catalog: SQLiteCatalog) -> None:
    create(catalog, "silver.a")
    create(catalog, "silver.b")
    other = opened(tmp_path)
    committed = threading.Event()

    def commit() -> None:
        writer = opened(tmp_path)
        with writer.atomically():
            set_property(writer, "silver.a", "new")
            set_property(writer, "silver.b", "new")
        committed.set()
        writer.close()

    thread = threading.Thread(target=commit)
    with other.reading():
        assert "said" not in other.load_table("silver.a").properties
        thread.start()
        assert not committed.wait(0.3)
        assert "said" not in other.load_table("silver.b").properties
    assert committed.wait(10)
    thread.join()
    assert other.load_table("silver.b").properties["said"] == "new"
    other.close()


def test_many_threads_create_and_commit_concurrently(tmp_path: Path, catalog: SQLiteCatalog) -> None:
    names = [f"silver.t{number}" for number in range(6)]
    errors: list[Exception] = []

    def work(name: str) -> None:
        try:
            mine = opened(tmp_path)
            with mine.atomically():
                create(mine, name)
            for value in range(5):
                set_property(mine, name, str(value))
            mine.close()
        except Exception as error:  # noqa: BLE001 - any error of the thread is the result
            errors.append(error)

    threads = [threading.Thread(target=work, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert [catalog.load_table(name).properties["said"] for name in names] == ["4"] * 6


COMMIT = """
import sys
from pathlib import Path
from brewhouse.iceberg.sqlite_catalog import SQLiteCatalog
from brewhouse.lake.error_translation import translate_error
folder = Path(sys.argv[1])
catalog = SQLiteCatalog(folder / "catalog.db", f"file://{folder}/warehouse")
with catalog.atomically():
    for name in ("silver.a", "silver.b"):
        with catalog.load_table(name).transaction() as transaction:
            transaction.set_properties({"said": "killed"})
        print("changed", flush=True)
        sys.stdin.readline()
"""


@pytest.mark.parametrize("changed", [1, 2])
def test_a_transaction_of_a_killed_process_is_rolled_back(
    tmp_path: Path, catalog: SQLiteCatalog, sql_catalog: SqlCatalog, changed: int
) -> None:
    for name in ("silver.a", "silver.b"):
        create(catalog, name)
    process = subprocess.Popen(
        [sys.executable, "-c", COMMIT, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdin is not None
    for number in range(changed):
        if number:
            process.stdin.write(b"\n")
            process.stdin.flush()
        assert process.stdout.readline() == b"changed\n"
    process.kill()
    process.communicate()
    for reader in (catalog, sql_catalog):
        assert ["said" in reader.load_table(name).properties for name in ("silver.a", "silver.b")] == [False, False]
    with catalog.atomically():
        set_property(catalog, "silver.a", "next")
    assert sql_catalog.load_table("silver.a").properties["said"] == "next"


def test_an_error_in_a_nested_block_rolls_back_the_outer_one(catalog: SQLiteCatalog) -> None:
    create(catalog, "silver.a")

    def fail() -> None:
        with catalog.atomically():
            set_property(catalog, "silver.a", "outer")
            with catalog.atomically():
                set_property(catalog, "silver.a", "inner")
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert "said" not in catalog.load_table("silver.a").properties


def test_a_nested_block_commits_with_the_outer_one(tmp_path: Path, catalog: SQLiteCatalog) -> None:
    create(catalog, "silver.a")
    other = opened(tmp_path)
    with catalog.atomically():
        with catalog.atomically(), catalog.reading():
            set_property(catalog, "silver.a", "inner")
        assert "said" not in other.load_table("silver.a").properties
    assert other.load_table("silver.a").properties["said"] == "inner"
    other.close()


def test_a_catalog_that_stays_locked_is_reported(
    tmp_path: Path, catalog: SQLiteCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("brewhouse.iceberg.sqlite_catalog._BUSY_TIMEOUT_S", 0.05)
    impatient = opened(tmp_path)
    create(catalog, "silver.a")
    with catalog.atomically():
        refused = pytest.raises(CommitFailedException, match="cannot be locked: database is locked")
        with refused, impatient.atomically():
            pass
        assert impatient.load_table("silver.a").name() == ("silver", "a"), "readers are not locked out"
    with impatient.atomically():
        set_property(impatient, "silver.a", "later")
    impatient.close()


@pytest.mark.parametrize("lock", ["BEGIN EXCLUSIVE", "BEGIN; SELECT count(*) FROM iceberg_tables"])
def test_a_catalog_that_another_client_has_locked_is_named_and_unchanged(
    tmp_path: Path, catalog: SQLiteCatalog, monkeypatch: pytest.MonkeyPatch, lock: str
) -> None:
    create(catalog, "silver.a")
    monkeypatch.setattr("brewhouse.iceberg.sqlite_catalog._BUSY_TIMEOUT_S", 0.05)
    ours = opened(tmp_path)
    client = sqlite3.connect(tmp_path / "catalog.db", isolation_level=None)
    for statement in lock.split(";"):
        client.execute(statement).fetchall()
    uses: list[Callable[[], object]] = [lambda: set_property(ours, "silver.a", "new")]
    if "EXCLUSIVE" in lock:
        uses += [lambda: ours.load_table("silver.a"), lambda: opened(tmp_path)]
    for use in uses:
        with pytest.raises(Exception) as refused:  # noqa: PT011 - the message that users see is compared
            use()
        known = translate_error(refused.value)
        assert known is not None
        assert known.what == "Another program has locked catalog.db, the catalog of the lake."
    client.close()
    assert "said" not in ours.load_table("silver.a").properties
    set_property(ours, "silver.a", "later")
    assert ours.load_table("silver.a").properties["said"] == "later"
    ours.close()


def test_a_failed_requirement_rolls_back_what_was_changed_before(tmp_path: Path, catalog: SQLiteCatalog) -> None:
    for name in ("silver.a", "silver.b"):
        create(catalog, name)
    stale = catalog.load_table("silver.b")
    other = opened(tmp_path)
    other._connection.execute("DELETE FROM iceberg_tables WHERE table_name = 'b'")
    create(other, "silver.b")
    other.close()

    def commit() -> None:
        with catalog.atomically():
            set_property(catalog, "silver.a", "new")
            catalog.commit_table(stale, (AssertTableUUID(uuid=stale.metadata.table_uuid),), ())

    with pytest.raises(CommitFailedException, match="UUID"):
        commit()
    assert "said" not in catalog.load_table("silver.a").properties


def test_a_commit_that_changes_nothing_writes_nothing(tmp_path: Path, catalog: SQLiteCatalog) -> None:
    table = create(catalog, "silver.a")
    files = set(tmp_path.rglob("*.json"))
    response = catalog.commit_table(table, (AssertTableUUID(uuid=table.metadata.table_uuid),), ())
    assert response.metadata_location == table.metadata_location
    assert set(tmp_path.rglob("*.json")) == files


def test_metadata_of_other_processes_is_read_again_when_its_location_changes(
    tmp_path: Path, catalog: SQLiteCatalog
) -> None:
    create(catalog, "silver.a")
    other = opened(tmp_path)
    first = other.load_table("silver.a")
    assert other.load_table("silver.a").metadata is first.metadata, "cached while it is current"
    set_property(catalog, "silver.a", "new")
    assert other.load_table("silver.a").properties["said"] == "new"
    other.close()


@pytest.mark.parametrize(("mask", "mode"), [(0o002, 0o664), (0o077, 0o600)])
def test_the_file_has_the_permissions_of_the_umask(tmp_path: Path, mask: int, mode: int) -> None:
    before = os.umask(mask)
    try:
        opened(tmp_path).close()
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "catalog.db").stat().st_mode) == mode


def test_metadata_that_a_killed_commit_left_is_deleted_by_the_next_commit(
    tmp_path: Path, catalog: SQLiteCatalog
) -> None:
    create(catalog, "silver.a")
    set_property(catalog, "silver.a", "1")
    logged = metadata_files(tmp_path)
    folder = tmp_path / "warehouse" / "silver" / "a" / "metadata"
    left = folder / "00002-00000000-0000-4000-8000-000000000000.metadata.json"
    left.write_text("{}")
    set_property(catalog, "silver.a", "2")
    assert logged < metadata_files(tmp_path)
    assert not left.exists()
