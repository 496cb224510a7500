-- The columns of Parquet files with their statistics.
SELECT s.file_name, s.name, s.field_id, s.duckdb_type,
    coalesce(sum(total_compressed_size), 0)::BIGINT, coalesce(sum(num_values), 0)::BIGINT,
    if(count(stats_null_count) = count(num_values), coalesce(sum(stats_null_count), 0)::BIGINT, NULL),
    list(stats_min_value) FILTER (has_values), list(stats_max_value) FILTER (has_values),
    coalesce(bool_and(coalesce(min_is_exact AND max_is_exact, false)) FILTER (has_values), true)
FROM parquet_schema($files) AS s LEFT JOIN (
    SELECT *, stats_null_count IS DISTINCT FROM num_values AS has_values FROM parquet_metadata($files)
) AS chunk ON chunk.file_name = s.file_name AND chunk.path_in_schema = s.name
WHERE s.num_children IS NULL GROUP BY ALL ORDER BY min(s.column_id)
