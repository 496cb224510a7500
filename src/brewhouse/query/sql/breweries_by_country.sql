-- Breweries by country
-- How many breweries does each country have, and how many of them are open?
SELECT
    country_name,
    sum(operating_count) AS operating,
    sum(planned_count) AS planned,
    sum(closed_count) AS closed,
    sum(brewery_count) AS breweries
FROM gold.breweries_by_location
GROUP BY country_name
ORDER BY operating DESC, country_name
