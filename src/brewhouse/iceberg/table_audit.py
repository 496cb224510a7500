"""Audit of a table: all files of all its snapshots, compared with its metadata."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from brewhouse.errors import BrewhouseError
from brewhouse.iceberg.data_files import ParquetFooter, check_rows, read_footers, to_data_files
from brewhouse.iceberg.file_io import path_in
from brewhouse.iceberg.snapshots import live_entries, manifests_of
from brewhouse.lake.damage import DamagedFileError
from brewhouse.lake.lake import CHECKSUM_IN_NAME

if TYPE_CHECKING:
    from pyiceberg.manifest import DataFile, ManifestEntry
    from pyiceberg.table import Table


def audit_table(table: Table) -> Iterator[BrewhouseError]:
    """Generate the error of each missing or damaged file.

    Manifests and data files are compared with the checksums in their names; data files also with their sizes, numbers
    of rows and statistics in the metadata. Those without a checksum, as on S3, are read completely.
    """
    entries: dict[str, ManifestEntry] = {}
    errors: dict[str, BrewhouseError] = {}
    for snapshot in table.metadata.snapshots:
        try:
            for manifest in manifests_of(table, snapshot):
                table.io.new_input(manifest.manifest_path).open()  # also those that list only deleted files
                entries.update((entry.data_file.file_path, entry) for entry in live_entries(table, manifest))
        except BrewhouseError as error:
            errors[str(error)] = error
    yield from errors.values()
    whole = {}
    for uri, entry in entries.items():
        try:
            _check_content(table, entry.data_file)
        except BrewhouseError as error:
            yield error
        else:
            whole[str(path_in(table, uri))] = entry
    footers = read_footers(list(whole))
    for path, entry in whole.items():
        if not _has_statistics_of(table, entry, footers[path]):
            yield DamagedFileError(path, "its columns or statistics differ from those in the metadata of the table")


def _check_content(table: Table, file: DataFile) -> None:
    path = str(path_in(table, file.file_path))
    size = len(table.io.new_input(file.file_path).open().read())  # compares the checksum
    if size != file.file_size_in_bytes:
        raise DamagedFileError(path, f"it has {size} of {file.file_size_in_bytes} bytes")
    if not CHECKSUM_IN_NAME.search(path):
        check_rows(path, file.record_count)


def _has_statistics_of(table: Table, entry: ManifestEntry, footer: ParquetFooter) -> bool:
    """Return whether a file has the statistics that the metadata records.

    They are computed with the schema and partition spec that it was written with, which is unknown once the snapshot
    that added it has expired.
    """
    snapshot = table.snapshot_by_id(entry.snapshot_id or 0)
    if snapshot is None or snapshot.schema_id is None:
        return footer.rows == entry.data_file.record_count
    written_with = {"current_schema_id": snapshot.schema_id, "default_spec_id": entry.data_file.spec_id}
    try:
        (found,) = to_data_files(table.metadata.model_copy(update=written_with), [footer])
    except ValueError:
        return False
    return _statistics(found) == _statistics(entry.data_file)


def _statistics(file: DataFile) -> tuple[object, ...]:
    bounds = [dict(bounds or {}) for bounds in (file.lower_bounds, file.upper_bounds)]
    return file.record_count, file.partition, file.value_counts, file.null_value_counts, *bounds
