-- One row per check result, with the number of violations in found.
SELECT time, run, job, c."table" AS "table", c.name AS name, c.severity AS severity, c.found = 0 AS passed,
    c.found AS found, c.example AS example
FROM (
    SELECT time, run, job, unnest(from_json(detail -> 'checks', '[{"name":"VARCHAR","table":"VARCHAR","severity":"VARCHAR","found":"BIGINT","example":"VARCHAR"}]')) AS c
    FROM monitoring.events WHERE detail_type = 'Brewhouse Check Result'
)
