-- Brewery types by state
-- How many breweries of each type does each state have?
SELECT
    country_name,
    state_name,
    sum(brewery_count) FILTER (WHERE brewery_type = 'micro') AS micro,
    sum(brewery_count) FILTER (WHERE brewery_type = 'brewpub') AS brewpub,
    sum(brewery_count) FILTER (WHERE brewery_type NOT IN ('micro', 'brewpub', 'closed', 'planning')) AS other_operating,
    sum(brewery_count) FILTER (WHERE brewery_type IN ('closed', 'planning')) AS not_operating
FROM gold.breweries_by_type_and_location
GROUP BY country_name, state_name
ORDER BY country_name, state_name
