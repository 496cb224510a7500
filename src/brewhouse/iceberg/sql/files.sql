-- Parquet files with their rows, sizes and the starts of their row groups.
SELECT file_name, num_rows, file_size_bytes, coalesce(offsets, []) FROM parquet_file_metadata($files) LEFT JOIN (
    SELECT file_name, list(least(data_page_offset, dictionary_page_offset) ORDER BY row_group_id) AS offsets
    FROM parquet_metadata($files) WHERE column_id = 0 GROUP BY file_name
) USING (file_name)
