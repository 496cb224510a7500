-- One row per country with its number of open breweries.
-- key: country_name
-- sort: country_name
-- column open_count: Number of breweries that are neither closed nor planned.
-- row count: at least 1
-- no row: a country has no more open breweries than breweries:
--   SELECT o.country_name
--   FROM gold.open_breweries_by_country AS o
--   JOIN gold.breweries_by_location AS l ON l.country_name = o.country_name
--   GROUP BY o.country_name, o.open_count
--   HAVING o.open_count > sum(l.brewery_count)
SELECT country_name, count(*) AS open_count
FROM silver.breweries
WHERE brewery_type NOT IN ('closed', 'planning') AND country_name IS NOT NULL
GROUP BY country_name
