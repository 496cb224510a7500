-- Breweries near a place
-- Which twenty open breweries are nearest to a place, here central Portland, Oregon?
WITH place AS (
    SELECT
        45.52 AS latitude,
        -122.68 AS longitude
), distances AS (
    SELECT
        b.name,
        b.brewery_type,
        b.city_name,
        2 * 6371 * asin(least(1.0, sqrt(
            power(sin(radians(b.latitude - p.latitude) / 2), 2)
            + cos(radians(p.latitude)) * cos(radians(b.latitude)) * power(sin(radians(b.longitude - p.longitude) / 2), 2)
        ))) AS distance_km
    FROM silver.breweries AS b
    CROSS JOIN place AS p
    WHERE b.latitude IS NOT NULL AND b.brewery_type NOT IN ('closed', 'planning')
)
SELECT
    name,
    brewery_type,
    city_name,
    round(distance_km, 1) AS distance_km
FROM distances
ORDER BY distance_km, name
LIMIT 20
