-- DuckDB maps case letter by letter; Spark follows Unicode for İ, the Greek final sigma, ß and others like it.
CREATE MACRO spark_lower(value) AS CASE
    WHEN strlen(value) = length(value) THEN lower(value)
    ELSE lower(replace(CASE
        -- in a lambda, as compiling this pattern takes 2 ms and few values need it
        WHEN contains(value, 'Σ')
            THEN list_transform([value], lambda text: regexp_replace(text, '{final_sigma}', '\1ς\2', 'g'))[1]
        ELSE value
    END, 'İ', 'i̇'))
END;
CREATE MACRO spark_upper(value) AS CASE
    WHEN strlen(value) = length(value) THEN upper(value)
    ELSE array_to_string(list_transform(string_split(value, ''), lambda letter: coalesce(
        map(
            string_split('{expanding}', ''), string_split('{expanded}', ' ')
        )[letter],
        upper(letter)
    )), '')
END;
-- Java writes very large and small numbers with an exponent, after the first digit and at least one more.
CREATE MACRO java_double(number, text) AS CASE
    WHEN isnan(number) THEN 'NaN'
    WHEN isinf(number) THEN replace(text, 'inf', 'Infinity')
    ELSE replace(
        regexp_replace(replace(split_part(text, 'e', 1), '.', ''), '^(-?)0*(.)(.*?)0*$', '\1\2.\3') || 'E',
        '.E', '.0E'
    ) || CASE
        WHEN contains(text, 'e') THEN CAST(replace(split_part(text, 'e', 2), '+', '') AS INTEGER)
        WHEN abs(number) < 1 THEN -4
        ELSE strpos(ltrim(text, '-'), '.') - 2
    END
END;
CREATE MACRO spark_string(value) AS CASE
    WHEN typeof(value) = 'DOUBLE' AND TRY_CAST(value AS DOUBLE) <> 0
        AND NOT abs(TRY_CAST(value AS DOUBLE)) BETWEEN 0.001 AND 9999999
        THEN java_double(TRY_CAST(value AS DOUBLE), CAST(value AS VARCHAR))
    WHEN typeof(value) = 'TIMESTAMP WITH TIME ZONE' THEN regexp_replace(CAST(value AS VARCHAR), '[+]00$', '')
    ELSE CAST(value AS VARCHAR)
END;
