"""PyIceberg's access to the metadata of a lake, by the same paths and clients as the rest of Brewhouse.

PyIceberg's own implementations need PyArrow or fsspec, which a local run does not import.
"""

from __future__ import annotations

import hashlib
import io
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyiceberg.io import FileIO, InputFile, OutputFile
from pyiceberg.typedef import Properties

from brewhouse.lake.damage import IRREGULAR, MISSING, WRONG_CHECKSUM, DamagedFileError
from brewhouse.lake.lake import CHECKSUM_DIGITS, CHECKSUM_IN_NAME, is_irregular, path_at
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
    """Return the path of a URI of `uri_of`, also as Hadoop writes it: `file:/folder/file`."""
    return re.sub("^file:/+", "/", uri)


def moved(location: str, before: str, after: str) -> str:
    """Return where a location is now that what is below `before` is below `after`; both are URIs."""
    path, root = path_of(location), path_of(before)
    return after + path.removeprefix(root) if f"{path}/".startswith(f"{root}/") else location


class ObjectIO(FileIO):
    """Reads, writes and deletes local files and objects on S3 by their URIs.

    Locations below the URI of the property `moved_from` are read and written below that of `moved_to`, so that a table
    of a lake that was moved or copied refers to nothing but its own files.
    The property `written`, a set, gets the path of each written file.
    """

    def new_input(self, location: str) -> _Object:
        """Return an object for reading."""
        return _Object(location, self.properties)

    def new_output(self, location: str) -> _Object:
        """Return an object for writing; a manifest gets the checksum of its content into its name."""
        return _Object(location, self.properties)

    def delete(self, location: str | InputFile | OutputFile) -> None:
        """Delete an object."""
        location = location if isinstance(location, str) else location.location
        _Object(location, self.properties).path.unlink(missing_ok=True)


def path_in(table: Table, uri: str) -> Path:
    """Return the path of a table's file."""
    return _Object(uri, table.io.properties).path


class _Object(InputFile, OutputFile):
    def __init__(self, location: str, properties: Properties) -> None:
        super().__init__(location)
        self._properties = properties

    @property
    def path(self) -> Path:
        location = self.location
        if before := self._properties.get("moved_from"):
            location = moved(location, before, self._properties["moved_to"])
        return path_at(location) if location.startswith(SCHEME) else Path(path_of(location))

    def __len__(self) -> int:
        return self.path.stat().st_size

    def exists(self) -> bool:
        return self.path.exists()

    def open(self, seekable: bool = True) -> Any:  # noqa: ANN401 - the protocol is narrower than BytesIO
        del seekable
        try:
            if not isinstance(self.path, S3Path) and is_irregular(self.path):  # such as a pipe
                raise DamagedFileError(self.path, IRREGULAR)
            content = self.path.read_bytes()
        except FileNotFoundError as error:
            raise DamagedFileError(self.path, MISSING) from error
        match = CHECKSUM_IN_NAME.search(self.path.name)
        if match and not hashlib.sha256(content).hexdigest().startswith(match[1]):
            raise DamagedFileError(self.path, WRONG_CHECKSUM)
        return io.BytesIO(content)

    def to_input_file(self) -> InputFile:
        return self

    def create(self, overwrite: bool = False) -> Any:  # noqa: ANN401 - as above
        return _Writer(self, overwrite=overwrite)

    def put(self, content: bytes, *, overwrite: bool) -> None:
        if self.location.endswith(".avro"):
            digest = hashlib.sha256(content).hexdigest()[:CHECKSUM_DIGITS]
            self._location = f"{self.location.removesuffix('.avro')}.{digest}.avro"
        _put(self.path, content, overwrite=overwrite)
        self._properties.get("written", set()).add(self.path)


class _Writer(io.BytesIO):
    """Buffers an object and writes it on close; leaving the block with an error discards it."""

    def __init__(self, target: _Object, *, overwrite: bool) -> None:
        super().__init__()
        self._target = target
        self._overwrite = overwrite

    def close(self) -> None:
        if self.closed:
            return
        try:
            self._target.put(self.getvalue(), overwrite=self._overwrite)
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
