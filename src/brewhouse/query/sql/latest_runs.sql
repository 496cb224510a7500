-- Run results
-- How did the last fifty runs end, how long did they take, and why did they fail?
SELECT
    json_extract_scalar(detail, '$.runId') AS run,
    max(json_extract_scalar(detail, '$.workflow')) AS workflow,
    max_by(json_extract_scalar(detail, '$.state'), id) AS state,
    min(time) AS started_at,
    max(CAST(json_extract_scalar(detail, '$.seconds') AS DOUBLE)) AS seconds,
    max_by(json_extract_scalar(detail, '$.message'), id) AS message
FROM monitoring.events
WHERE detail_type = 'Brewhouse Run State Change'
GROUP BY json_extract_scalar(detail, '$.runId')
ORDER BY min(id) DESC
LIMIT 50
