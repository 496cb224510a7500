"""The baseline of the transform: one DuckDB query that only cleans the newest raw snapshot of a lake.

`python -m benchmarks.plain LAKE FILE`
"""

from __future__ import annotations

import sys
from pathlib import Path

import duckdb

from brewhouse.engines.dialect import duckdb_macros, to_duckdb
from brewhouse.lake.duckdb_access import literal
from brewhouse.lake.lake import Lake
from brewhouse.lake.raw_snapshots import newest
from brewhouse.models.project import models_of
from brewhouse.query.views import raw_records_sql


def main(root: str, file: str) -> None:
    """Clean every record and write it next to the record as received, without places, checks, changes or tables."""
    snapshot = newest(Lake(Path(root)))
    assert snapshot is not None
    received = next(model for model in models_of("staging") if model.name == "staging.received_records")
    with duckdb.connect() as connection:
        connection.execute(duckdb_macros())
        connection.execute("CREATE SCHEMA bronze")
        connection.execute(f"CREATE VIEW bronze.breweries AS {raw_records_sql(snapshot.files)}")
        connection.execute(f"COPY ({to_duckdb(received.sql)}) TO {literal(file)} (FORMAT parquet, COMPRESSION zstd)")


if __name__ == "__main__":
    main(*sys.argv[1:])
