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

WITH misplaced AS (
    SELECT brewery.*, concat('latitude ', CAST(latitude AS STRING), ', longitude ', CAST(longitude AS STRING), ' is not in ', country_name) AS detail
    FROM silver.breweries AS brewery
    LEFT ANTI JOIN reference.country_boxes AS box
        ON brewery.country_code = box.country_code
        AND brewery.longitude BETWEEN box.west AND box.east AND brewery.latitude BETWEEN box.south AND box.north
    WHERE longitude IS NOT NULL AND country_code IN (SELECT country_code FROM reference.country_boxes)
),

keyed AS (
    SELECT *, xxhash64(country_code, lower(name), city_name, lower(address_1)) AS address_hash
    FROM silver.breweries
    WHERE city_name IS NOT NULL AND address_1 IS NOT NULL
),

-- Few breweries share a hash, and only these are compared by the values.
compared AS (
    SELECT
        *,
        min(id) OVER (PARTITION BY country_code, lower(name), city_name, lower(address_1)) AS first_id,
        count(*) OVER (PARTITION BY country_code, lower(name), city_name, lower(address_1)) AS breweries
    FROM keyed
    WHERE address_hash IN (SELECT address_hash FROM keyed GROUP BY address_hash HAVING count(*) > 1)
),

duplicates AS (
    SELECT
        *,
        'probable duplicate' AS doubt,
        concat('same name, city and address as ', CASE WHEN id = first_id THEN 'another brewery' ELSE first_id END) AS detail
    FROM compared
    WHERE breweries > 1
)

SELECT DISTINCT
    misplaced.id,
    misplaced.name,
    misplaced.brewery_type,
    misplaced.address_1,
    misplaced.city_name,
    misplaced.country_code,
    misplaced.country_name,
    misplaced.longitude,
    misplaced.latitude,
    CASE WHEN box.country_code IS NULL THEN 'coordinates outside the country' ELSE 'coordinates swapped' END AS doubt,
    misplaced.detail,
    misplaced.snapshot_run,
    misplaced.snapshot_time
FROM misplaced
LEFT JOIN reference.country_boxes AS box
    ON misplaced.country_code = box.country_code
    AND misplaced.latitude BETWEEN box.west AND box.east AND misplaced.longitude BETWEEN box.south AND box.north
UNION ALL
SELECT id, name, brewery_type, address_1, city_name, country_code, country_name, longitude, latitude, doubt, detail, snapshot_run, snapshot_time
FROM duplicates
