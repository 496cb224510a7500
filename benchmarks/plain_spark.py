"""The baseline of the Spark engine: a plain PySpark script, as one writes it by hand.

`python -m benchmarks.plain_spark LAKE FOLDER CORES MEMORY_MB`

It reads the raw pages of a lake as JSON, cleans the text, keeps one row of each id, writes Parquet files by country,
and from these three aggregates. It has no places, rejected records, changes, checks, statistics or commits.
"""

from __future__ import annotations

import sys

from pyspark.sql import SparkSession
from pyspark.sql import functions as f
from pyspark.sql.types import StringType, StructType

TEXTS = (
    *("id", "name", "brewery_type", "address_1", "address_2", "address_3", "city", "state_province", "postal_code"),
    *("country", "phone", "website_url", "state", "street"),
)
NUMBERS = ("longitude", "latitude")
PLACE = ("country", "state_province")


def main(lake: str, folder: str, cores: str, memory_mb: str) -> None:
    """Write one silver and three gold tables."""
    spark = (
        SparkSession.builder.master(f"local[{cores}]")
        .config("spark.driver.memory", f"{memory_mb}m")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.ansi.enabled", "false")
        .config("spark.sql.shuffle.partitions", str(2 * int(cores)))
        .getOrCreate()
    )
    schema = StructType()
    for name in (*TEXTS, *NUMBERS):
        schema = schema.add(name, StringType())
    raw = spark.read.schema(schema).json(f"{lake}/bronze/breweries/*/*/page-*.jsonl.gz")
    clean = raw.select(
        *(f.nullif(f.trim(name), f.lit("")).alias(name) for name in TEXTS),
        *(f.col(name).cast("double").alias(name) for name in NUMBERS),
    )
    clean = clean.withColumns({name: f.lower(name) for name in ("id", "brewery_type")})
    clean = clean.where("id IS NOT NULL AND name IS NOT NULL").dropDuplicates(["id"])
    clean.repartition("country").write.partitionBy("country").parquet(f"{folder}/breweries", compression="zstd")
    silver = spark.read.parquet(f"{folder}/breweries")
    count = f.count("*").alias("brewery_count")
    for name, keys in {
        "by_location": (*PLACE, "city"),
        "by_type_and_location": (*PLACE, "city", "brewery_type"),
        "over_time": (*PLACE, "brewery_type"),
    }.items():
        silver.groupBy(*keys).agg(count).coalesce(1).write.parquet(f"{folder}/{name}", compression="zstd")
    spark.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
