"""Views of a lake's events: `monitoring.events`, runs, check results, log lines of Glue jobs.

They read the event files when queried, so they include runs in progress. Invalid lines are left out, and counted by
`monitoring.unreadable_events`; an event in two files counts once. The views are created per connection: creating one
lists all event files, which every run would pay for if `brewhouse.duckdb` contained them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from brewhouse.lake.duckdb_access import file_pattern, identifier, literal
from brewhouse.lake.lake import Lake, list_files

_EVENTS = {"id": "VARCHAR", "detail-type": "VARCHAR", "source": "VARCHAR", "time": "TIMESTAMPTZ", "detail": "JSON"}
_LOGS = {
    "time": "TIMESTAMPTZ", "job": "VARCHAR", "job_run_id": "VARCHAR", "run": "VARCHAR", "line": "INTEGER",
    "message": "VARCHAR",
}  # fmt: skip
_MAX_BYTES = 64 * 1024 * 1024
_FOLDER = Path(__file__).parent / "monitoring"
_VIEWS = ("events", "unreadable_events", "runs", "checks", "job_logs")


def monitoring_statements(lake: Lake) -> Iterator[str]:
    """Generate the statements that create the monitoring views, in a database of their own."""
    files = _lines_of(_files(lake, lake.events, "json"), _EVENTS)
    logs = _lines_of(_files(lake, lake.job_logs, "jsonl"), _LOGS)
    yield "ATTACH ':memory:' AS monitoring"
    for name in _VIEWS:
        description, sql = (_FOLDER / f"{name}.sql").read_text("utf-8").split("\n", 1)
        yield f"CREATE VIEW monitoring.{name} AS {sql.replace('{files}', files).replace('{logs}', logs)}"
        yield f"COMMENT ON VIEW monitoring.{name} IS {literal(description.removeprefix('-- '))}"


def _lines_of(paths: str, columns: Mapping[str, str]) -> str:
    """Return the relation of the lines of files with these columns and `filename`; without files, an empty one."""
    if not paths:
        nulls = (f"CAST(NULL AS {kind}) AS {identifier(name)}" for name, kind in columns.items())
        return f"(SELECT {', '.join(nulls)}, '' AS filename WHERE false)"
    kinds = ", ".join(f"{identifier(name)}: '{kind}'" for name, kind in columns.items())
    return (
        f"read_json({paths}, format = 'newline_delimited', columns = {{{kinds}}}, ignore_errors = true, "
        f"hive_partitioning = false, filename = true, maximum_object_size = {_MAX_BYTES})"
    )


def _files(lake: Lake, folder: Path, ending: str) -> str:
    """Return the files of all days as an argument of DuckDB, which rejects a pattern without match; empty if none."""
    days = list(folder.glob("date=*"))
    files = [file for day in days for file in list_files(day, f".{ending}")]
    if lake.is_local and len(files) == len([file for day in days for file in day.glob(f"*.{ending}")]):
        return literal(f"{file_pattern(str(folder))}/date=*/*.{ending}") if files else ""
    names = ", ".join(literal(file_pattern(str(file))) for file in files)  # without a pipe, which DuckDB would wait for
    return f"[{names}]" if names else ""
