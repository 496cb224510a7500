"""Run one untrusted query in a subprocess that can only read the published tables.

Four independent barriers: the parsed statement may only read tables (`query/statements.py`); DuckDB may only open the
current data files of the lake, and its configuration is locked; the operating system limits memory and file sizes of
the process, since DuckDB's own limit does not cover every allocation; and the parent process can kill it at any time.

The process reads a `QueryRequest` from standard input, writes the rows to a Parquet file with columns c1, c2, …, and
prints a `QueryResult`.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from brewhouse.errors import BrewhouseError, UsageError
from brewhouse.lake.duckdb_access import file_pattern
from brewhouse.lake.error_translation import translate_error
from brewhouse.lake.lake import Lake, Shared
from brewhouse.query.connection import open_views
from brewhouse.query.export import storable
from brewhouse.query.statements import files_read_by_views, reading_relation, with_parameters

if TYPE_CHECKING:
    import duckdb

RESULT_FILE = "result.parquet"
_MB = 1024 * 1024
_PROCESS_MB = 768  # memory of Python, its libraries and their threads, outside DuckDB's limit
_BATCH_ROWS = 10_000
_BATCH_VALUES = 10_000_000


class QueryLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Resource limits of a query; DuckDB spills to disk above its memory limit, and larger results are truncated."""

    seconds: float = 60.0
    memory_mb: int = 1024
    spill_mb: int = 1024
    rows: int = 1_000_000
    result_mb: int = 256
    columns: int = 16_000
    threads: int = 2


class QueryRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Input of the process; its folder exists, and is used for the result and for spilling."""

    lake: str
    shared: Shared = Shared()
    at: str | None = None
    sql: str
    parameters: dict[str, str] = {}
    folder: str
    limits: QueryLimits = QueryLimits()


@dataclass(frozen=True)
class ResultColumn:
    """A column of a result with its DuckDB type; names need not be unique."""

    name: str
    type: str


@dataclass(frozen=True, kw_only=True)
class QueryResult:
    """Output of the process; `is_cut` is true if rows were truncated, and `error` None if the query succeeded."""

    columns: list[ResultColumn] = field(default_factory=list)
    rows: int = 0
    is_cut: bool = False
    error: str | None = None
    hint: str = ""


class Sandbox:
    """A process for one query, started ahead of time to hide its startup latency."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - this module
            [sys.executable, "-P", "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
        )

    def run(self, request: QueryRequest) -> QueryResult:
        """Run a query and end the process; errors in the query are part of the result.

        Raises:
            BrewhouseError: The query exceeded its time or memory limit.
        """
        try:
            out, _ = self._process.communicate(msgspec.json.encode(request).decode(), request.limits.seconds)
        except subprocess.TimeoutExpired as error:
            raise BrewhouseError(
                f"The query was stopped after its time limit of {request.limits.seconds:g} seconds.",
                hint="Read fewer rows, or run it with `brewhouse query`.",
            ) from error
        finally:
            self.close()
        try:
            return msgspec.json.decode(out, type=QueryResult)
        except msgspec.DecodeError as error:  # the process was killed
            raise _out_of_memory(request.limits) from error

    def kill(self) -> None:
        """Kill the process; a concurrent `run` raises."""
        self._process.kill()

    def close(self) -> None:
        """Kill the process and wait for its exit."""
        self.kill()
        self._process.communicate()


def execute(request: QueryRequest) -> QueryResult:
    """Run a query on a confined connection and write its rows; errors in the query are part of the result."""
    import duckdb

    try:
        with confined_connection(request) as connection:
            return _execute(connection, request)
    except BrewhouseError as error:
        return QueryResult(error=error.what, hint=error.hint)
    except (duckdb.Error, MemoryError, OSError, RecursionError, ValueError) as error:
        known = translate_error(error)
        if isinstance(error, MemoryError) or "Out of Memory Error" in str(error):
            known = _out_of_memory(request.limits)
        if known:
            return QueryResult(error=known.what, hint=known.hint)
        reason = str(error).partition("\n\nStack Trace")[0]  # of an internal error of DuckDB
        return QueryResult(error=f"The query failed: {reason}", hint="`SHOW ALL TABLES` lists the tables.")


