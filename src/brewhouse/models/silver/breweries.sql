-- One row per brewery of the latest raw snapshot, cleaned, with its location as received and as ISO 3166 codes.
-- key: id
-- not null: id, name, place_match
-- warn no row: every place is known to ISO 3166:
--   SELECT country, state_province, count(*) AS breweries FROM silver.breweries
--   WHERE place_match = 'none' GROUP BY country, state_province
-- partition: country
-- sort: state_province, city, name

SELECT
    record.id,
    record.name,
    record.brewery_type,
    record.address_1,
    record.address_2,
    record.address_3,
    record.city,
    record.state_province,
    record.postal_code,
    record.country,
    place.country_code,
    place.country_name,
    place.state_code,
    place.state_name,
    place.city_name,
    place.place_match,
    record.longitude,
    record.latitude,
    record.coordinates_issue,
    record.phone,
    record.website_url,
    snapshot.run AS snapshot_run,
    snapshot.taken_at AS snapshot_time
FROM staging.records AS record
LEFT JOIN reference.places AS place
    ON record.country <=> place.country AND record.state_province <=> place.state_province AND record.city <=> place.city
CROSS JOIN bronze.snapshot AS snapshot
WHERE record.reasons IS NULL AND NOT record.is_exact_duplicate
