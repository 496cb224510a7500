-- One row per country, state, city and brewery type: how many breweries of that type are there. Counts closed and planned ones too.
-- key: country, state_province, city, brewery_type
-- sort: country, state_province, city, brewery_type

SELECT
    country,
    state_province,
    city,
    brewery_type,
    count(*) AS brewery_count,
    count_if(longitude IS NOT NULL) AS with_coordinates_count,
    count(*) / sum(count(*)) OVER (PARTITION BY country) AS share_of_country
FROM silver.breweries
GROUP BY country, state_province, city, brewery_type
