"""Where things are: raw snapshots, Iceberg tables, views, the lock."""
