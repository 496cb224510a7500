"""The lake's root and what lies below it: raw snapshots, locks, temporary folders, access to S3."""
