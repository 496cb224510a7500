"""Cloud catalogs: which one is opened, and how a commit to one of them is prepared and undone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pyiceberg.catalog import Catalog
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.table import Table
from tests.iceberg.parquet import publish, spec_of

from brewhouse.errors import UsageError
from brewhouse.iceberg.cloud_catalog import TableChange, _Rest, open_cloud_catalog
from brewhouse.iceberg.lake_catalog import FILE_IO, NAME
from brewhouse.iceberg.snapshots import require_current, set_current
from brewhouse.iceberg.tables import Tables
from brewhouse.lake.lake import Lake, Shared


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


class RestOf(_Rest):
    """What we do with a REST catalog, done with PyIceberg's SQL catalog: the emulator ignores most updates."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog


@pytest.fixture
def rest(lake: Lake) -> Iterator[RestOf]:
    for number in range(3):
        publish(Tables(lake), spec_of(n="long"), *([(number,)] if number else []))
    catalog = SqlCatalog(NAME, uri=f"sqlite:///{lake.catalog_file}", warehouse=f"file://{lake.warehouse}", **FILE_IO)
    yield RestOf(catalog)
    catalog.close()


def at_snapshot(table: Table, number: int | None) -> Table:
    """The table as it was when the n-th snapshot was current, or before the first."""
    snapshots = table.metadata.snapshots[: 0 if number is None else number + 1]
    current = snapshots[-1].snapshot_id if snapshots else None
    metadata = table.metadata.model_copy(update={"snapshots": snapshots, "current_snapshot_id": current})
    return Table(table.name(), metadata, table.metadata_location, table.io, table.catalog)


@pytest.mark.parametrize("number", [1, 0])
def test_an_undone_commit_leaves_the_previous_snapshot_and_nothing_of_its_own(rest: RestOf, number: int) -> None:
    table = rest.catalog.load_table("silver.t")
    ids = [snapshot.snapshot_id for snapshot in table.metadata.snapshots]
    rest.restore(table, at_snapshot(table, number))
    restored = rest.catalog.load_table("silver.t")
    assert restored.metadata.current_snapshot_id == ids[number]
    assert [snapshot.snapshot_id for snapshot in restored.metadata.snapshots] == ids[: number + 1]


def test_an_undone_first_commit_leaves_no_snapshot(rest: RestOf) -> None:
    table = rest.catalog.load_table("silver.t")
    rest.restore(table, at_snapshot(table, None))
    restored = rest.catalog.load_table("silver.t")
    assert (restored.metadata.current_snapshot_id, restored.metadata.snapshots) == (None, [])


def test_a_commit_is_not_undone_after_another_one_followed(rest: RestOf, lake: Lake) -> None:
    table = rest.catalog.load_table("silver.t")
    publish(Tables(lake), spec_of(n="long"), (9,))
    with pytest.raises(CommitFailedException, match="has changed"):
        rest.restore(table, at_snapshot(table, 1))
    assert len(rest.catalog.load_table("silver.t").metadata.snapshots) == 4


def test_a_commit_is_prepared_without_changing_anything_yet(rest: RestOf) -> None:
    table = rest.catalog.load_table("silver.t")
    first, *_, current = (snapshot.snapshot_id for snapshot in table.metadata.snapshots)
    change = TableChange(table, table.metadata, "", require_current(table, current), (set_current(first),))
    last_step = rest.prepare(change)
    assert rest.catalog.load_table("silver.t").metadata.current_snapshot_id == current
    last_step()
    assert rest.catalog.load_table("silver.t").metadata.current_snapshot_id == first
    with pytest.raises(CommitFailedException):
        rest.prepare(change)()


def test_databases_are_listed_with_their_locations(rest: RestOf) -> None:
    rest.catalog.create_namespace("gold", {"location": "s3://b/gold"})
    assert rest.databases() == {"gold": "s3://b/gold", "silver": ""}


def test_a_rest_catalog_needs_an_address() -> None:
    with pytest.raises(UsageError, match=r"has no address\. Set BREWHOUSE_CATALOG_URI"):
        open_cloud_catalog(Shared(catalog="rest"))


def test_glue_lists_databases_and_refuses_a_stale_commit(shared_lake: Lake) -> None:
    tables = Tables(shared_lake)
    glue = open_cloud_catalog(shared_lake.shared)
    prefix = shared_lake.shared.catalog_database_prefix
    glue.catalog.create_namespace(f"{prefix}_silver", {"location": f"{shared_lake.warehouse}/silver"})
    assert glue.databases()[f"{prefix}_silver"] == f"{shared_lake.warehouse}/silver"
    assert tables.names() == []
