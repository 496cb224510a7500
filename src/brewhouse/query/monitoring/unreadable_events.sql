-- One row per file in events/ with invalid lines, and their number.
SELECT filename AS file, count(*) AS lines FROM {files} WHERE id IS NULL OR time IS NULL GROUP BY filename
