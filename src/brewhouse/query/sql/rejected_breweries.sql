-- Rejection reasons
-- Why were records of the latest snapshot rejected, and how often?
SELECT
    reason,
    count(*) AS records,
    min(record) AS example
FROM silver.rejected_breweries
CROSS JOIN UNNEST(split(reasons, '; ')) AS t (reason)
GROUP BY reason
ORDER BY records DESC, reason
