-- Data completeness
-- For each country, what share of the breweries has coordinates, a telephone number and a website?
SELECT
    country_name,
    count(*) AS breweries,
    round(100.0 * count(longitude) / count(*), 1) AS percent_with_coordinates,
    round(100.0 * count(phone) / count(*), 1) AS percent_with_phone,
    round(100.0 * count(website_url) / count(*), 1) AS percent_with_website
FROM silver.breweries
GROUP BY country_name
ORDER BY breweries DESC, country_name
