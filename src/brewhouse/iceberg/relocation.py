"""Relocation of a lake that was moved or copied: Iceberg's locations are absolute, so its metadata is rewritten.

New metadata is written next to the old, and the catalog is switched to it in one transaction: a kill at any moment
leaves the lake as before. Maintenance deletes the old metadata, as every file that no table refers to.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

from pyiceberg.avro.file import AvroFile, AvroOutputFile
from pyiceberg.manifest import ManifestEntryStatus as Status
from pyiceberg.table import Table
from pyiceberg.table.metadata import TableMetadata, TableMetadataUtil
from pyiceberg.typedef import Record

from brewhouse.errors import BrewhouseError
from brewhouse.iceberg.file_io import moved, path_of
from brewhouse.iceberg.sqlite_catalog import SQLiteCatalog
from brewhouse.lake.error_translation import translate_error


def relocate_tables(catalog: SQLiteCatalog, *, forget_incomplete: bool) -> list[str]:
    """Let the tables of a local lake refer to its present place; return the names of those that did not.

    Args:
        forget_incomplete: Remove tables with missing or damaged files from the catalog instead of failing.

    Raises:
        BrewhouseError: A file of a table is missing or damaged.
    """
    names = []
    for name in catalog.names():
        try:
            table = catalog.load_table(name)
            if "moved_from" not in table.io.properties:
                continue
            catalog.relocate(table, _Relocation(table).metadata())
        except Exception as error:
            if translate_error(error):
                raise
            if not forget_incomplete:
                raise BrewhouseError(
                    f"The lake was not relocated, since a file of {name} is missing or damaged: {error}.",
                    hint="Copy the lake again while no run writes it, or run `brewhouse rebuild`.",
                ) from error
            catalog.forget(name)
        names.append(name)
    return names


class _Relocation:
    """Writes the manifests of a table again, to the same folders, with the locations where their files are now."""

    def __init__(self, table: Table) -> None:
        self._metadata = table.metadata
        self._io = table.io
        self._before = table.io.properties["moved_from"]
        self._after = table.io.properties["moved_to"]
        self._manifests: dict[str, tuple[str, int]] = {}

    def metadata(self) -> TableMetadata:
        """Write all manifests; return the metadata that refers to them."""
        content = self._moved(json.loads(self._metadata.model_dump_json()))
        content["metadata-log"] = []  # earlier metadata contains the earlier locations
        for snapshot in content["snapshots"]:
            name = f"snap-{snapshot['snapshot-id']}-0-{uuid.uuid4()}.avro"
            location, _ = self._rewrite(snapshot["manifest-list"], name, "manifest_file", self._move_manifest)
            snapshot["manifest-list"] = location
        return TableMetadataUtil.parse_obj(content)

    def _moved(self, value: Any) -> Any:  # noqa: ANN401 - whatever JSON contains
        if isinstance(value, dict):
            return {key: self._moved(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self._moved(inner) for inner in value]
        return moved(value, self._before, self._after) if isinstance(value, str) else value

    def _move_manifest(self, names: list[str], manifest: Record) -> None:
        path, length = names.index("manifest_path"), names.index("manifest_length")
        location = self._moved(manifest[path])
        if location not in self._manifests:
            name = f"{uuid.uuid4()}-m0.avro"
            self._manifests[location] = self._rewrite(location, name, "manifest_entry", self._move_entry)
        manifest[path], manifest[length] = self._manifests[location]

    def _move_entry(self, names: list[str], entry: Record) -> None:
        file = entry[names.index("data_file")]
        texts = [number for number in range(len(file)) if isinstance(file[number], str)]
        for number in texts:  # the first one is the path
            file[number] = self._moved(file[number])
        path = file[texts[0]]
        if entry[names.index("status")] != Status.DELETED and not self._io.new_input(path).exists():
            raise FileNotFoundError(f"{path_of(path)} does not exist")

    def _rewrite(
        self, location: str, name: str, schema_name: str, change: Callable[[list[str], Record], None]
    ) -> tuple[str, int]:
        """Copy an Avro file with changed records; return its new location and size in bytes."""
        output = self._io.new_output(f"{location.rpartition('/')[0]}/{name}")
        with AvroFile[Record](self._io.new_input(location)) as file:
            records = list(file)
            for record in records:
                change([field.name for field in file.schema.fields], record)
            with AvroOutputFile[Record](output, file.schema, schema_name, metadata=file.header.meta) as copy:
                copy.write_block(records)
        return output.location, len(output.to_input_file())
