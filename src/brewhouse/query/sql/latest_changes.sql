-- What changed last
-- Which breweries appeared, changed, closed or disappeared with the newest snapshot that changed anything?
SELECT
    kind,
    name,
    city,
    state_province,
    country,
    changed_fields,
    snapshot_time
FROM silver.brewery_changes
WHERE snapshot_time = (SELECT max(snapshot_time) FROM silver.brewery_changes)
ORDER BY kind, country, state_province, city, name
