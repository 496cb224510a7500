"""A process of its own for one query of a reader, which it cannot get out of.

Four walls stand around the query, each for itself: its parsed tree may only read tables (`query/statements.py`); DuckDB
reaches the current data files of the lake and nothing else, and its configuration is locked; the operating system
limits the memory and the files of the process, since DuckDB's own limit does not count every list it makes; and the
process can be killed, which stops whatever it does.

The process is given a `Question` on standard input, writes the rows into a Parquet file with the columns c0, c1, …, and
tells on standard output what came of it, an `Answer`.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from brewhouse.errors import BrewhouseError, UsageError
from brewhouse.lake.error_translation import translate_error
from brewhouse.lake.lake import Lake, Shared
from brewhouse.query.connection import open_views
from brewhouse.query.statements import files_read_by_views, reading_statement

if TYPE_CHECKING:
    import duckdb
    from pyarrow import RecordBatchReader

RESULT = "result.parquet"
_MB = 1024 * 1024
_PROCESS_MB = 768  # what Python, its libraries and their threads take besides what DuckDB counts
_BATCH_ROWS = 10_000
_AS_TEXT = re.compile(r"INTERVAL|UNION|\bBIT\b|VARIANT|BIGNUM|TIME WITH|TIME_NS|GEOMETRY|NULL|UHUGEINT|HUGEINT\b.")


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a query may take.

    Attributes:
        seconds: From its start until it is stopped.
        memory_mb: Megabytes DuckDB uses before it spills to disk.
        spill_mb: Megabytes it spills at the most.
        rows: A result is cut after so many rows.
        result_mb: A result is cut when its file has so many megabytes.
        threads: How many threads work on it.
    """

    seconds: float = 60.0
    memory_mb: int = 1024
    spill_mb: int = 1024
    rows: int = 1_000_000
    result_mb: int = 256
    threads: int = 2


class QueryRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What the process is asked.

    Attributes:
        lake: Root of the lake.
        shared: For a lake on S3.
        at: As of when, see `reading.connect`.
        sql: What the reader asks.
        folder: Where the process may write; the result will be there.
        limits: What it may take.
    """

    lake: str
    shared: Shared = Shared()
    at: str | None = None
    sql: str
    folder: str
    limits: Limits = Limits()


class QueryResult(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it.

    Attributes:
        names: Of the columns, as the query has them.
        types: Of the columns, as DuckDB names them.
        rows: How many rows the result has.
        is_cut: Whether there would be more.
        error: What happened, if it did not work, as a paragraph; it may have DuckDB's lines that show the position.
        hint: What to do then.
    """

    names: list[str] = []
    types: list[str] = []
    rows: int = 0
    is_cut: bool = False
    error: str | None = None
    hint: str = ""


