"""Helpers for every DuckDB connection: quoting, and access to files on S3."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from brewhouse.lake.s3 import SCHEME

if TYPE_CHECKING:
    import duckdb


def identifier(name: str) -> str:
    """Quote an identifier; of a dotted name, each part.

    Example:
        >>> identifier("silver.breweries")
        '"silver"."breweries"'
    """
    return ".".join('"' + part.replace('"', '""') + '"' for part in name.split("."))


def literal(text: str) -> str:
    """Quote a string."""
    return "'" + text.replace("'", "''") + "'"


def enable_s3(connection: duckdb.DuckDBPyConnection, files: Iterable[str]) -> None:
    """Register the object cache with a connection if any of the files is on S3."""
    if any(file.startswith(SCHEME) for file in files) and not connection.filesystem_is_registered("s3"):
        from brewhouse.lake.object_cache import filesystem

        connection.register_filesystem(filesystem())


def prefetch(files: Sequence[str]) -> None:
    """Download the files that are on S3 into the object cache, in parallel."""
    if remote := [file for file in files if file.startswith(SCHEME)]:
        from brewhouse.lake.object_cache import filesystem

        filesystem().prefetch(remote)
