-- One row per hash of an id that several records have, null included, or that a few ids share: cheaper to group than ids.
-- ephemeral: yes

SELECT xxhash64(id) AS id_hash
FROM staging.cleaned_records
GROUP BY xxhash64(id)
HAVING count(*) > 1
