-- One row per rejected record of the latest raw snapshot, as received, with all reasons.
-- sort: page, record

SELECT
    reasons,
    received.id AS id,
    received.name AS name,
    received.brewery_type AS brewery_type,
    received.address_1 AS address_1,
    received.address_2 AS address_2,
    received.address_3 AS address_3,
    received.city AS city,
    received.state_province AS state_province,
    received.postal_code AS postal_code,
    received.country AS country,
    coalesce(nullif(regexp_extract(record, '"longitude"[ \\t]*:[ \\t]*(-?[0-9][-+.0-9Ee]*)', 1), ''), received.longitude) AS longitude,
    coalesce(nullif(regexp_extract(record, '"latitude"[ \\t]*:[ \\t]*(-?[0-9][-+.0-9Ee]*)', 1), ''), received.latitude) AS latitude,
    received.phone AS phone,
    received.website_url AS website_url,
    received.state AS state,
    received.street AS street,
    page,
    record,
    snapshot.run AS snapshot_run,
    snapshot.taken_at AS snapshot_time
FROM staging.records
CROSS JOIN bronze.snapshot AS snapshot
WHERE reasons IS NOT NULL AND NOT is_exact_duplicate
