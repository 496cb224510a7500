-- One row per id that several records have, null included.
-- ephemeral: yes

SELECT id
FROM staging.cleaned_records
GROUP BY id
HAVING count(*) > 1
