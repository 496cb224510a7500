-- One row per record of the raw snapshot, with its fields cleaned and as received, and why it is invalid.
-- ephemeral: view

WITH received AS (
    -- Most records need no whitespace normalization: single spaces between words, no character or escape that may be other whitespace.
    SELECT
        *,
        NOT (
            contains(record, '  ') OR contains(record, ':" ') OR contains(record, ' "') OR contains(record, '\t')
            OR bit_length(record) > 8 * length(record)
            OR (contains(record, '\\') AND record RLIKE '\\\\([bfnrt]|u(00[0128aA]|1680|20|3000))')
        ) AS is_tidy
    FROM bronze.breweries
),

normalized AS (
    SELECT
        CASE WHEN is_tidy THEN id ELSE trim(regexp_replace(id, '[\\s\\x0B\\x1C-\\x1F\\x85\\p{Z}]+', ' ')) END AS id,
        CASE WHEN is_tidy THEN name ELSE trim(regexp_replace(name, '[\\s\\x0B\\x1C-\\x1F\\x85\\p{Z}]+', ' ')) END AS name,
        CASE WHEN is_tidy THEN brewery_type ELSE trim(regexp_replace(brewery_type, '[\\s\\x0B\\x1C-\\x1F\\x85\\p{Z}]+', ' ')) END AS brewery_type,
        CASE WHEN is_tidy THEN address_1 ELSE trim(regexp_replace(address_1, '[\\s\\x0B\\x1C-\\x1F\\x85\\p{Z}]+', ' ')) END AS address_1,
        CASE WHEN is_tidy THEN address_2 ELSE trim(regexp_replace(address_2, '[\\s\\x0B\\x1C-\\x1F\\x85\\p{Z}]+', ' ')) END AS address_2,
        CASE WHEN is_tidy THEN address_3 ELSE trim(regexp_replace(address_3, '[\\s\\x0B\\x1C-\\x1F\\x85\\p{Z}]+', ' ')) END AS address_3,
        CASE WHEN is_tidy THEN city ELSE trim(regexp_replace(city, '[\\s\\x0B\\x1C-\\x1F\\x85\\p{Z}]+', ' ')) END AS city,
        CASE WHEN is_tidy THEN state_province ELSE trim(regexp_replace(state_province, '[\\s\\x0B\\x1C-\\x1F\\x85\\p{Z}]+', ' ')) END AS state_province,
        CASE WHEN is_tidy THEN postal_code ELSE trim(regexp_replace(postal_code, '[\\s\\x0B\\x1C-\\x1F\\x85\\p{Z}]+', ' ')) END AS postal_code,
        CASE WHEN is_tidy THEN country ELSE trim(regexp_replace(country, '[\\s\\x0B\\x1C-\\x1F\\x85\\p{Z}]+', ' ')) END AS country,
        CASE WHEN is_tidy THEN longitude ELSE trim(regexp_replace(longitude, '[\\s\\x0B\\x1C-\\x1F\\x85\\p{Z}]+', ' ')) END AS longitude,
        CASE WHEN is_tidy THEN latitude ELSE trim(regexp_replace(latitude, '[\\s\\x0B\\x1C-\\x1F\\x85\\p{Z}]+', ' ')) END AS latitude,
        CASE WHEN is_tidy THEN phone ELSE trim(regexp_replace(phone, '[\\s\\x0B\\x1C-\\x1F\\x85\\p{Z}]+', ' ')) END AS phone,
        CASE WHEN is_tidy THEN website_url ELSE trim(regexp_replace(website_url, '[\\s\\x0B\\x1C-\\x1F\\x85\\p{Z}]+', ' ')) END AS website_url,
        CASE WHEN is_tidy THEN state ELSE trim(regexp_replace(state, '[\\s\\x0B\\x1C-\\x1F\\x85\\p{Z}]+', ' ')) END AS state,
        CASE WHEN is_tidy THEN street ELSE trim(regexp_replace(street, '[\\s\\x0B\\x1C-\\x1F\\x85\\p{Z}]+', ' ')) END AS street,
        struct(id, name, brewery_type, address_1, address_2, address_3, city, state_province, postal_code, country, longitude, latitude, phone, website_url, state, street) AS fields,
        page,
        record
    FROM received
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
    longitude_number,
    latitude_number,
    CASE
        WHEN longitude_text IS NULL AND latitude_text IS NULL THEN NULL
        WHEN longitude_text IS NULL OR latitude_text IS NULL THEN 'only one'
        WHEN longitude_number IS NULL OR latitude_number IS NULL THEN 'not a number'
        WHEN NOT (longitude_number BETWEEN -180 AND 180 AND latitude_number BETWEEN -90 AND 90) THEN 'out of range'
        WHEN longitude_number = 0 AND latitude_number = 0 THEN 'zero'
    END AS coordinates_issue,
    phone,
    website_url,
    fields,
    page,
    record,
    problems
FROM (
    SELECT
        *,
        CASE WHEN longitude_text RLIKE '^[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]+)?$' THEN try_cast(longitude_text AS DOUBLE) END AS longitude_number,
        CASE WHEN latitude_text RLIKE '^[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]+)?$' THEN try_cast(latitude_text AS DOUBLE) END AS latitude_number,
        CASE WHEN id IS NULL OR name IS NULL OR NOT id RLIKE '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$' THEN concat_ws(
            '; ',
            CASE WHEN id IS NULL THEN 'id is missing' END,
            CASE WHEN NOT id RLIKE '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$' THEN 'id is not a UUID' END,
            CASE WHEN name IS NULL THEN 'name is missing' END
        ) END AS problems
    FROM (
        SELECT
            lower(nullif(id, '')) AS id,
            nullif(name, '') AS name,
            lower(nullif(brewery_type, '')) AS brewery_type,
            coalesce(nullif(address_1, ''), nullif(street, '')) AS address_1,
            nullif(address_2, '') AS address_2,
            nullif(address_3, '') AS address_3,
            nullif(city, '') AS city,
            coalesce(nullif(state_province, ''), nullif(state, '')) AS state_province,
            nullif(postal_code, '') AS postal_code,
            nullif(country, '') AS country,
            nullif(longitude, '') AS longitude_text,
            nullif(latitude, '') AS latitude_text,
            nullif(phone, '') AS phone,
            nullif(website_url, '') AS website_url,
            fields,
            page,
            record
        FROM normalized
    ) AS cleaned
) AS measured
