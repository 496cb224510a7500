-- One row per country, state, city, by canonical name, and brewery type: the number of breweries, including closed and planned ones.
-- key: country_code, country_name, state_code, state_name, city_name, brewery_type
-- sort: country_name, state_name, city_name, brewery_type

SELECT
    country_code,
    country_name,
    state_code,
    state_name,
    city_name,
    brewery_type,
    count(*) AS brewery_count,
    count_if(longitude IS NOT NULL) AS with_coordinates_count,
    count(*) / sum(count(*)) OVER (PARTITION BY country_code, country_name) AS share_of_country
FROM silver.breweries
GROUP BY country_code, country_name, state_code, state_name, city_name, brewery_type
