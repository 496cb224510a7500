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
)

SELECT
    *,
    nullif(concat_ws(
        '; ',
        CASE WHEN id IS NULL THEN 'id is missing' END,
        CASE WHEN NOT id RLIKE '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$' THEN 'id is not a UUID' END,
        CASE WHEN name IS NULL THEN 'name is missing' END
    ), '') AS problems
FROM (
    SELECT
        lower(nullif(CASE WHEN is_tidy THEN id ELSE trim(regexp_replace(id, '[\\s\\x0B\\x1C-\\x1F\\x85\\p{Z}]+', ' ')) END, '')) AS id,
        nullif(CASE WHEN is_tidy THEN name ELSE trim(regexp_replace(name, '[\\s\\x0B\\x1C-\\x1F\\x85\\p{Z}]+', ' ')) END, '') AS name,
        lower(nullif(CASE WHEN is_tidy THEN brewery_type ELSE trim(regexp_replace(brewery_type, '[\\s\\x0B\\x1C-\\x1F\\x85\\p{Z}]+', ' ')) END, '')) AS brewery_type,
        coalesce(nullif(CASE WHEN is_tidy THEN address_1 ELSE trim(regexp_replace(address_1, '[\\s\\x0B\\x1C-\\x1F\\x85\\p{Z}]+', ' ')) END, ''), nullif(CASE WHEN is_tidy THEN street ELSE trim(regexp_replace(street, '[\\s\\x0B\\x1C-\\x1F\\x85\\p{Z}]+', ' ')) END, '')) AS address_1,
        nullif(CASE WHEN is_tidy THEN address_2 ELSE trim(regexp_replace(address_2, '[\\s\\x0B\\x1C-\\x1F\\x85\\p{Z}]+', ' ')) END, '') AS address_2,
        nullif(CASE WHEN is_tidy THEN address_3 ELSE trim(regexp_replace(address_3, '[\\s\\x0B\\x1C-\\x1F\\x85\\p{Z}]+', ' ')) END, '') AS address_3,
        nullif(CASE WHEN is_tidy THEN city ELSE trim(regexp_replace(city, '[\\s\\x0B\\x1C-\\x1F\\x85\\p{Z}]+', ' ')) END, '') AS city,
        coalesce(nullif(CASE WHEN is_tidy THEN state_province ELSE trim(regexp_replace(state_province, '[\\s\\x0B\\x1C-\\x1F\\x85\\p{Z}]+', ' ')) END, ''), nullif(CASE WHEN is_tidy THEN state ELSE trim(regexp_replace(state, '[\\s\\x0B\\x1C-\\x1F\\x85\\p{Z}]+', ' ')) END, '')) AS state_province,
        nullif(CASE WHEN is_tidy THEN postal_code ELSE trim(regexp_replace(postal_code, '[\\s\\x0B\\x1C-\\x1F\\x85\\p{Z}]+', ' ')) END, '') AS postal_code,
        nullif(CASE WHEN is_tidy THEN country ELSE trim(regexp_replace(country, '[\\s\\x0B\\x1C-\\x1F\\x85\\p{Z}]+', ' ')) END, '') AS country,
        nullif(CASE WHEN is_tidy THEN longitude ELSE trim(regexp_replace(longitude, '[\\s\\x0B\\x1C-\\x1F\\x85\\p{Z}]+', ' ')) END, '') AS longitude_text,
        nullif(CASE WHEN is_tidy THEN latitude ELSE trim(regexp_replace(latitude, '[\\s\\x0B\\x1C-\\x1F\\x85\\p{Z}]+', ' ')) END, '') AS latitude_text,
        nullif(CASE WHEN is_tidy THEN phone ELSE trim(regexp_replace(phone, '[\\s\\x0B\\x1C-\\x1F\\x85\\p{Z}]+', ' ')) END, '') AS phone,
        nullif(CASE WHEN is_tidy THEN website_url ELSE trim(regexp_replace(website_url, '[\\s\\x0B\\x1C-\\x1F\\x85\\p{Z}]+', ' ')) END, '') AS website_url,
        struct(id, name, brewery_type, address_1, address_2, address_3, city, state_province, postal_code, country, longitude, latitude, phone, website_url, state, street) AS fields,
        page,
        record
    FROM received
) AS cleaned
