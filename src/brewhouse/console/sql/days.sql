-- Breweries of the newest 60 days by place and type, from their changes; places have the names of today.
CREATE TABLE memory.main.console_days AS
WITH days AS (
    SELECT snapshot_date AS day, max(snapshot_run) AS run FROM gold.brewery_counts_over_time
    GROUP BY day ORDER BY day DESC LIMIT 60
), known AS (
    SELECT *, lead(snapshot_run) OVER (PARTITION BY id ORDER BY snapshot_run) AS next_run
    FROM silver.brewery_changes
), places AS (
    SELECT DISTINCT country, state_province, city, country_code, country_name, state_code, state_name, city_name
    FROM silver.breweries
)
SELECT day, coalesce(p.country_code, p.country_name, k.country_code, k.country, 'none') AS country,
    coalesce(p.state_code, p.state_name, k.state_code, k.state_province, 'none') AS state,
    coalesce(brewery_type, 'none') AS type, coalesce(city_name, k.city) AS city, count(*) AS breweries
FROM days JOIN known AS k ON run >= snapshot_run AND (next_run IS NULL OR run < next_run) AND kind <> 'removed'
LEFT JOIN places AS p ON p.country IS NOT DISTINCT FROM k.country
    AND p.state_province IS NOT DISTINCT FROM k.state_province AND p.city IS NOT DISTINCT FROM k.city
GROUP BY ALL
