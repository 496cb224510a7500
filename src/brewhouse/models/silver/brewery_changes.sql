-- One row per brewery and snapshot in which it was added, changed or removed, compared with the previous snapshot.
-- Values are those after the change, or the last known ones of a removed brewery; `…_before` columns hold the previous values.
-- key: id, snapshot_run
-- not null: id, kind, snapshot_run
-- incremental by: snapshot_run
-- sort: snapshot_run, id

SELECT
    coalesce(now.id, before.id) AS id,
    CASE
        WHEN before.id IS NULL THEN 'added'
        WHEN now.id IS NULL THEN 'removed'
        WHEN now.brewery_type = 'closed' AND NOT before.brewery_type <=> 'closed' THEN 'closed'
        WHEN before.brewery_type = 'closed' AND NOT now.brewery_type <=> 'closed' THEN 'reopened'
        ELSE 'changed'
    END AS kind,
    CASE WHEN now.id IS NOT NULL AND before.id IS NOT NULL THEN concat_ws(
        ', ',
        CASE WHEN NOT now.name <=> before.name THEN 'name' END,
        CASE WHEN NOT now.brewery_type <=> before.brewery_type THEN 'brewery_type' END,
        CASE WHEN NOT now.address_1 <=> before.address_1 THEN 'address_1' END,
        CASE WHEN NOT now.address_2 <=> before.address_2 THEN 'address_2' END,
        CASE WHEN NOT now.address_3 <=> before.address_3 THEN 'address_3' END,
        CASE WHEN NOT now.city <=> before.city THEN 'city' END,
        CASE WHEN NOT now.state_province <=> before.state_province THEN 'state_province' END,
        CASE WHEN NOT now.postal_code <=> before.postal_code THEN 'postal_code' END,
        CASE WHEN NOT now.country <=> before.country THEN 'country' END,
        CASE WHEN NOT now.longitude <=> before.longitude THEN 'longitude' END,
        CASE WHEN NOT now.latitude <=> before.latitude THEN 'latitude' END,
        CASE WHEN NOT now.phone <=> before.phone THEN 'phone' END,
        CASE WHEN NOT now.website_url <=> before.website_url THEN 'website_url' END
    ) END AS changed_fields,
    CASE WHEN now.id IS NULL THEN before.name ELSE now.name END AS name,
    CASE WHEN now.id IS NULL THEN before.brewery_type ELSE now.brewery_type END AS brewery_type,
    CASE WHEN now.id IS NULL THEN before.address_1 ELSE now.address_1 END AS address_1,
    CASE WHEN now.id IS NULL THEN before.address_2 ELSE now.address_2 END AS address_2,
    CASE WHEN now.id IS NULL THEN before.address_3 ELSE now.address_3 END AS address_3,
    CASE WHEN now.id IS NULL THEN before.city ELSE now.city END AS city,
    CASE WHEN now.id IS NULL THEN before.state_province ELSE now.state_province END AS state_province,
    CASE WHEN now.id IS NULL THEN before.postal_code ELSE now.postal_code END AS postal_code,
    CASE WHEN now.id IS NULL THEN before.country ELSE now.country END AS country,
    CASE WHEN now.id IS NULL THEN before.country_code ELSE now.country_code END AS country_code,
    CASE WHEN now.id IS NULL THEN before.state_code ELSE now.state_code END AS state_code,
    CASE WHEN now.id IS NULL THEN before.longitude ELSE now.longitude END AS longitude,
    CASE WHEN now.id IS NULL THEN before.latitude ELSE now.latitude END AS latitude,
    CASE WHEN now.id IS NULL THEN before.phone ELSE now.phone END AS phone,
    CASE WHEN now.id IS NULL THEN before.website_url ELSE now.website_url END AS website_url,
    before.name AS name_before,
    before.brewery_type AS brewery_type_before,
    before.address_1 AS address_1_before,
    before.address_2 AS address_2_before,
    before.address_3 AS address_3_before,
    before.city AS city_before,
    before.state_province AS state_province_before,
    before.postal_code AS postal_code_before,
    before.country AS country_before,
    before.longitude AS longitude_before,
    before.latitude AS latitude_before,
    before.phone AS phone_before,
    before.website_url AS website_url_before,
    snapshot.run AS snapshot_run,
    snapshot.taken_at AS snapshot_time,
    previous_snapshot.run AS previous_run
FROM silver.breweries AS now
FULL OUTER JOIN previous.breweries AS before ON now.id = before.id
CROSS JOIN bronze.snapshot AS snapshot
CROSS JOIN previous.snapshot AS previous_snapshot
WHERE
    now.id IS NULL
    OR before.id IS NULL
    OR NOT (
        now.name <=> before.name AND now.brewery_type <=> before.brewery_type AND now.address_1 <=> before.address_1 AND now.address_2 <=> before.address_2
        AND now.address_3 <=> before.address_3 AND now.city <=> before.city AND now.state_province <=> before.state_province AND now.postal_code <=> before.postal_code
        AND now.country <=> before.country AND now.longitude <=> before.longitude AND now.latitude <=> before.latitude AND now.phone <=> before.phone
        AND now.website_url <=> before.website_url
    )
