"""What every use of DuckDB needs: quoted names and texts, and access to files on S3."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from brewhouse.lake.s3 import SCHEME

if TYPE_CHECKING:
    import duckdb


def identifier(name: str) -> str:
    """Quote a name, or a dotted one part by part.

    Example:
        >>> identifier("silver.breweries")
        '"silver"."breweries"'
    """
    return ".".join('"' + part.replace('"', '""') + '"' for part in name.split("."))


def literal(text: str) -> str:
    """Quote a text."""
    return "'" + text.replace("'", "''") + "'"


def reach(connection: duckdb.DuckDBPyConnection, files: Iterable[str]) -> None:
    """Let a connection reach files on S3, if any of these is there."""
    if any(file.startswith(SCHEME) for file in files) and not connection.filesystem_is_registered("s3"):
        from brewhouse.lake.object_cache import filesystem

        connection.register_filesystem(filesystem())


def fetch(files: Sequence[str]) -> None:
    """Fetch what is about to be read from S3, many files at once."""
    if remote := [file for file in files if file.startswith(SCHEME)]:
        from brewhouse.lake.object_cache import filesystem

        filesystem().fetch(remote)
