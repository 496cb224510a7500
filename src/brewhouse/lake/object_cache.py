"""S3 as a file system for DuckDB and PyArrow, cached in files on this machine.

Pages and Parquet files are immutable. So each is downloaded once as a whole, one request instead of many for its
parts, and a new one is written to a local file first and uploaded when it is closed.
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

from brewhouse.lake.local_files import open_regular, read_at
from brewhouse.lake.s3 import SCHEME, bucket_store
from brewhouse.lake.temp_dir import TempDir

_PARALLEL_DOWNLOADS = 16


class ObjectCache(AbstractFileSystem):  # type: ignore[misc]  # fsspec is not typed
    """Immutable objects on S3, downloaded when they are first opened."""

    protocol = "s3"
    cachable = False

    def __init__(self) -> None:
        super().__init__()
        self._folder = TempDir()

    def prefetch(self, files: Iterable[str]) -> None:
        """Download files that are about to be read, in parallel."""
        with ThreadPoolExecutor(_PARALLEL_DOWNLOADS) as threads:
            list(threads.map(self._download, files))

    def open(self, path: str, mode: str = "rb", **_: object) -> IO[bytes]:
        """Open an object for reading, or a new one for writing."""
        if mode.startswith("r"):
            return _CachedFile(self._download(path))  # type: ignore[return-value]
        return _Upload(self._cached(path).open("wb"), *_bucket_and_key(path))  # type: ignore[return-value]

    def info(self, path: str, **_: object) -> dict[str, Any]:
        """Return the size of an object."""
        return {"name": path, "size": self._download(path).stat().st_size, "type": "file"}

    def glob(self, path: str, **_: object) -> list[str]:
        """Return the path itself: patterns are not supported."""
        return [path]

    def modified(self, _path: str) -> datetime:
        """Return the same time for every object, since objects never change."""
        return datetime(1970, 1, 1, tzinfo=UTC)

    def _download(self, path: str) -> Path:
        cached = self._cached(path)
        if not cached.exists():
            bucket, key = _bucket_and_key(path)
            partial = cached.with_name(f"{cached.name}.{uuid.uuid4()}")
            partial.write_bytes(bytes(bucket_store(bucket).get(key).bytes()))
            partial.replace(cached)
        return cached

    def _cached(self, path: str) -> Path:
        return self._folder.path / hashlib.sha256("/".join(_bucket_and_key(path)).encode()).hexdigest()


def _bucket_and_key(path: str) -> tuple[str, str]:
    bucket, _, key = path.removeprefix(SCHEME).strip("/").partition("/")
    return bucket, key


class _CachedFile(io.RawIOBase):
    """A cached object that several threads may read at once.

    DuckDB's threads seek and then read, and another thread may seek in between: so a thread reads from where it sought
    itself. One that reads without seeking continues where the last read ended; earlier seeks are void from then on.
    """

    def __init__(self, file: Path) -> None:
        self._descriptor = open_regular(file, os.O_RDONLY)
        self._position = 0
        self._epoch = object()
        self._seeks = threading.local()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        size = os.fstat(self._descriptor).st_size
        self._position = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: size}[whence]
        self._seeks.last = (self._epoch, self._position)
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # RawIOBase passes these
        if self.closed:
            raise ValueError("The cached file is closed.")  # its descriptor may belong to another file by now
        epoch, position = self._seeks.__dict__.pop("last", (None, 0))
        if epoch is not self._epoch:
            self._epoch, position = object(), self._position
        content = read_at(self._descriptor, len(buffer), position)
        buffer[: len(content)] = content
        self._position = position + len(content)
        return len(content)

    def close(self) -> None:
        if not self.closed:
            os.close(self._descriptor)
        super().close()


class _Upload:
    """A cached file being written; closing it uploads it to S3, abandoning it discards it."""

    def __init__(self, file: io.BufferedWriter, bucket: str, key: str) -> None:
        self._file, self._bucket, self._key = file, bucket, key
        self.write, self.tell, self.flush = file.write, file.tell, file.flush

    def close(self) -> None:
        if self._file.closed:
            return
        self._file.close()
        try:
            bucket_store(self._bucket).put(self._key, Path(self._file.name))
        except BaseException:
            Path(self._file.name).unlink()  # no such object on S3, so none in the cache
            raise

    def __del__(self) -> None:
        if not self._file.closed:
            self._file.close()
            Path(self._file.name).unlink(missing_ok=True)


@cache
def filesystem() -> ObjectCache:
    """Return the object cache of this process."""
    return ObjectCache()
