"""PyIceberg's way to the objects of a lake on S3: the same as that of everything else here."""

from __future__ import annotations

import io
from typing import Any

from pyiceberg.io import FileIO, InputFile, OutputFile

from brewhouse.lake.s3 import S3Path, bucket_store, path_at


class ObjectIO(FileIO):
    """Reads, writes and deletes objects by their URLs."""

    def new_input(self, location: str) -> InputFile:
        """Name an object to be read."""
        return _Object(location)

    def new_output(self, location: str) -> OutputFile:
        """Name an object to be written."""
        return _Object(location)

    def delete(self, location: str | InputFile | OutputFile) -> None:
        """Delete an object."""
        path_at(location if isinstance(location, str) else location.location).unlink(missing_ok=True)


class _Object(InputFile, OutputFile):
    """One object."""

    def __len__(self) -> int:
        return path_at(self.location).stat().st_size

    def exists(self) -> bool:
        return path_at(self.location).exists()

    def open(self, seekable: bool = True) -> Any:  # noqa: ANN401 - BytesIO has a wider protocol
        del seekable
        return io.BytesIO(path_at(self.location).read_bytes())

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
        from obstore.exceptions import AlreadyExistsError

        path = path_at(self._location)
        assert isinstance(path, S3Path)
        try:
            mode: Any = "overwrite" if self._overwrite else "create"
            bucket_store(path.bucket).put(path.key, self.getvalue(), mode=mode)
        except AlreadyExistsError as error:
            raise FileExistsError(f"{self._location} exists already.") from error
        finally:
            super().close()

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None:
            self.close()
        else:
            super().close()
