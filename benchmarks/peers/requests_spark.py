"""The usual script: fetch page by page with requests, and let PySpark write the pages as Parquet.

`python requests_spark.py URL FOLDER`
"""

from __future__ import annotations

import sys
from itertools import count
from pathlib import Path

import requests
from pyspark.sql import SparkSession


def main(url: str, folder: str) -> None:
    """Write `bronze/`, `silver/` by country, and `gold/`, the breweries by type and place."""
    bronze = Path(folder, "bronze")
    bronze.mkdir()
    with requests.Session() as session:
        for page in count(1):
            response = session.get(f"{url}/breweries", params=f"per_page=200&page={page}&sort=id:asc")
            response.raise_for_status()
            if response.json() == []:
                break
            (bronze / f"page-{page:05}.json").write_bytes(response.content)
    spark = SparkSession.builder.master("local[*]").config("spark.ui.enabled", "false").getOrCreate()
    breweries = spark.read.option("multiLine", "true").json(str(bronze)).dropDuplicates(["id"])
    breweries.write.partitionBy("country").parquet(f"{folder}/silver")
    silver = spark.read.parquet(f"{folder}/silver")
    silver.groupBy("brewery_type", "country", "state_province").count().write.parquet(f"{folder}/gold")
    spark.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
