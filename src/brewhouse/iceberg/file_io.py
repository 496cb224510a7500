"""PyIceberg's access to the metadata of a lake, by the same paths and clients as the rest of Brewhouse.

PyIceberg's own implementations need PyArrow or fsspec, which a local run does not import.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyiceberg.io import FileIO, InputFile, OutputFile

from brewhouse.lake.lake import path_at
from brewhouse.lake.s3 import SCHEME, bucket_store
from brewhouse.lake.s3_path import S3Path

if TYPE_CHECKING:
    from pyiceberg.table import Table


def uri_of(path: str | Path) -> str:
    """Return the URI of a path as Iceberg's writers do: not percent-encoded, since PyIceberg does not decode.

    Example:
        >>> uri_of("/data/a lake"), uri_of("s3://bucket/lake")
        ('file:///data/a lake', 's3://bucket/lake')
    """
    return str(path) if str(path).startswith(SCHEME) else f"file://{path}"


def path_of(uri: str) -> str:
    """Return the path of a URI of `uri_of`."""
    return uri.removeprefix("file://")


class ObjectIO(FileIO):
    """Reads, writes and deletes local files and objects on S3 by their URIs.

    Locations below the URI of the property `moved_from` are read and written below that of `moved_to`, so that a table
    of a lake that was moved or copied refers to nothing but its own files.
    """

    def new_input(self, location: str) -> InputFile:
        """Return an object for reading."""
        return _Object(location, self.path(location))

    def new_output(self, location: str) -> OutputFile:
        """Return an object for writing."""
        return _Object(location, self.path(location))

    def delete(self, location: str | InputFile | OutputFile) -> None:
        """Delete an object."""
        self.path(location if isinstance(location, str) else location.location).unlink(missing_ok=True)

    def path(self, location: str) -> Path:
        """Return the path of a location."""
        before = self.properties.get("moved_from")
        if before and location.startswith(f"{before}/"):
            location = self.properties["moved_to"] + location.removeprefix(before)
        return path_at(location) if location.startswith(SCHEME) else Path(path_of(location))


def path_in(table: Table, uri: str) -> str:
    """Return the path of a table's file."""
    assert isinstance(table.io, ObjectIO)
    return str(table.io.path(uri))


class _Object(InputFile, OutputFile):
    def __init__(self, location: str, path: Path) -> None:
        super().__init__(location)
        self.path = path

    def __len__(self) -> int:
        return self.path.stat().st_size

    def exists(self) -> bool:
        return self.path.exists()

    def open(self, seekable: bool = True) -> Any:  # noqa: ANN401 - the protocol is narrower than BytesIO
        del seekable
        return io.BytesIO(self.path.read_bytes())

    def to_input_file(self) -> InputFile:
        return self

    def create(self, overwrite: bool = False) -> Any:  # noqa: ANN401 - as above
        return _Writer(self.path, overwrite=overwrite)


class _Writer(io.BytesIO):
    """Buffers an object and writes it on close; leaving the block with an error discards it."""

    def __init__(self, path: Path, *, overwrite: bool) -> None:
        super().__init__()
        self._path = path
        self._overwrite = overwrite

    def close(self) -> None:
        if self.closed:
            return
        try:
            _put(self._path, self.getvalue(), overwrite=self._overwrite)
        finally:
            super().close()

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None:
            self.close()
        else:
            super().close()


def _put(path: Path, content: bytes, *, overwrite: bool) -> None:
    if not isinstance(path, S3Path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb" if overwrite else "xb") as file:
            file.write(content)
        return
    from obstore.exceptions import AlreadyExistsError

    try:
        bucket_store(path.bucket).put(path.key, content, mode="overwrite" if overwrite else "create")
    except AlreadyExistsError as error:
        raise FileExistsError(f"{path} already exists.") from error
