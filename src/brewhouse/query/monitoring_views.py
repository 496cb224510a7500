"""Views over the events of a lake: schema monitoring, what happened in which run.

They read the files as they are now, so they show a run that is going on. A line that is no event is left out, and
counted by `monitoring.unreadable_events`; an event that two files have counts once. They are made for each connection:
making one lists all files, which every run would pay for if they stood in `brewhouse.duckdb`.
"""

from __future__ import annotations

from collections.abc import Iterator

from brewhouse.lake.duckdb_access import literal
from brewhouse.lake.lake import Lake

_COLUMNS = "{id: 'VARCHAR', \"detail-type\": 'VARCHAR', source: 'VARCHAR', time: 'TIMESTAMPTZ', detail: 'JSON'}"
_NO_EVENTS = (
    "(SELECT '' AS id, '' AS \"detail-type\", '' AS source, CAST(NULL AS TIMESTAMPTZ) AS time, "
    "CAST(NULL AS JSON) AS detail, '' AS filename WHERE false)"
)
_SHAPE = (
    '{"runId":"VARCHAR","jobRunId":"VARCHAR","jobName":"VARCHAR","state":"VARCHAR","severity":"VARCHAR",'
    '"message":"VARCHAR"}'
)
_CHECKS = '[{"name":"VARCHAR","table":"VARCHAR","severity":"VARCHAR","found":"BIGINT","example":"VARCHAR"}]'
_ENDED = "('SUCCEEDED', 'FAILED', 'STOPPED', 'TIMEOUT')"
_MAX_BYTES = 64 * 1024 * 1024

_EVENTS = """
    SELECT id, detail_type, source, time, coalesce(said.runId, said.jobRunId) AS run, said.jobName AS job,
        said.state AS state, said.severity AS level, said.message AS message, detail
    FROM (
        SELECT id, "detail-type" AS detail_type, time, any_value(source) AS source, any_value(detail) AS detail,
            json_transform(any_value(detail), '{shape}') AS said
        FROM {files} WHERE id IS NOT NULL AND time IS NOT NULL GROUP BY id, "detail-type", time
    )
"""
_UNREADABLE = """
    SELECT filename AS file, count(*) AS lines FROM {files} WHERE id IS NULL OR time IS NULL GROUP BY filename
"""
_RUNS = f"""
    SELECT run, max(detail ->> 'workflow') AS workflow,
        arg_max(state, id) AS state,
        min(time) AS started_at, max(time) FILTER (state IN {_ENDED}) AS ended_at,
        max(CAST(detail ->> 'seconds' AS DOUBLE)) AS seconds,
        max(message) FILTER (state IN {_ENDED} AND state <> 'SUCCEEDED') AS error,
        max(detail -> 'jobs') AS jobs
    FROM monitoring.events WHERE detail_type = 'Brewhouse Run State Change' GROUP BY run
"""
_CHECKS_VIEW = f"""
    SELECT time, run, job, c."table" AS "table", c.name AS name, c.severity AS severity, c.found = 0 AS passed,
        c.found AS found, c.example AS example
    FROM (
        SELECT time, run, job, unnest(from_json(detail -> 'checks', '{_CHECKS}')) AS c
        FROM monitoring.events WHERE detail_type = 'Brewhouse Check Result'
    )
"""


def monitoring_statements(lake: Lake) -> Iterator[str]:
    """Give the statements that make the views of a lake's events, in a database of their own.

    Args:
        lake: Whose events.
    """
    files = _NO_EVENTS
    if places := _places(lake):
        files = (
            f"read_json({places}, format = 'newline_delimited', columns = {_COLUMNS}, ignore_errors = true, "
            f"hive_partitioning = false, filename = true, maximum_object_size = {_MAX_BYTES})"
        )
    yield "ATTACH ':memory:' AS monitoring"
    views = {"events": _EVENTS, "unreadable_events": _UNREADABLE, "runs": _RUNS, "checks": _CHECKS_VIEW}
    for name, sql in views.items():
        yield f"CREATE VIEW monitoring.{name} AS {sql.replace('{files}', files).replace('{shape}', _SHAPE)}"
        yield f"COMMENT ON VIEW monitoring.{name} IS {literal(_MEANINGS[name])}"


def _places(lake: Lake) -> str:
    """Name the files of the events for DuckDB, which takes no pattern that matches nothing; an empty text for none."""
    files = lake.events.glob("date=*/*.json")
    if lake.is_local:
        return literal(f"{lake.events}/date=*/*.json") if any(files) else ""
    names = ", ".join(literal(str(file)) for file in files)
    return f"[{names}]" if names else ""


_MEANINGS = {
    "events": "A row for each event: what happened, when, in which run; detail has all of it as JSON.",
    "unreadable_events": "A row for each file below events/ with lines that are no events.",
    "runs": "A row for each run, with its state; RUNNING until its end is told.",
    "checks": "A row for each check of each run, with what it found.",
}
