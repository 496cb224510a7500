-- One row per snapshot date, country, state and brewery type: the number of breweries, including closed and planned ones.
-- key: snapshot_date, country_code, country_name, state_code, state_name, brewery_type
-- not null: snapshot_date
-- incremental by: snapshot_date
-- sort: snapshot_date, country_name, state_name, brewery_type

SELECT
    CAST(snapshot_time AS DATE) AS snapshot_date,
    country_code,
    country_name,
    state_code,
    state_name,
    brewery_type,
    count(*) AS brewery_count,
    snapshot_run
FROM silver.breweries
GROUP BY snapshot_time, snapshot_run, country_code, country_name, state_code, state_name, brewery_type
