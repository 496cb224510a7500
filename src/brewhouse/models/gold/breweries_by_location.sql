-- One row per country, state and city: how many breweries are operating, planned and closed there.
-- key: country, state_province, city
-- sort: country, state_province, city

SELECT
    country,
    state_province,
    city,
    count(*) AS brewery_count,
    count_if(brewery_type IS NULL OR brewery_type NOT IN ('closed', 'planning')) AS operating_count,
    count(CASE WHEN brewery_type = 'planning' THEN 1 END) AS planned_count,
    count(CASE WHEN brewery_type = 'closed' THEN 1 END) AS closed_count,
    count_if(longitude IS NOT NULL) AS with_coordinates_count
FROM silver.breweries
GROUP BY country, state_province, city
