-- One row per country, state and city, by canonical name: the number of operating, planned and closed breweries.
-- key: country_code, country_name, state_code, state_name, city_name
-- sort: country_name, state_name, city_name

SELECT
    country_code,
    country_name,
    state_code,
    state_name,
    city_name,
    count(*) AS brewery_count,
    count_if(brewery_type IS NULL OR brewery_type NOT IN ('closed', 'planning')) AS operating_count,
    count(CASE WHEN brewery_type = 'planning' THEN 1 END) AS planned_count,
    count(CASE WHEN brewery_type = 'closed' THEN 1 END) AS closed_count,
    count_if(longitude IS NOT NULL) AS with_coordinates_count
FROM silver.breweries
GROUP BY country_code, country_name, state_code, state_name, city_name
