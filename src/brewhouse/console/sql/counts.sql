-- Numbers of breweries by day, place and type.
CREATE TABLE memory.main.console_counts AS
SELECT coalesce(country_code, country_name, 'none') AS country, coalesce(state_code, state_name, 'none') AS state,
    coalesce(brewery_type, 'none') AS type,
    snapshot_date AS day, brewery_count
FROM gold.brewery_counts_over_time
