-- One row per brewery of the newest raw snapshot, cleaned.
-- key: id
-- not null: id, name
-- partition: country
-- sort: state_province, city, name

SELECT
    id,
    name,
    brewery_type,
    address_1,
    address_2,
    address_3,
    city,
    state_province,
    postal_code,
    country,
    longitude,
    latitude,
    coordinates_issue,
    phone,
    website_url,
    snapshot.run AS snapshot_run,
    snapshot.taken_at AS snapshot_time
FROM staging.records
CROSS JOIN bronze.snapshot AS snapshot
WHERE reasons IS NULL AND NOT is_exact_duplicate
