-- Breweries by type
-- Which brewery types exist, and what share of all breweries does each have?
SELECT
    brewery_type,
    sum(brewery_count) AS breweries,
    round(100.0 * sum(brewery_count) / sum(sum(brewery_count)) OVER (), 1) AS percent
FROM gold.breweries_by_type_and_location
GROUP BY brewery_type
ORDER BY breweries DESC, brewery_type