def confined_connection(request: QueryRequest) -> duckdb.DuckDBPyConnection:
    """Open the published tables on a connection that cannot read or write anything else."""
    lake = Lake.at(request.lake, request.shared)
    limits = request.limits
    connection = open_views(lake, request.at)
    files = files_read_by_views(connection)
    patterns = [file for file in files if "*" not in file]
    patterns += [file_pattern(str(file)) for file in _result_files(request)]
    connection.execute("SET allowed_paths = ?", [[*patterns, *(file.replace("[[]", "[") for file in patterns)]])
    folders = [f"{name}/" for folder in (lake.events, lake.job_logs) for name in (folder, file_pattern(str(folder)))]
    # The views of schema monitoring list the files of events and logs when they are read.
    connection.execute("SET allowed_directories = ?", [folders if lake.is_local else []])
    for name, value in {
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "allow_community_extensions": "false",
        "allow_persistent_secrets": "false",
        "threads": str(limits.threads),
        "memory_limit": f"{limits.memory_mb}MB",
        "temp_directory": str(Path(request.folder) / "spilled"),
        "max_temp_directory_size": f"{limits.spill_mb}MB",
        "enable_external_access": "false",
        "lock_configuration": "true",
    }.items():
        connection.execute(f"SET {name} = ?", [value])
    return connection


def _execute(connection: duckdb.DuckDBPyConnection, request: QueryRequest) -> QueryResult:
    sql, _ = with_parameters(request.sql)
    relation = reading_relation(connection, sql, request.parameters)
    if len(relation.columns) > request.limits.columns:
        raise UsageError(
            f"The result has {len(relation.columns):,} columns; at most {request.limits.columns:,} can be shown.",
            hint="Select fewer columns, or run it with `brewhouse query`.",
        )
    columns = [ResultColumn(name, str(kind)) for name, kind in zip(relation.columns, relation.types, strict=True)]
    whole, file = (str(path) for path in _result_files(request))
    limit = request.limits.rows + 1
    while not _write(storable(relation).limit(limit), whole):
        limit //= 8
    result = connection.read_parquet(file_pattern(whole))
    [(rows,)] = result.aggregate("count(*)").fetchall()
    fitting = rows * request.limits.result_mb * _MB // max(Path(whole).stat().st_size, 1)
    kept = min(rows, request.limits.rows, fitting)
    if kept < rows:
        _write(result.limit(kept), file)
    else:
        Path(whole).rename(file)
    return QueryResult(columns=columns, rows=kept, is_cut=kept < rows or rows == limit)


def _result_files(request: QueryRequest) -> tuple[Path, Path]:
    """Return where the result is written before it is truncated, and then."""
    file = Path(request.folder) / RESULT_FILE
    return file.with_suffix(".whole"), file


def _write(rows: duckdb.DuckDBPyRelation, file: str) -> bool:
    """Write rows, unless their file exceeds the limit of the process."""
    import duckdb

    try:
        size = min(_BATCH_ROWS, _BATCH_VALUES // len(rows.columns))
        rows.to_parquet(file, compression="zstd", row_group_size=size, use_tmp_file=False)
    except duckdb.IOException as error:
        if "File too large" not in str(error):
            raise
        return False
    return True


def _out_of_memory(limits: QueryLimits) -> BrewhouseError:
    return BrewhouseError(
        f"The query was stopped at its limit of {limits.memory_mb} MB of memory and {limits.spill_mb} MB of disk.",
        hint="Read fewer rows or columns, or run it with `brewhouse query`.",
    )


def _limit_process(limits: QueryLimits) -> None:
    """Set the operating system's limits of this process, where it has any."""
    try:
        import resource
    except ImportError:  # Windows
        return
    for kind, value in (
        (resource.RLIMIT_DATA, (limits.memory_mb + _PROCESS_MB) * _MB),
        (resource.RLIMIT_FSIZE, max(limits.spill_mb, limits.result_mb * 2) * _MB),
        (resource.RLIMIT_CPU, int(limits.seconds * limits.threads) + 10),  # in case the parent process has died
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(kind)
        limit = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (limit, limit))


def main() -> None:
    """Run the query on standard input."""
    import duckdb  # imported before the request arrives

    del duckdb
    if text := sys.stdin.read():
        request = msgspec.json.decode(text, type=QueryRequest)
        _limit_process(request.limits)
        print(msgspec.json.encode(execute(request)).decode())


if __name__ == "__main__":
    main()
