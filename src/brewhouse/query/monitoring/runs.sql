-- One row per run with its state; RUNNING until an event reports its end.
SELECT run, max(detail ->> 'workflow') AS workflow,
    arg_max(state, id) AS state,
    min(time) AS started_at, max(time) FILTER (state IN ('SUCCEEDED', 'FAILED', 'STOPPED', 'TIMEOUT')) AS ended_at,
    max(CAST(detail ->> 'seconds' AS DOUBLE)) AS seconds,
    max(message) FILTER (state IN ('SUCCEEDED', 'FAILED', 'STOPPED', 'TIMEOUT') AND state <> 'SUCCEEDED') AS error,
    max(detail -> 'jobs') AS jobs
FROM monitoring.events WHERE detail_type = 'Brewhouse Run State Change' GROUP BY run
