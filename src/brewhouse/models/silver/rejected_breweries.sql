-- One row per record of the newest raw snapshot that cannot be used, as received, with every reason why.
-- sort: page, record

SELECT
    reasons,
    get_json_object(record, '$.id') AS id,
    get_json_object(record, '$.name') AS name,
    get_json_object(record, '$.brewery_type') AS brewery_type,
    get_json_object(record, '$.address_1') AS address_1,
    get_json_object(record, '$.address_2') AS address_2,
    get_json_object(record, '$.address_3') AS address_3,
    get_json_object(record, '$.city') AS city,
    get_json_object(record, '$.state_province') AS state_province,
    get_json_object(record, '$.postal_code') AS postal_code,
    get_json_object(record, '$.country') AS country,
    coalesce(nullif(regexp_extract(record, '"longitude"[ \\t]*:[ \\t]*(-?[0-9][-+.0-9Ee]*)', 1), ''), get_json_object(record, '$.longitude')) AS longitude,
    coalesce(nullif(regexp_extract(record, '"latitude"[ \\t]*:[ \\t]*(-?[0-9][-+.0-9Ee]*)', 1), ''), get_json_object(record, '$.latitude')) AS latitude,
    get_json_object(record, '$.phone') AS phone,
    get_json_object(record, '$.website_url') AS website_url,
    get_json_object(record, '$.state') AS state,
    get_json_object(record, '$.street') AS street,
    page,
    record,
    snapshot.run AS snapshot_run,
    snapshot.taken_at AS snapshot_time
FROM staging.records
CROSS JOIN bronze.snapshot AS snapshot
WHERE reasons IS NOT NULL AND NOT is_exact_duplicate
