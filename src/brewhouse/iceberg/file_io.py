"""PyIceberg's way to the metadata of a lake, in a folder or on S3: the same as that of everything else here.

Those that PyIceberg brings need PyArrow or fsspec, which a run on this machine does without.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from pyiceberg.io import FileIO, InputFile, OutputFile

from brewhouse.iceberg.data_files import path_of
from brewhouse.lake.s3 import bucket_store
from brewhouse.lake.s3_path import S3Path, path_at


class ObjectIO(FileIO):
    """Reads, writes and deletes files and objects by their URLs."""

    def new_input(self, location: str) -> InputFile:
        """Name an object to be read."""
        return _Object(location)

    def new_output(self, location: str) -> OutputFile:
        """Name an object to be written."""
        return _Object(location)

    def delete(self, location: str | InputFile | OutputFile) -> None:
        """Delete an object."""
        _place(location if isinstance(location, str) else location.location).unlink(missing_ok=True)


class _Object(InputFile, OutputFile):
    """One object."""

    def __len__(self) -> int:
        return _place(self.location).stat().st_size

    def exists(self) -> bool:
        return _place(self.location).exists()

    def open(self, seekable: bool = True) -> Any:  # noqa: ANN401 - BytesIO has a wider protocol
        del seekable
        return io.BytesIO(_place(self.location).read_bytes())

    def to_input_file(self) -> InputFile:
        return self

    def create(self, overwrite: bool = False) -> Any:  # noqa: ANN401 - as above
        return _Writer(self.location, overwrite=overwrite)


class _Writer(io.BytesIO):
    """Gathers bytes, and puts them as one object when it is closed; not when an error left its block."""

    def __init__(self, location: str, *, overwrite: bool) -> None:
        super().__init__()
        self._location = location
        self._overwrite = overwrite

    def close(self) -> None:
        if self.closed:
            return
        try:
            _put(self._location, self.getvalue(), overwrite=self._overwrite)
        finally:
            super().close()

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None:
            self.close()
        else:
            super().close()


def _place(location: str) -> Path:
    return path_at(path_of(location))


def _put(location: str, content: bytes, *, overwrite: bool) -> None:
    path = _place(location)
    if not isinstance(path, S3Path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb" if overwrite else "xb") as file:
            file.write(content)
        return
    from obstore.exceptions import AlreadyExistsError

    try:
        bucket_store(path.bucket).put(path.key, content, mode="overwrite" if overwrite else "create")
    except AlreadyExistsError as error:
        raise FileExistsError(f"{location} exists already.") from error
