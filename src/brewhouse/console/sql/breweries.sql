-- The published breweries; keys of what is missing are 'none'.
CREATE TABLE memory.main.console_breweries AS
SELECT coalesce(country_code, country_name, 'none') AS country, coalesce(state_code, state_name, 'none') AS state,
    coalesce(brewery_type, 'none') AS type,
    country_name, state_name, city_name AS city, 1 AS breweries, id, name, longitude, latitude
FROM silver.breweries
