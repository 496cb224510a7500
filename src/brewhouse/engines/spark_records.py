"""What runs in Spark's Python workers: lines of raw pages become records, as in the embedded engine and by its code."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from brewhouse.api.contract import FIELDS
from brewhouse.query.views import records_sql

if TYPE_CHECKING:
    import pyarrow as pa

RECORDS_TYPES = {**dict.fromkeys(FIELDS, "string"), "page": "bigint", "record": "string"}


def parsed(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Read the fields of records.

    Args:
        batches: With the columns `json`, a line, and `filename`, of its page.

    Yields:
        Batches as `RECORDS_TYPES` says.
    """
    import duckdb
    import pyarrow as pa

    with duckdb.connect(config={"threads": 1}) as connection:
        for batch in batches:
            connection.register("lines", pa.Table.from_batches([batch]))
            yield from connection.sql(records_sql("lines")).to_arrow_table().to_batches()
