"""Objects on Amazon S3 as paths: read, listed and deleted like local files."""

from __future__ import annotations

import os
import stat
from collections.abc import Generator, Iterator
from pathlib import PosixPath, PurePosixPath

from brewhouse.lake.s3 import bucket_store


class S3Path(PosixPath):
    """An object, or a prefix of objects, on S3 that is read, listed and deleted like a local path.

    Operations that have no meaning on S3, or are not needed, raise TypeError: it is not a path on this machine.

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
        raise TypeError(f"{self} is not a path on this machine.")

    def as_uri(self) -> str:
        """Return the path as text, which is a URI."""
        return str(self)

    def iterdir(self) -> Generator[S3Path, None, None]:
        """Raise TypeError; Python 3.14 would list a local folder of this name."""
        raise TypeError(f"{self} is not a path on this machine.")

    @property
    def bucket(self) -> str:
        """Name of the bucket."""
        return self.parts[1]

    @property
    def key(self) -> str:
        """Key within the bucket."""
        return "/".join(self.parts[2:])

    def exists(self, **_: object) -> bool:
        """Return whether the object exists."""
        try:
            bucket_store(self.bucket).head(self.key)
        except FileNotFoundError:
            return False
        return True

    def is_dir(self, **_: object) -> bool:
        """Return whether any object exists below this prefix."""
        return next(self._objects_below(), None) is not None

    def read_bytes(self) -> bytes:
        """Read the object; raises FileNotFoundError, as of a file."""
        return bytes(bucket_store(self.bucket).get(self.key).bytes())

    def glob(self, pattern: str, **_: object) -> Iterator[S3Path]:  # type: ignore[override]
        """List the objects that match a pattern, part by part; a pattern of one part also matches prefixes."""
        if "/" not in pattern:
            listed = bucket_store(self.bucket).list_with_delimiter(self.key)
            keys = [*(entry["path"] for entry in listed["objects"]), *listed["common_prefixes"]]
            yield from (path for key in keys if (path := S3Path("/", self.bucket, key)).match(pattern))
            return
        parts = PurePosixPath(pattern).parts
        wildcard = next((number for number, part in enumerate(parts[:-1]) if "*" in part), len(parts) - 1)
        for path in self.joinpath(*parts[:wildcard])._objects_below():
            below = PurePosixPath(*path.parts[len(self.parts) :])
            if len(below.parts) == len(parts) and below.match(pattern):
                yield path

    def rglob(self, pattern: str, **_: object) -> Iterator[S3Path]:  # type: ignore[override]
        """List all objects below this prefix whose names match a pattern."""
        return (path for path in self._objects_below() if path.match(pattern))

    def unlink(self, missing_ok: bool = False) -> None:
        """Delete the object; S3 does not report whether it existed."""
        del missing_ok
        bucket_store(self.bucket).delete(self.key)

    def mkdir(self, *_: object, **__: object) -> None:
        """Do nothing: S3 has no folders."""

    def stat(self, **_: object) -> os.stat_result:
        """Return the size and modification time of the object; raises FileNotFoundError, as of a file."""
        head = bucket_store(self.bucket).head(self.key)
        modified = int(head["last_modified"].timestamp())
        return os.stat_result((stat.S_IFREG, 0, 0, 1, 0, 0, head["size"], modified, modified, modified))

    def _objects_below(self) -> Iterator[S3Path]:
        for page in bucket_store(self.bucket).list(self.key):
            yield from (S3Path("/", self.bucket, entry["path"]) for entry in page)
