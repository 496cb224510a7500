-- Changes of breweries, without the first snapshot.
CREATE TABLE memory.main.console_changes AS
SELECT coalesce(country_code, country, 'none') AS country, coalesce(state_code, state_province, 'none') AS state,
    coalesce(brewery_type, 'none') AS type,
    snapshot_run, previous_run, snapshot_time, CAST(snapshot_time AS DATE) AS day, kind, id, name, city, state_province,
    country AS country_name, changed_fields
FROM silver.brewery_changes WHERE previous_run IS NOT NULL
