-- One row per log line of a Glue job, the last 1,000 of each attempt; empty without AWS Glue.
SELECT time, job, job_run_id, run, line, message FROM {logs} WHERE message IS NOT NULL
