"""Objects on Amazon S3 as paths: read, listed and deleted as local files are."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PosixPath, PurePosixPath
from typing import IO, TYPE_CHECKING, Any

from brewhouse.errors import UsageError
from brewhouse.lake.s3 import SCHEME, bucket_store

if TYPE_CHECKING:
    from obstore.store import S3Store

_READ_AT_ONCE = 32
_PART_BYTES = 64 * 1024  # so the footer of a table like ours is one request


class S3Path(PosixPath):
    """An object, or a prefix of objects, on S3; it is read, listed and deleted as a local path is.

    What has no meaning on S3, or is not needed, raises TypeError: it is no path of this machine.

    Example:
        >>> path = S3Path("/bucket/lake") / "bronze"
        >>> str(path), path.parent.name, path.key
        ('s3://bucket/lake/bronze', 'lake', 'lake/bronze')
    """

    __slots__ = ()

    def __str__(self) -> str:
        text = PurePosixPath.__str__(self)
        return f"s3:/{text}" if text.startswith("/") else text

    def __fspath__(self) -> str:
        raise TypeError(f"{self} is no path of this machine.")

    @property
    def bucket(self) -> str:
        """Name of its bucket."""
        return self.parts[1]

    @property
    def key(self) -> str:
        """Its key in the bucket."""
        return "/".join(self.parts[2:])

    def exists(self, **_: object) -> bool:
        """Say whether there is such an object."""
        try:
            bucket_store(self.bucket).head(self.key)
        except FileNotFoundError:
            return False
        return True

    def is_dir(self, **_: object) -> bool:
        """Say whether there are objects below it."""
        return next(self._below(self.key), None) is not None

    def read_bytes(self) -> bytes:
        """Read the object.

        Raises:
            FileNotFoundError: There is none.
        """
        return bytes(bucket_store(self.bucket).get(self.key).bytes())

    def open(self, mode: str = "r", *_: object, **__: object) -> IO[Any]:  # type: ignore[override]
        """Open the object, which does not change any more, for reading bytes here and there, as those of a footer."""
        if mode != "rb":
            raise io.UnsupportedOperation(f"{self} can only be opened for reading bytes.")
        from brewhouse.lake.object_cache import filesystem

        if (copy := filesystem().copy_of(str(self))) is not None:
            return copy.open(mode)
        return io.BufferedReader(_Opened(bucket_store(self.bucket), self.key), _PART_BYTES)

    def glob(self, pattern: str, **_: object) -> Iterator[S3Path]:  # type: ignore[override]
        """List the objects whose keys match a pattern, part by part; a pattern of one part finds prefixes too."""
        if "/" not in pattern:
            listed = bucket_store(self.bucket).list_with_delimiter(self.key)
            keys = [*(found["path"] for found in listed["objects"]), *listed["common_prefixes"]]
            yield from (path for key in keys if (path := S3Path("/", self.bucket, key)).match(pattern))
            return
        fixed = []
        for part in PurePosixPath(pattern).parts[:-1]:
            if "*" in part:
                break
            fixed.append(part)
        depth = len(PurePosixPath(pattern).parts)
        for key in self._below(self.joinpath(*fixed).key):
            path = S3Path("/", self.bucket, key)
            below = PurePosixPath(*path.parts[len(self.parts) :])
            if len(below.parts) == depth and below.match(pattern):
                yield path

    def rglob(self, pattern: str, **_: object) -> Iterator[S3Path]:  # type: ignore[override]
        """List the objects below it whose names match a pattern."""
        for key in self._below(self.key):
            path = S3Path("/", self.bucket, key)
            if path.match(pattern):
                yield path

    def unlink(self, missing_ok: bool = False) -> None:
        """Delete the object; one that is not there is as good as deleted."""
        del missing_ok
        bucket_store(self.bucket).delete(self.key)

    def mkdir(self, *_: object, **__: object) -> None:
        """Do nothing: S3 has no folders that would have to be made."""

    def stat(self, **_: object) -> os.stat_result:
        """Tell its size, and when it was written.

        Raises:
            FileNotFoundError: There is none.
        """
        facts = bucket_store(self.bucket).head(self.key)
        written = int(facts["last_modified"].timestamp())
        return os.stat_result((stat.S_IFREG, 0, 0, 1, 0, 0, facts["size"], written, written, written))

    def _below(self, key: str) -> Iterator[str]:
        for objects in bucket_store(self.bucket).list(key):
            for found in objects:
                yield found["path"]


class _Opened(io.RawIOBase):
    """An object that is read in parts, each by a request."""

    def __init__(self, store: S3Store, key: str) -> None:
        super().__init__()
        self._store = store
        self._key = key
        self._size = int(store.head(key)["size"])
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - typeshed's Buffer is not of this Python
        end = min(self._at + len(buffer), self._size)
        found = bytes(self._store.get_range(self._key, start=self._at, end=end)) if end > self._at else b""
        buffer[: len(found)] = found
        self._at += len(found)
        return len(found)


def path_at(place: str) -> Path:
    """Name a place of this machine or of S3.

    Args:
        place: A path, or a URL `s3://bucket/key`.

    Raises:
        UsageError: The URL names no bucket.

    Example:
        >>> path_at("s3://bucket/a/b").name, path_at("/data").name
        ('b', 'data')
    """
    if not place.startswith(SCHEME):
        return Path(place)
    if not (rest := place.removeprefix(SCHEME).strip("/")):
        raise UsageError(f"{place} names no bucket.", hint="Write it as s3://bucket/prefix.")
    return S3Path("/", rest)


def read_many(files: Sequence[Path]) -> list[bytes]:
    """Read small files, those on S3 many at once."""
    if not any(isinstance(file, S3Path) for file in files):
        return [file.read_bytes() for file in files]
    with ThreadPoolExecutor(_READ_AT_ONCE) as threads:
        return list(threads.map(lambda file: file.read_bytes(), files))
