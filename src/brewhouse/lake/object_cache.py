"""S3 as a file system for DuckDB and PyArrow, by copies on this machine.

The files they read and write, pages and Parquet files, never change once they are there. So each is fetched once and
whole, which costs one request where reading its parts costs many, and is written here first and put when it is done.
"""

from __future__ import annotations

import hashlib
import io
import os
import threading
import uuid
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import IO, Any

from fsspec.spec import AbstractFileSystem

from brewhouse.lake.s3 import SCHEME, bucket_store
from brewhouse.lake.temp_dir import TempDir

_AT_ONCE = 16
_UNCHANGED_SINCE = datetime(1970, 1, 1, tzinfo=UTC)


class ObjectCache(AbstractFileSystem):  # type: ignore[misc]  # fsspec is not typed
    """Objects on S3 that never change, fetched when they are first opened."""

    protocol = "s3"
    cachable = False

    def __init__(self) -> None:
        super().__init__()
        self._scratch = TempDir()

    def fetch(self, files: Iterable[str]) -> None:
        """Fetch files that are about to be read, many at once."""
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            list(threads.map(self._copy, files))

    def copy_of(self, path: str) -> Path | None:
        """Tell where the copy of an object is, if it was fetched or written here."""
        place = self._place(path)
        return place if place.exists() else None

    def open(self, path: str, mode: str = "rb", **_: object) -> IO[bytes]:
        """Open an object for reading, or a new one for writing."""
        if mode.startswith("r"):
            return _Opened(self._copy(path))  # type: ignore[return-value]
        return _Written(self._place(path), *self._location(path))  # type: ignore[return-value]

    def info(self, path: str, **_: object) -> dict[str, Any]:
        """Tell an object's size."""
        return {"name": path, "size": self._copy(path).stat().st_size, "type": "file"}

    def glob(self, path: str, **_: object) -> list[str]:
        """Give the path back: patterns are not used."""
        return [path]

    def modified(self, path: str) -> datetime:
        """Tell the same time of every object, since none changes."""
        del path
        return _UNCHANGED_SINCE

    def _copy(self, path: str) -> Path:
        place = self._place(path)
        if not place.exists():
            coming = place.with_name(f"{place.name}.{uuid.uuid4()}")
            coming.write_bytes(self._read(path))
            coming.replace(place)
        return place

    def _read(self, path: str) -> bytes:
        bucket, key = self._location(path)
        return bytes(bucket_store(bucket).get(key).bytes())

    def _location(self, path: str) -> tuple[str, str]:
        """Split an object's URL into bucket and key."""
        bucket, _, key = str(self._strip_protocol(path)).removeprefix(SCHEME).strip("/").partition("/")
        return bucket, key

    def _place(self, path: str) -> Path:
        name = hashlib.sha256(self._strip_protocol(path).encode()).hexdigest()
        return self._scratch.path / name


class _Opened(io.RawIOBase):
    """A copy being read, by several threads at once.

    Whoever reads a part of it, as DuckDB's threads do, seeks and then reads, and another may come between the two: so a
    thread reads where it sought itself. Whoever reads on from where the last one stopped does not seek; then what was
    sought before counts no more.
    """

    def __init__(self, place: Path) -> None:
        self._file = os.open(place, os.O_RDONLY)
        self._position = 0
        self._turn = object()
        self._sought = threading.local()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: os.fstat(self._file).st_size}[whence]
        self._position = start + offset
        self._sought.place = (self._turn, self._position)
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # RawIOBase gives these
        if self.closed:
            raise ValueError("The copy is closed.")  # its number may be another file's by now
        turn, position = self._sought.__dict__.pop("place", (None, 0))
        if turn is not self._turn:
            self._turn, position = object(), self._position
        content = os.pread(self._file, len(buffer), position)
        buffer[: len(content)] = content
        self._position = position + len(content)
        return len(content)

    def close(self) -> None:
        if not self.closed:
            os.close(self._file)
        super().close()


class _Written:
    """A file being written here, that is put on S3 when it is closed."""

    def __init__(self, place: Path, bucket: str, key: str) -> None:
        self._place = place
        self._bucket = bucket
        self._key = key
        self._file = place.open("wb")

    def write(self, content: bytes) -> int:
        return self._file.write(content)

    def tell(self) -> int:
        return self._file.tell()

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        if not self._file.closed:
            self._file.close()
            try:
                bucket_store(self._bucket).put(self._key, self._place)
            except BaseException:
                self._place.unlink()  # a copy of nothing
                raise


@cache
def filesystem() -> ObjectCache:
    """Open all of S3 as a file system for DuckDB and PyArrow."""
    return ObjectCache()
