-- One row per record whose id another one has, cleaned and as received; the pages are read again for them, which is rare.
-- ephemeral: yes

SELECT received.*
FROM staging.received_records AS received
LEFT SEMI JOIN staging.repeated_ids AS repeated ON xxhash64(received.id) = repeated.id_hash
