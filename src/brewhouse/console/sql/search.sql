-- The published breweries with the words to search for, without case and accents.
CREATE TABLE memory.main.console_search AS
SELECT *, lower(strip_accents(concat_ws(' ', name, raw_city, city_name, address, postal_code, state_name,
    country_name))) AS words, lower(strip_accents(name)) AS plain_name
FROM (
    SELECT id, name, coalesce(brewery_type, 'none') AS type, city AS raw_city, city_name,
        concat_ws(', ', address_1, address_2, address_3) AS address, postal_code, state_name, country_name,
        coalesce(country_code, country_name, 'none') AS country,
        coalesce(state_code, state_name, 'none') AS state, coalesce(city_name, 'none') AS city,
        website_url, phone, longitude, latitude
    FROM silver.breweries
)
