-- One row per event: its time, type, run and job; detail has the whole event as JSON.
SELECT id, detail_type, source, time, coalesce(fields.runId, fields.jobRunId) AS run, fields.jobName AS job,
    fields.state AS state, fields.severity AS level, fields.message AS message, detail
FROM (
    SELECT id, "detail-type" AS detail_type, time, any_value(source) AS source, any_value(detail) AS detail,
        json_transform(any_value(detail), '{"runId": "VARCHAR", "jobRunId": "VARCHAR", "jobName": "VARCHAR", "state": "VARCHAR", "severity": "VARCHAR", "message": "VARCHAR"}') AS fields
    FROM {files} WHERE id IS NOT NULL AND time IS NOT NULL GROUP BY id, "detail-type", time
)
