"""Tables of a lake on S3: one transaction for readers of Brewhouse, plain Iceberg for others."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import duckdb
import msgspec
import pyarrow as pa
import pytest
from pyiceberg.catalog.glue import GlueCatalog
from pyiceberg.catalog.rest import RestCatalog
from pyiceberg.exceptions import CommitFailedException, CommitStateUnknownException, NoSuchTableError
from pyiceberg.table import Table
from tests.fault_proxy import FaultProxy, lost, refused

from brewhouse.errors import BrewhouseError, UsageError
from brewhouse.iceberg import cloud_catalog
from brewhouse.iceberg.multi_table_catalog import CommitIntent, PendingTable, read_intent, write_intent
from brewhouse.iceberg.table_spec import Column, Publication, TableSpec
from brewhouse.iceberg.tables import Tables
from brewhouse.lake import s3
from brewhouse.lake.duckdb_access import enable_s3
from brewhouse.lake.lake import Lake, Shared
from brewhouse.lake.run_lock import run_lock
from brewhouse.query.connection import connect
from brewhouse.settings import SecretUrl

SPECS = tuple(
    TableSpec(name, "One row a number.", (Column("id", "long", "Number"),))
    for name in ("gold.two", "silver.one", "silver.three")
)
NAMES = [spec.name for spec in SPECS]


def publications(tables: Tables, rows: Sequence[int]) -> list[Publication]:
    """Write rows into a file of each table, as an engine does."""
    files = [f"{tables.data_folder(spec.name)}/{'-'.join(map(str, rows))}.parquet" for spec in SPECS]
    with duckdb.connect() as connection:
        enable_s3(connection, files)
        connection.register("given", pa.table({"id": pa.array(rows, pa.int64())}))
        for file in files:
            connection.execute(f"COPY given TO '{file}' (FORMAT parquet, FIELD_IDS {{id: 1}})")
    return [Publication(spec, (file,)) for spec, file in zip(SPECS, files, strict=True)]


def publish(lake: Lake, rows: Sequence[int], run: str = "RUN") -> Tables:
    tables = Tables(lake)
    tables.publish(publications(tables, rows), {"brewhouse.run": run, "brewhouse.raw-snapshot": run})
    return tables


def shown(lake: Lake) -> list[list[int]]:
    """The rows of the tables as a reader of Brewhouse sees them."""
    with connect(lake) as connection:
        queries = [f"SELECT id FROM {name} ORDER BY id" for name in NAMES]
        return [[row[0] for row in connection.execute(query).fetchall()] for query in queries]


def glue_tables(lake: Lake) -> list[list[int]]:
    """The rows as PyIceberg's own Glue catalog gives them, by PyArrow's own way to S3."""
    keys = {"access-key-id": os.environ["AWS_ACCESS_KEY_ID"], "secret-access-key": "secret", "region": "eu-central-1"}
    properties = {f"s3.{name}": value for name, value in keys.items()}
    catalog = GlueCatalog("any", s3.client("glue"), **properties, **{"s3.endpoint": os.environ["AWS_ENDPOINT_URL"]})
    databases = f"{lake.shared.catalog_database_prefix}_"
    tables = [catalog.load_table(f"{databases}{name}") for name in NAMES]
    return [sorted(row["id"] for row in table.scan().to_arrow().to_pylist()) for table in tables]


@contextmanager
def killed_at(number: int) -> Iterator[None]:
    """Kill the process, in effect, at the n-th swap of a metadata pointer."""
    asked = iter(range(1, number))

    def die(**_: object) -> None:
        if next(asked, None) is None:
            raise KeyboardInterrupt

    events = s3.client("glue").meta.events
    events.register("before-call.glue.UpdateTable", die)
    try:
        yield
    finally:
        events.unregister("before-call.glue.UpdateTable", die)


@pytest.fixture
def lake(shared_lake: Lake) -> Lake:
    return shared_lake


def test_published_tables_are_read_by_pyicebergs_glue_catalog(lake: Lake) -> None:
    publish(lake, [1, 2])
    publish(lake, [3])
    assert glue_tables(lake) == shown(lake) == [[3]] * 3


def test_a_table_has_its_history_and_can_be_rolled_back(lake: Lake) -> None:
    publish(lake, [1], "FIRST")
    tables = publish(lake, [2, 3], "SECOND")
    history = tables.history("silver.one")
    assert [(s.rows, s.properties["brewhouse.run"], s.current) for s in history] == [
        (1, "FIRST", False),
        (2, "SECOND", True),
    ]
    tables.rollback("silver.one", history[0].snapshot_id)
    assert shown(lake) == glue_tables(lake) == [[2, 3], [1], [2, 3]]
    with connect(lake, "SECOND") as connection:
        assert connection.execute("SELECT sum(id) FROM silver.one").fetchall() == [(5,)]


def test_nested_publications_are_one_commit(lake: Lake) -> None:
    publish(lake, [1])
    tables = Tables(lake)
    with tables.atomically():
        for number in range(2, 5):
            publish_into(tables, [number])
            assert shown(lake) == glue_tables(lake) == [[1]] * 3
    assert shown(lake) == glue_tables(lake) == [[4]] * 3
    assert [snapshot.rows for snapshot in tables.history("silver.one")] == [1, 1, 1, 1]
    files = {str(path) for path in lake.root.rglob("*.metadata.json")}
    stored = {str(lake.root / path) for path in tables.referenced() if path.endswith(".metadata.json")}
    assert stored == files, "every metadata file that a table names is there, and no other"


def publish_into(tables: Tables, rows: Sequence[int]) -> None:
    tables.publish(publications(tables, rows), {})


def test_an_error_in_the_block_changes_no_table(lake: Lake) -> None:
    publish(lake, [1])
    tables = Tables(lake)

    def fail() -> None:
        with tables.atomically():
            publish_into(tables, [2])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert shown(lake) == glue_tables(lake) == [[1]] * 3
    assert [snapshot.rows for snapshot in tables.history("silver.one")] == [1]


@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_commit_killed_between_tables_is_invisible_and_undone_by_the_next(lake: Lake, at: int) -> None:
    publish(lake, [1], "FIRST")
    with killed_at(at), pytest.raises(KeyboardInterrupt):
        publish(lake, [2], "KILLED")
    assert glue_tables(lake).count([2]) == at - 1, "another reader of the catalog sees some tables already"
    assert shown(lake) == [[1]] * 3
    assert read_intent(lake)[0].tables

    tables = Tables(lake)
    tables.rollback("silver.three", tables.history("silver.three")[0].snapshot_id)  # any commit at all
    assert shown(lake) == glue_tables(lake) == [[1]] * 3
    publish(lake, [3], "NEXT")
    assert shown(lake) == glue_tables(lake) == [[3]] * 3
    runs = [snapshot.properties["brewhouse.run"] for snapshot in Tables(lake).history("silver.one")]
    assert runs == ["FIRST", "NEXT"]


def test_a_first_commit_killed_between_tables_shows_no_table(lake: Lake) -> None:
    with killed_at(2), pytest.raises(KeyboardInterrupt):
        publish(lake, [1])
    with pytest.raises(BrewhouseError, match="no published tables"):
        connect(lake)
    assert Tables(lake).names() == []
    publish(lake, [2])
    assert shown(lake) == glue_tables(lake) == [[2]] * 3


def test_a_commit_killed_before_it_cleared_its_intent_is_complete(lake: Lake) -> None:
    before = {name: table.metadata_location for name, table in raw_tables(publish(lake, [1], "FIRST")).items()}
    after = {name: table.metadata.current_snapshot_id for name, table in raw_tables(publish(lake, [2], "LAST")).items()}
    pending = {name: PendingTable(before[name], after[name] or 0) for name in before}
    write_intent(lake, pending, read_intent(lake)[1])
    assert shown(lake) == [[2]] * 3
    publish(lake, [3], "NEXT")
    runs = [snapshot.properties["brewhouse.run"] for snapshot in Tables(lake).history("silver.one")]
    assert runs == ["FIRST", "LAST", "NEXT"]


def raw_tables(tables: Tables) -> dict[str, Table]:
    """The tables by their names in the catalog."""
    return {f"{tables._lake.shared.catalog_database_prefix}_{name}": tables._load(name) for name in NAMES}


def test_a_table_that_another_process_changed_is_not_overwritten(lake: Lake) -> None:
    publish(lake, [1])
    late = Tables(lake)
    late.names()
    publish(lake, [2])
    with pytest.raises(BrewhouseError, match=r"Nothing was published: Table has been updated by another process"):
        publish_into(late, [3])
    assert shown(lake) == glue_tables(lake) == [[2]] * 3


def test_two_lakes_do_not_share_a_database(lake: Lake) -> None:
    publish(lake, [1])
    for place in (lake.root.parent, lake.root.parent / f"{lake.root.name}2"):
        other = Lake(place, lake.shared)
        with pytest.raises(UsageError, match=r"lake\d+_(gold|silver) belongs to .*BREWHOUSE_CATALOG_DATABASE_PREFIX"):
            Tables(other).names()
    other = Lake(other.root, Shared(catalog_database_prefix=f"{lake.shared.catalog_database_prefix}b"))
    publish(other, [2])
    assert (shown(lake), shown(other)) == ([[1]] * 3, [[2]] * 3)


def rest_lake(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """The same lake through the REST catalog of the emulator."""
    values = {"REST__SIGV4_ENABLED": "true", "REST__SIGNING_NAME": "glue", "REST__SIGNING_REGION": "eu-central-1"}
    for name, value in {**values, "WAREHOUSE": os.environ["AWS_ACCESS_KEY_ID"]}.items():
        monkeypatch.setenv(f"PYICEBERG_CATALOG__BREWHOUSE__{name}", value)
    return Lake(
        lake.root,
        replace(lake.shared, catalog="rest", catalog_uri=SecretUrl(f"{os.environ['AWS_ENDPOINT_URL']}/iceberg")),
    )


def test_an_iceberg_rest_catalog_works_as_well(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    rest = rest_lake(lake, monkeypatch)
    publish(rest, [1], "FIRST")
    tables = publish(rest, [2, 3], "SECOND")
    with tables.atomically():
        publish_into(tables, [4])
        publish_into(tables, [5])
        assert shown(rest) == [[2, 3]] * 3
    assert shown(rest) == [[5]] * 3
    with connect(rest, "FIRST") as connection:
        assert connection.execute("SELECT sum(id) FROM silver.one").fetchall() == [(1,)]

    nowhere = Lake(lake.root, replace(lake.shared, catalog="rest"))
    with pytest.raises(UsageError, match="BREWHOUSE_CATALOG_URI"):
        Tables(nowhere)


def test_a_reader_during_a_commit_sees_all_tables_as_before(lake: Lake) -> None:
    publish(lake, [0])
    seen: list[list[list[int]]] = []
    events = s3.client("glue").meta.events

    def look(**_: object) -> None:
        seen.append(shown(lake))

    events.register("before-call.glue.UpdateTable", look)
    publish(lake, [1])
    events.unregister("before-call.glue.UpdateTable", look)
    assert seen == [[[0]] * 3] * 3
    assert shown(lake) == [[1]] * 3


@pytest.mark.parametrize("is_first", [True, False])
def test_a_commit_to_a_rest_catalog_killed_between_tables_is_invisible(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, *, is_first: bool
) -> None:
    rest = rest_lake(lake, monkeypatch)
    if not is_first:
        publish(rest, [1], "FIRST")
    commits = iter(range(1))
    commit_table = RestCatalog.commit_table

    def commit_one(catalog: RestCatalog, *args: Any, **options: Any) -> object:  # noqa: ANN401
        if next(commits, None) is None:
            raise KeyboardInterrupt
        return commit_table(catalog, *args, **options)

    monkeypatch.setattr(RestCatalog, "commit_table", commit_one)
    with pytest.raises(KeyboardInterrupt):
        publish(rest, [2], "KILLED")
    assert sorted(read_intent(rest)[0].tables) == sorted(f"{lake.shared.catalog_database_prefix}_{n}" for n in NAMES)
    assert Tables(rest).names() == ([] if is_first else sorted(NAMES))
    if not is_first:
        assert shown(rest) == [[1]] * 3


def test_an_intent_is_written_under_the_version_it_replaces(lake: Lake) -> None:
    assert read_intent(lake) == (CommitIntent(), None)
    pending = {"silver.one": PendingTable("s3://b/v1.json", 2**62)}
    version = write_intent(lake, pending, None)
    intent, stored = read_intent(lake)
    assert (intent.tables, stored) == (pending, version)
    with pytest.raises(CommitFailedException):
        write_intent(lake, {}, None)
    later = write_intent(lake, {}, version)
    with pytest.raises(CommitFailedException):
        write_intent(lake, pending, version)
    intent, stored = read_intent(lake)
    assert (intent.tables, stored) == ({}, later)
    content = msgspec.json.decode((lake.root / "commit.json").read_bytes())
    assert sorted(content) == ["id", "tables"]


def test_of_two_concurrent_first_commits_one_fails_and_nothing_is_mixed(lake: Lake) -> None:
    other, events = Tables(lake), s3.client("glue").meta.events
    started: list[bool] = []

    def interfere(**_: object) -> None:
        if not started:
            started.append(True)
            publish_into(other, [2])

    tables = Tables(lake)
    prepared = publications(tables, [1])
    events.register("before-call.glue.UpdateTable", interfere)
    try:
        with pytest.raises(BrewhouseError, match="Nothing was published"):
            tables.publish(prepared, {})
    finally:
        events.unregister("before-call.glue.UpdateTable", interfere)
    assert started
    sets = {tuple(map(tuple, shown(lake)))}
    assert sets <= {((1,),) * 3, ((2,),) * 3}
    publish(lake, [3])
    assert shown(lake) == glue_tables(lake) == [[3]] * 3


@contextmanager
def interrupted_at(number: int, action: Callable[[], object]) -> Iterator[list[object]]:
    """Let another process act right before the n-th swap of a metadata pointer, whose process sleeps meanwhile."""
    asked, done = iter(range(1, number)), list[object]()

    def act(**_: object) -> None:
        if not done and next(asked, None) is None:
            done.append(None)  # the other process swaps pointers, too
            done[0] = action()

    events = s3.client("glue").meta.events
    events.register("before-call.glue.UpdateTable", act)
    try:
        yield done
    finally:
        events.unregister("before-call.glue.UpdateTable", act)


def undo(lake: Lake) -> None:
    """Commit to one table; this undoes what another process left incomplete."""
    tables = Tables(lake)
    first = tables.history("silver.three")[0].snapshot_id
    tables.rollback("silver.three", first)


OTHERS: dict[str, tuple[Callable[[Lake], object], int]] = {
    "publishes": (lambda lake: publish(lake, [2], "OTHER"), 2),
    "rolls a table back": (undo, 1),
}


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_process_that_wakes_after_its_commit_was_undone_changes_no_table(lake: Lake, at: int, other: str) -> None:
    publish(lake, [1], "FIRST")
    act, shows = OTHERS[other]
    with interrupted_at(at, lambda: act(lake)), pytest.raises(BrewhouseError, match="Nothing was published"):
        publish(lake, [3], "SLEEPER")
    assert shown(lake) == glue_tables(lake) == [[shows]] * 3
    assert read_intent(lake)[0].tables == {}
    runs = [snapshot.properties["brewhouse.run"] for snapshot in Tables(lake).history("silver.one")]
    assert runs == ["FIRST", "OTHER"][:shows]


@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_process_that_wakes_while_its_commit_is_undone_leaves_no_mixture(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """The sleeper swaps its next pointer after the other process read the tables and before it changes them."""
    publish(lake, [1], "FIRST")
    late: list[Callable[[], object]] = []
    prepare = cloud_catalog._Glue.prepare

    def prepare_late(catalog: Any, change: cloud_catalog.TableChange) -> Callable[[], object]:  # noqa: ANN401
        late.append(swap := prepare(catalog, change))
        return swap

    with monkeypatch.context() as patch, killed_at(at):
        patch.setattr(cloud_catalog._Glue, "prepare", prepare_late)
        with pytest.raises(KeyboardInterrupt):
            publish(lake, [3], "SLEEPER")
    with interrupted_at(1, late[at - 1]):
        undo(lake)
    assert shown(lake) == glue_tables(lake) == [[1]] * 3
    for swap in late:
        with pytest.raises(CommitFailedException):
            swap()
    assert shown(lake) == glue_tables(lake) == [[1]] * 3


@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_process_whose_lock_was_acquired_by_another_swaps_no_further_pointer(lake: Lake, at: int) -> None:
    publish(lake, [1], "FIRST")

    def steal() -> None:
        lake.store.put("run.lock", (lake.root / "run.lock").read_bytes().replace(b"SLEEPER", b"OTHER"))

    def sleep() -> None:
        with run_lock(lake, "SLEEPER"):
            publish(lake, [3], "SLEEPER")

    lost_it = pytest.raises(BrewhouseError, match="Run SLEEPER lost the lock")
    with interrupted_at(at, steal), lost_it:
        sleep()
    assert glue_tables(lake).count([3]) == at
    assert shown(lake) == ([[1]] * 3 if at < 3 else [[3]] * 3)
    publish(lake, [4], "NEXT")
    assert shown(lake) == glue_tables(lake) == [[4]] * 3


def test_a_commit_that_another_one_overtakes_is_undone_at_once(lake: Lake) -> None:
    """Another client, which knows no intents, changes the second table after the first was swapped."""
    publish(lake, [1], "FIRST")
    name = f"{lake.shared.catalog_database_prefix}_silver.one"
    catalog = GlueCatalog("any", s3.client("glue"), **{"py-io-impl": "brewhouse.iceberg.file_io.ObjectIO"})

    def change() -> None:
        with catalog.load_table(name).transaction() as transaction:
            transaction.set_properties(owner="another")

    with interrupted_at(2, change), pytest.raises(BrewhouseError, match="Nothing was published"):
        publish(lake, [3], "LATE")
    assert shown(lake) == glue_tables(lake) == [[1]] * 3
    assert catalog.load_table(name).properties["owner"] == "another"


@pytest.mark.parametrize("status", [None, 500])
def test_a_commit_whose_responses_are_lost_succeeds(lake: Lake, faulty_aws: FaultProxy, status: int | None) -> None:
    for number in (1, 2):  # tables are created, then changed
        puts = ("commit.json", "metadata.json", "avro")
        faults = [
            lost("UpdateTable", status=status, times=2),
            *(lost(f"PUT .*{pattern}", status=status, times=2) for pattern in puts),
            *(lost(pattern, status=status) for pattern in ("CreateTable", "CreateDatabase") if number == 1),
        ]
        faulty_aws.fail(*faults)
        publish(lake, [number])
        assert all(fault.hits for fault in faults)
        faulty_aws.faults = []
        assert shown(lake) == glue_tables(lake) == [[number]] * 3


def test_an_undoing_whose_responses_are_lost_succeeds(lake: Lake, faulty_aws: FaultProxy) -> None:
    publish(lake, [1], "FIRST")
    with killed_at(3), pytest.raises(KeyboardInterrupt):
        publish(lake, [2], "KILLED")
    fault = faulty_aws.fail(lost("UpdateTable", times=2))
    undo(lake)
    assert len(fault.hits) == 2
    assert shown(lake) == glue_tables(lake) == [[1]] * 3


@pytest.mark.parametrize("content", [b"", b"{", b'{"tables": 1}', b"\xff"])
def test_a_corrupt_intent_is_named_by_every_use_and_nothing_starts_over(lake: Lake, content: bytes) -> None:
    publish(lake, [1])
    stored = (lake.root / "commit.json").read_bytes()
    lake.store.put("commit.json", content)
    for use in (lambda: Tables(lake).names(), lambda: connect(lake), lambda: publish(lake, [2])):
        with pytest.raises(BrewhouseError, match=r"lake\d+/commit.json is corrupt: .* Restore an earlier version"):
            use()
    assert (lake.root / "commit.json").read_bytes() == content
    lake.store.put("commit.json", stored)
    assert shown(lake) == [[1]] * 3


@pytest.mark.parametrize("status", [None, 504])
def test_a_commit_to_a_rest_catalog_whose_response_is_lost_succeeds(
    lake: Lake, faulty_aws: FaultProxy, monkeypatch: pytest.MonkeyPatch, status: int | None
) -> None:
    rest = rest_lake(lake, monkeypatch)
    publish(rest, [1], "FIRST")
    fault = faulty_aws.fail(lost("POST /iceberg.*/tables/", status=status, times=2))
    publish(rest, [2], "SECOND")
    assert len(fault.hits) == 2
    assert shown(rest) == [[2]] * 3
    faulty_aws.fail(refused("POST /iceberg.*/tables/", 500, "InternalError"))
    with pytest.raises(CommitStateUnknownException):
        publish(rest, [3], "THIRD")
    assert shown(rest) == [[2]] * 3


def test_expiry_and_rollback_of_several_tables_are_one_commit(lake: Lake) -> None:
    for number in range(3):
        publish(lake, [number])
    tables = Tables(lake)
    old = {name: [snapshot.snapshot_id for snapshot in tables.history(name)] for name in NAMES}
    with tables.atomically():
        tables.expire({name: snapshot_ids[:1] for name, snapshot_ids in old.items()})
        for name in NAMES:
            tables.rollback(name, old[name][1])
        assert shown(lake) == [[2]] * 3, "other readers see nothing of it yet"
    assert shown(lake) == glue_tables(lake) == [[1]] * 3
    assert all([s.snapshot_id for s in Tables(lake).history(name)] == old[name][1:] for name in NAMES)


def test_the_metadata_of_a_table_read_elsewhere_is_plain_iceberg(lake: Lake) -> None:
    publish(lake, [1, 2])
    for name, table in raw_tables(Tables(lake)).items():
        assert table.metadata.format_version == 2
        assert (
            table.location()
            == f"{lake.root}/warehouse/{name.removeprefix(lake.shared.catalog_database_prefix + '_').replace('.', '/')}"
        )
        assert table.metadata_location.startswith(f"{table.location()}/metadata/00001-")


def test_unsupported_operations_name_the_alternative(lake: Lake) -> None:
    catalog = Tables(lake)._catalog
    for use in (catalog.drop_table, catalog.load_namespace_properties):
        with pytest.raises(NotImplementedError, match="open its catalog with PyIceberg itself"):
            use("silver.one")
    with pytest.raises(NoSuchTableError):
        catalog.load_table("silver.absent")
