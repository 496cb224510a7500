"""dlt into an Iceberg table, as its documentation shows it.

`python dlt_iceberg.py URL FOLDER`
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import dlt
from dlt.destinations import filesystem
from dlt.sources.helpers.rest_client import RESTClient
from dlt.sources.helpers.rest_client.paginators import PageNumberPaginator


def main(url: str, folder: str) -> None:
    """Write the table `openbrewerydb.breweries`."""
    client = RESTClient(url, paginator=PageNumberPaginator(base_page=1, page=1, total_path=None))

    @dlt.resource(name="breweries", primary_key="id", write_disposition="replace", table_format="iceberg")  # type: ignore[untyped-decorator]
    def breweries() -> Iterator[Any]:
        yield from client.paginate("breweries", params={"per_page": 200, "sort": "id:asc"})

    pipeline = dlt.pipeline(
        "openbrewerydb",
        pipelines_dir=f"{folder}/pipelines",
        destination=filesystem(f"file://{folder}"),
        dataset_name="openbrewerydb",
    )
    pipeline.run(breweries())


if __name__ == "__main__":
    main(*sys.argv[1:])
