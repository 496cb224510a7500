-- The contract's fields as text, the page and the verbatim text of each record: `views.records_sql` fills in the names.
WITH line AS (
    SELECT
        json,
        CAST(json AS VARCHAR) AS record,
        CAST(regexp_extract(filename, 'page-(\d+)\.[^/]*$', 1) AS BIGINT) AS page
    FROM {lines}
),

marked AS (
    SELECT
        *,
        CASE
            WHEN NOT starts_with(record, '{{') THEN error('Malformed JSON, not an object: ' || record)
            WHEN
                (json_keys(json) <> {names} AND len(json_keys(json)) > list_unique(json_keys(json)))
                OR regexp_matches(record, '{odd}')
                THEN regexp_replace(
                    regexp_replace(record, '"((?:[^"\\]|\\.)*)"|({number})', '"\1\\u0001\2"', 'g'),
                    '\\u0001"(\s*):', '"\1:', 'g'
                )
        END AS marked
    FROM line
),

parsed AS (
    SELECT *, list_reverse(json_extract(marked, '$.*')) AS marks, list_reverse(json_keys(marked)) AS keys
    FROM marked
),

-- The values of a marked record, in lambdas, as binding an expression for each field takes 7 ms per statement.
odd AS (
    SELECT
        *,
        CASE WHEN keys IS NOT NULL THEN list_transform(
            list_transform({names}, lambda name: json_transform(marks[list_position(keys, name)], '"VARCHAR"')),
            lambda text: CASE
                WHEN text LIKE '%' || chr(1) THEN text[:-2]
                WHEN text LIKE chr(1) || '%' THEN text[2:]
                WHEN text[1] IN ('{{', '[')
                    THEN replace(regexp_replace(text, '"\\u0001({number})"', '\1', 'g'), '\u0001"', '"')
                ELSE text
            END
        ) END AS texts
    FROM parsed
),

record AS (
    SELECT
        page,
        record,
        CASE WHEN keys IS NULL THEN json_transform(json, '{structure}') ELSE {fields} END AS fields
    FROM odd
)

SELECT {columns}, page, record FROM record
