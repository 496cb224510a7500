-- Every record of the raw snapshot, cleaned, with what makes it unusable: the common ground of breweries and rejected_breweries.
-- temporary: yes

WITH cleaned AS (
    SELECT
        lower(nullif(trim(regexp_replace(id, '[\\s\\x0B\\x1C-\\x1F\\x85\\p{Z}]+', ' ')), '')) AS id,
        nullif(trim(regexp_replace(name, '[\\s\\x0B\\x1C-\\x1F\\x85\\p{Z}]+', ' ')), '') AS name,
        lower(nullif(trim(regexp_replace(brewery_type, '[\\s\\x0B\\x1C-\\x1F\\x85\\p{Z}]+', ' ')), '')) AS brewery_type,
        coalesce(nullif(trim(regexp_replace(address_1, '[\\s\\x0B\\x1C-\\x1F\\x85\\p{Z}]+', ' ')), ''), nullif(trim(regexp_replace(street, '[\\s\\x0B\\x1C-\\x1F\\x85\\p{Z}]+', ' ')), '')) AS address_1,
        nullif(trim(regexp_replace(address_2, '[\\s\\x0B\\x1C-\\x1F\\x85\\p{Z}]+', ' ')), '') AS address_2,
        nullif(trim(regexp_replace(address_3, '[\\s\\x0B\\x1C-\\x1F\\x85\\p{Z}]+', ' ')), '') AS address_3,
        nullif(trim(regexp_replace(city, '[\\s\\x0B\\x1C-\\x1F\\x85\\p{Z}]+', ' ')), '') AS city,
        coalesce(nullif(trim(regexp_replace(state_province, '[\\s\\x0B\\x1C-\\x1F\\x85\\p{Z}]+', ' ')), ''), nullif(trim(regexp_replace(state, '[\\s\\x0B\\x1C-\\x1F\\x85\\p{Z}]+', ' ')), '')) AS state_province,
        nullif(trim(regexp_replace(postal_code, '[\\s\\x0B\\x1C-\\x1F\\x85\\p{Z}]+', ' ')), '') AS postal_code,
        nullif(trim(regexp_replace(country, '[\\s\\x0B\\x1C-\\x1F\\x85\\p{Z}]+', ' ')), '') AS country,
        nullif(trim(regexp_replace(longitude, '[\\s\\x0B\\x1C-\\x1F\\x85\\p{Z}]+', ' ')), '') AS longitude_text,
        nullif(trim(regexp_replace(latitude, '[\\s\\x0B\\x1C-\\x1F\\x85\\p{Z}]+', ' ')), '') AS latitude_text,
        nullif(trim(regexp_replace(phone, '[\\s\\x0B\\x1C-\\x1F\\x85\\p{Z}]+', ' ')), '') AS phone,
        nullif(trim(regexp_replace(website_url, '[\\s\\x0B\\x1C-\\x1F\\x85\\p{Z}]+', ' ')), '') AS website_url,
        struct(id, name, brewery_type, address_1, address_2, address_3, city, state_province, postal_code, country, longitude, latitude, phone, website_url, state, street) AS received,
        page,
        record
    FROM bronze.breweries
),

measured AS (
    SELECT
        *,
        CASE WHEN longitude_text RLIKE '^[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]+)?$' THEN try_cast(longitude_text AS DOUBLE) END AS longitude_number,
        CASE WHEN latitude_text RLIKE '^[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]+)?$' THEN try_cast(latitude_text AS DOUBLE) END AS latitude_number,
        row_number() OVER (PARTITION BY record ORDER BY page) AS copy_number
    FROM cleaned
),

located AS (
    SELECT
        *,
        CASE
            WHEN longitude_text IS NULL AND latitude_text IS NULL THEN NULL
            WHEN longitude_text IS NULL OR latitude_text IS NULL THEN 'only one'
            WHEN longitude_number IS NULL OR latitude_number IS NULL THEN 'not a number'
            WHEN NOT (longitude_number BETWEEN -180 AND 180 AND latitude_number BETWEEN -90 AND 90) THEN 'out of range'
            WHEN longitude_number = 0 AND latitude_number = 0 THEN 'zero'
        END AS coordinates_issue,
        CASE WHEN copy_number = 1 THEN row_number() OVER (PARTITION BY id, copy_number ORDER BY name IS NULL, page, record) END AS id_number
    FROM measured
)

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
    CASE WHEN coordinates_issue IS NULL THEN longitude_number END AS longitude,
    CASE WHEN coordinates_issue IS NULL THEN latitude_number END AS latitude,
    phone,
    website_url,
    coordinates_issue,
    received,
    page,
    record,
    copy_number > 1 AS is_exact_duplicate,
    nullif(concat_ws(
        '; ',
        CASE WHEN id IS NULL THEN 'it has no id' END,
        CASE WHEN NOT id RLIKE '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$' THEN 'its id is no UUID' END,
        CASE WHEN name IS NULL THEN 'it has no name' END,
        CASE WHEN id IS NOT NULL AND id_number > 1 THEN 'its id also stands in another record with different content' END
    ), '') AS reasons
FROM located
