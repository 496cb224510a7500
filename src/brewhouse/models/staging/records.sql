-- One row per record of the raw snapshot, cleaned, with its rejection reasons: the base of breweries and rejected_breweries.
-- ephemeral: view

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
    CASE WHEN reasons IS NOT NULL THEN fields END AS received,
    page,
    CASE WHEN reasons IS NOT NULL THEN record END AS record,
    copy_number > 1 AS is_exact_duplicate,
    reasons
FROM (
    SELECT
        *,
        CASE WHEN problems IS NOT NULL OR (id IS NOT NULL AND id_number > 1) THEN concat_ws(
            '; ', problems, CASE WHEN id IS NOT NULL AND id_number > 1 THEN 'id is also in another record with different content' END
        ) END AS reasons
    FROM (
        SELECT cleaned.*, 1 AS copy_number, 1 AS id_number
        FROM staging.cleaned_records AS cleaned
        LEFT ANTI JOIN staging.repeated_ids AS repeated ON xxhash64(cleaned.id) = repeated.id_hash
        UNION ALL
        SELECT *, CASE WHEN copy_number = 1 THEN row_number() OVER (PARTITION BY id, copy_number ORDER BY name IS NULL, page, record) END AS id_number
        FROM (
            SELECT cleaned.*, row_number() OVER (PARTITION BY record ORDER BY page) AS copy_number
            FROM staging.repeated_records AS cleaned
        ) AS copies
    ) AS numbered
) AS validated
