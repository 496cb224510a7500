-- Cities with the most breweries
-- Which twenty cities have the most open breweries?
SELECT
    city_name,
    state_name,
    country_name,
    operating_count AS operating
FROM gold.breweries_by_location
WHERE city_name IS NOT NULL
ORDER BY operating DESC, country_name, state_name, city_name
LIMIT 20
