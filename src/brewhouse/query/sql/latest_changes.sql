-- Latest changes
-- Which breweries were added, changed, closed or removed by the latest snapshot with changes?
SELECT
    kind,
    name,
    city,
    state_province,
    country,
    changed_fields,
    snapshot_time
FROM silver.brewery_changes
WHERE snapshot_run = (SELECT max(snapshot_run) FROM silver.brewery_changes)
ORDER BY kind, country, state_province, city, name
