-- One row per suspect brewery and issue: coordinates outside its country, or a probable duplicate. Nothing is corrected.
-- key: id, doubt
-- not null: id, doubt, detail
-- warn no row: coordinates are inside the brewery's country:
--   SELECT id, name, country_name, detail FROM silver.suspect_breweries WHERE doubt = 'coordinates outside the country'
-- warn no row: no coordinates are swapped:
--   SELECT id, name, country_name, detail FROM silver.suspect_breweries WHERE doubt = 'coordinates swapped'
-- warn no row: no two breweries have the same name, city and address:
--   SELECT id, name, country_name, detail FROM silver.suspect_breweries WHERE doubt = 'probable duplicate'
-- sort: doubt, country_code, id

WITH inside AS (
    SELECT
        brewery.id,
        max(CASE WHEN brewery.longitude BETWEEN box.west AND box.east AND brewery.latitude BETWEEN box.south AND box.north THEN 1 ELSE 0 END) AS as_received,
        max(CASE WHEN brewery.latitude BETWEEN box.west AND box.east AND brewery.longitude BETWEEN box.south AND box.north THEN 1 ELSE 0 END) AS if_swapped
    FROM silver.breweries AS brewery
    INNER JOIN reference.country_boxes AS box ON brewery.country_code = box.country_code
    WHERE brewery.longitude IS NOT NULL
    GROUP BY brewery.id
),

misplaced AS (
    SELECT
        brewery.*,
        CASE WHEN inside.if_swapped = 1 THEN 'coordinates swapped' ELSE 'coordinates outside the country' END AS doubt,
        concat('latitude ', CAST(brewery.latitude AS STRING), ', longitude ', CAST(brewery.longitude AS STRING), ' is not in ', brewery.country_name) AS detail
    FROM silver.breweries AS brewery
    INNER JOIN inside ON brewery.id = inside.id
    WHERE inside.as_received = 0
),

shared AS (
    SELECT country_code, lower(name) AS name_key, city_name, lower(address_1) AS address_key, min(id) AS first_id
    FROM silver.breweries
    WHERE city_name IS NOT NULL AND address_1 IS NOT NULL
    GROUP BY country_code, lower(name), city_name, lower(address_1)
    HAVING count(*) > 1
),

duplicates AS (
    SELECT
        brewery.*,
        'probable duplicate' AS doubt,
        concat('same name, city and address as ', CASE WHEN brewery.id = shared.first_id THEN 'another brewery' ELSE shared.first_id END) AS detail
    FROM silver.breweries AS brewery
    INNER JOIN shared
        ON brewery.country_code <=> shared.country_code AND lower(brewery.name) = shared.name_key
        AND brewery.city_name = shared.city_name AND lower(brewery.address_1) = shared.address_key
)

SELECT id, name, brewery_type, address_1, city_name, country_code, country_name, longitude, latitude, doubt, detail, snapshot_run, snapshot_time
FROM misplaced
UNION ALL
SELECT id, name, brewery_type, address_1, city_name, country_code, country_name, longitude, latitude, doubt, detail, snapshot_run, snapshot_time
FROM duplicates
