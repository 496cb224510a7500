-- One row per record of the raw snapshot, cleaned. Only an invalid one is kept as received, which takes most memory.
-- ephemeral: yes
-- partition: country

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
    coordinates_issue,
    phone,
    website_url,
    CASE WHEN problems IS NOT NULL THEN fields END AS fields,
    page,
    CASE WHEN problems IS NOT NULL THEN record END AS record,
    problems
FROM staging.received_records
