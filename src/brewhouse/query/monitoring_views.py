"""Views of a lake's events: `monitoring.events`, runs, check results, log lines of Glue jobs.

They read the event files when queried, so they include runs in progress. Invalid lines are left out, and counted by
`monitoring.unreadable_events`; an event in two files counts once. The views are created per connection: creating one
lists all event files, which every run would pay for if `brewhouse.duckdb` contained them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from brewhouse.lake.duckdb_access import file_pattern, literal
from brewhouse.lake.lake import Lake, list_files

_COLUMNS = "{id: 'VARCHAR', \"detail-type\": 'VARCHAR', source: 'VARCHAR', time: 'TIMESTAMPTZ', detail: 'JSON'}"
_NO_EVENTS = """(
    SELECT '' AS id, '' AS "detail-type", '' AS source, CAST(NULL AS TIMESTAMPTZ) AS time, CAST(NULL AS JSON) AS detail,
        '' AS filename WHERE false)"""
_LOG_COLUMNS = (
    "{time: 'TIMESTAMPTZ', job: 'VARCHAR', job_run_id: 'VARCHAR', run: 'VARCHAR', line: 'INTEGER', message: 'VARCHAR'}"
)
_NO_LOGS = """(
    SELECT CAST(NULL AS TIMESTAMPTZ) AS time, '' AS job, '' AS job_run_id, '' AS run, 0 AS line, '' AS message
        WHERE false)"""
_MAX_BYTES = 64 * 1024 * 1024
_FOLDER = Path(__file__).parent / "monitoring"
_VIEWS = ("events", "unreadable_events", "runs", "checks", "job_logs")


def monitoring_statements(lake: Lake) -> Iterator[str]:
    """Generate the statements that create the monitoring views, in a database of their own."""
    files, logs = _NO_EVENTS, _NO_LOGS
    if paths := _files(lake, lake.events, "json"):
        files = _read_json(paths, _COLUMNS)
    if paths := _files(lake, lake.job_logs, "jsonl"):
        logs = _read_json(paths, _LOG_COLUMNS)
    yield "ATTACH ':memory:' AS monitoring"
    for name in _VIEWS:
        description, sql = (_FOLDER / f"{name}.sql").read_text("utf-8").split("\n", 1)
        yield f"CREATE VIEW monitoring.{name} AS {sql.replace('{files}', files).replace('{logs}', logs)}"
        yield f"COMMENT ON VIEW monitoring.{name} IS {literal(description.removeprefix('-- '))}"


def _read_json(paths: str, columns: str) -> str:
    return (
        f"read_json({paths}, format = 'newline_delimited', columns = {columns}, ignore_errors = true, "
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
