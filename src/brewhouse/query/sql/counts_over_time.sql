-- Counts over time
-- How did the number of breweries of each country change from snapshot to snapshot?
WITH counts AS (
    SELECT
        snapshot_date,
        country_name,
        sum(brewery_count) AS breweries
    FROM gold.brewery_counts_over_time
    GROUP BY snapshot_date, country_name
)
SELECT
    snapshot_date,
    country_name,
    breweries,
    breweries - lag(breweries) OVER (PARTITION BY country_name ORDER BY snapshot_date) AS change
FROM counts
ORDER BY snapshot_date DESC, breweries DESC, country_name
