"""Apache Iceberg: tables, catalogs, snapshots, data files, maintenance."""
