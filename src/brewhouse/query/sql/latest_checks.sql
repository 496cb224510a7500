-- Check results
-- What is the result of each check, latest first?
SELECT
    events.time,
    json_extract_scalar(events.detail, '$.runId') AS run,
    json_extract_scalar(checked.facts, '$.table') AS table_name,
    json_extract_scalar(checked.facts, '$.name') AS name,
    json_extract_scalar(checked.facts, '$.severity') AS severity,
    CAST(json_extract_scalar(checked.facts, '$.found') AS BIGINT) AS found
FROM monitoring.events AS events
CROSS JOIN UNNEST(CAST(json_extract(events.detail, '$.checks') AS ARRAY(JSON))) AS checked (facts)
WHERE events.detail_type = 'Brewhouse Check Result'
ORDER BY events.time DESC, table_name, name
LIMIT 200
