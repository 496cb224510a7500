"""Helpers for every DuckDB connection: quoting, and access to files on S3."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
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


def file_pattern(path: str) -> str:
    """Escape a path for DuckDB's functions that read files, which match a bracket as a pattern.

    Example:
        >>> file_pattern("/data/beer [2026]/page")
        '/data/beer [[]2026]/page'
    """
    return path if path.startswith(SCHEME) else path.replace("[", "[[]")


@contextmanager
def scratch(files: Iterable[str] = ()) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a connection to a database in memory that this process shares: creating one takes 10 ms. An error ends it.

    Args:
        files: What is going to be read; access to S3 is enabled if any of them is there.
    """
    try:
        with _database().cursor() as connection:
            enable_s3(connection, files)
            yield connection
    except BaseException:
        _database.cache_clear()  # a fatal error, as of a full disk, makes it unusable; files may still be attached
        raise


@cache
def _database() -> duckdb.DuckDBPyConnection:
    import duckdb

    connection = duckdb.connect()
    connection.execute("SET GLOBAL TimeZone = 'UTC'")
    return connection


def enable_s3(connection: duckdb.DuckDBPyConnection, files: Iterable[str], *, prefetch: bool = False) -> None:
    """Register the object cache with a connection if any of the files is on S3; `prefetch` downloads them, too."""
    if remote := [file for file in files if file.startswith(SCHEME)]:
        from brewhouse.lake.object_cache import filesystem

        if not connection.filesystem_is_registered("s3"):
            connection.register_filesystem(filesystem())
        if prefetch:
            filesystem().prefetch(remote)
