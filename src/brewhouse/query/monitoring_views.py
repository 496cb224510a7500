"""Views of a lake's events: `monitoring.events`, runs, check results, log lines of Glue jobs.

They read the event files when queried, so they include runs in progress. Invalid lines are left out, and counted by
`monitoring.unreadable_events`; an event in two files counts once. The views are created per connection: creating one
lists all event files, which every run would pay for if `brewhouse.duckdb` contained them.
"""

from __future__ import annotations

import json
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
_DETAIL = json.dumps(dict.fromkeys(("runId", "jobRunId", "jobName", "state", "severity", "message"), "VARCHAR"))
_CHECKS = '[{"name":"VARCHAR","table":"VARCHAR","severity":"VARCHAR","found":"BIGINT","example":"VARCHAR"}]'
_ENDED = "('SUCCEEDED', 'FAILED', 'STOPPED', 'TIMEOUT')"
_MAX_BYTES = 64 * 1024 * 1024
_VIEWS = {  # description and SQL by name
    "events": (
        "One row per event: its time, type, run and job; detail has the whole event as JSON.",
        f"""
        SELECT id, detail_type, source, time, coalesce(fields.runId, fields.jobRunId) AS run, fields.jobName AS job,
            fields.state AS state, fields.severity AS level, fields.message AS message, detail
        FROM (
            SELECT id, "detail-type" AS detail_type, time, any_value(source) AS source, any_value(detail) AS detail,
                json_transform(any_value(detail), '{_DETAIL}') AS fields
            FROM {{files}} WHERE id IS NOT NULL AND time IS NOT NULL GROUP BY id, "detail-type", time
        )
        """,
    ),
    "unreadable_events": (
        "One row per file in events/ with invalid lines, and their number.",
        "SELECT filename AS file, count(*) AS lines FROM {files} WHERE id IS NULL OR time IS NULL GROUP BY filename",
    ),
    "runs": (
        "One row per run with its state; RUNNING until an event reports its end.",
        f"""
        SELECT run, max(detail ->> 'workflow') AS workflow,
            arg_max(state, id) AS state,
            min(time) AS started_at, max(time) FILTER (state IN {_ENDED}) AS ended_at,
            max(CAST(detail ->> 'seconds' AS DOUBLE)) AS seconds,
            max(message) FILTER (state IN {_ENDED} AND state <> 'SUCCEEDED') AS error,
            max(detail -> 'jobs') AS jobs
        FROM monitoring.events WHERE detail_type = 'Brewhouse Run State Change' GROUP BY run
        """,
    ),
    "checks": (
        "One row per check result, with the number of violations in found.",
        f"""
        SELECT time, run, job, c."table" AS "table", c.name AS name, c.severity AS severity, c.found = 0 AS passed,
            c.found AS found, c.example AS example
        FROM (
            SELECT time, run, job, unnest(from_json(detail -> 'checks', '{_CHECKS}')) AS c
            FROM monitoring.events WHERE detail_type = 'Brewhouse Check Result'
        )
        """,
    ),
    "job_logs": (
        "One row per log line of a Glue job, the last 1,000 of each attempt; empty without AWS Glue.",
        "SELECT time, job, job_run_id, run, line, message FROM {logs} WHERE message IS NOT NULL",
    ),
}


def monitoring_statements(lake: Lake) -> Iterator[str]:
    """Generate the statements that create the monitoring views, in a database of their own."""
    files, logs = _NO_EVENTS, _NO_LOGS
    if paths := _files(lake, lake.events, "json"):
        files = _read_json(paths, _COLUMNS)
    if paths := _files(lake, lake.job_logs, "jsonl"):
        logs = _read_json(paths, _LOG_COLUMNS)
    yield "ATTACH ':memory:' AS monitoring"
    for name, (description, sql) in _VIEWS.items():
        yield f"CREATE VIEW monitoring.{name} AS {sql.replace('{files}', files).replace('{logs}', logs)}"
        yield f"COMMENT ON VIEW monitoring.{name} IS {literal(description)}"


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