class Sandbox:
    """The process, started ahead so that it is ready when it is asked; it answers one question."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - this program itself
            [sys.executable, "-P", "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
        )

    def ask(self, question: QueryRequest) -> QueryResult:
        """Have the question answered; an answer that is an error comes as one too.

        Raises:
            BrewhouseError: It took too long, or the process broke down.
        """
        try:
            out, _ = self._process.communicate(msgspec.json.encode(question).decode(), question.limits.seconds)
        except subprocess.TimeoutExpired as error:
            raise BrewhouseError(
                f"The query was stopped: it took longer than {question.limits.seconds:g} seconds.",
                hint="Ask for less, or run it with `brewhouse query`.",
            ) from error
        finally:
            self.close()
        try:
            return msgspec.json.decode(out, type=QueryResult)
        except msgspec.DecodeError as error:
            raise _too_much(question.limits) from error

    def stop(self) -> None:
        """Stop the process, whatever it does; whoever asked hears that it broke down."""
        self._process.kill()

    def close(self) -> None:
        """Stop the process and forget it."""
        self.stop()
        self._process.communicate()


def answer(question: QueryRequest) -> QueryResult:
    """Run a query behind DuckDB's walls, and write its result.

    Args:
        question: What is asked; its folder exists.

    Returns:
        What came of it, an error of the reader's too.
    """
    import duckdb

    try:
        with confined(question) as connection:
            return _run(connection, question)
    except BrewhouseError as error:
        return QueryResult(error=error.what, hint=error.hint)
    except MemoryError:
        return _as_answer(_too_much(question.limits))
    except (duckdb.Error, OSError, ValueError) as error:  # Arrow wraps what DuckDB meets amid the rows
        if "Out of Memory Error" in str(error):
            return _as_answer(_too_much(question.limits))
        if known := translate_error(error):
            return _as_answer(known)
        return QueryResult(error=f"The query cannot be run: {error}", hint="`SHOW ALL TABLES` lists what there is.")


def confined(question: QueryRequest) -> duckdb.DuckDBPyConnection:
    """Open the tables so that nothing else can be reached."""
    lake = Lake.at(question.lake, question.shared)
    limits = question.limits
    connection = open_views(lake, question.at)
    files = files_read_by_views(connection)
    connection.execute("SET allowed_paths = ?", [[file for file in files if "*" not in file]])
    folders = (
        [f"{lake.events}/"] if lake.is_local else []
    )  # the views of schema monitoring list them when they are read
    connection.execute("SET allowed_directories = ?", [folders])
    for name, value in {
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "allow_community_extensions": "false",
        "allow_persistent_secrets": "false",
        "threads": str(limits.threads),
        "memory_limit": f"{limits.memory_mb}MB",
        "temp_directory": str(Path(question.folder) / "spilled"),
        "max_temp_directory_size": f"{limits.spill_mb}MB",
        "enable_external_access": "false",
        "lock_configuration": "true",
    }.items():
        connection.execute(f"SET {name} = ?", [value])
    return connection


def _run(connection: duckdb.DuckDBPyConnection, question: QueryRequest) -> QueryResult:
    import duckdb

    statement = reading_statement(connection, question.sql)
    try:
        relation = connection.sql(statement)
    except duckdb.Error:  # said again, this time with the place in the text
        connection.execute(statement)
        raise
    if not relation.columns:
        raise UsageError("The query has no columns.", hint="Begin with SELECT.")
    names, types = list(relation.columns), [str(kind) for kind in relation.types]
    if any(_AS_TEXT.search(kind) for kind in types):  # Parquet does not have them
        cast = (f"CAST(#{n} AS VARCHAR)" if _AS_TEXT.search(kind) else f"#{n}" for n, kind in enumerate(types, start=1))
        relation = relation.project(", ".join(cast))
    reader = relation.to_arrow_reader(_BATCH_ROWS)
    rows, is_cut = _write(reader, Path(question.folder) / RESULT, question.limits)
    return QueryResult(names=names, types=types, rows=rows, is_cut=is_cut)


def _write(reader: RecordBatchReader, file: Path, limits: Limits) -> tuple[int, bool]:
    """Write a result until it ends or is cut; gives the number of rows, and whether it was."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([field.with_name(f"c{n}") for n, field in enumerate(reader.schema, start=1)])
    rows = 0
    with file.open("wb") as sink, pq.ParquetWriter(sink, schema, compression="zstd") as writer:
        for batch in reader:
            kept = batch.slice(0, limits.rows - rows)
            writer.write_batch(pa.RecordBatch.from_arrays(kept.columns, schema=schema))
            rows += kept.num_rows
            if kept.num_rows < batch.num_rows or sink.tell() > limits.result_mb * _MB:
                return rows, True
    return rows, False


def _too_much(limits: Limits) -> BrewhouseError:
    return BrewhouseError(
        f"The query was stopped: it needs more than the {limits.memory_mb} MB of memory "
        f"and {limits.spill_mb} MB of disk that it may take.",
        hint="Ask for less, or run it with `brewhouse query`.",
    )


def _as_answer(error: BrewhouseError) -> QueryResult:
    return QueryResult(error=error.what, hint=error.hint)


def _limit_process(limits: Limits) -> None:
    """Have the operating system limit this process, where it can."""
    try:
        import resource
    except ImportError:  # Windows has no such thing
        return
    bytes_of_memory = (limits.memory_mb + _PROCESS_MB) * _MB
    bytes_of_file = max(limits.spill_mb, limits.result_mb * 2) * _MB
    for kind, most in (
        (resource.RLIMIT_DATA, bytes_of_memory),
        (resource.RLIMIT_FSIZE, bytes_of_file),
        (resource.RLIMIT_CPU, int(limits.seconds * limits.threads) + 10),  # should nobody be left to stop it
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(kind)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)  # noqa: PLW2901
        resource.setrlimit(kind, (most, most))


def main() -> None:
    """Answer the question on standard input."""
    import duckdb
    import pyarrow.parquet  # both ahead, while nobody waits

    del duckdb, pyarrow
    if text := sys.stdin.read():
        question = msgspec.json.decode(text, type=QueryRequest)
        _limit_process(question.limits)
        print(msgspec.json.encode(answer(question)).decode())


if __name__ == "__main__":
    main()
