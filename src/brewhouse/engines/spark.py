"""The distributed engine: PySpark, on this machine, a cluster or AWS Glue. No row comes to the driver.

In a lake in a folder, Spark itself reads and writes the files. On S3 its Python workers write them, and read them
unless it has S3A; see `spark_files` and `spark_s3a`.
"""

from __future__ import annotations

import math
import os
import re
import shutil
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brewhouse.engines.dialect import to_spark, view_name
from brewhouse.engines.engine import EngineError, Row
from brewhouse.engines.spark_files import PARTITION, read_pages, read_rows, write_rows
from brewhouse.engines.spark_records import RECORDS_TYPES, parsed
from brewhouse.engines.spark_s3a import SCHEME as S3A_SCHEME
from brewhouse.iceberg.table_spec import Column, TableSpec
from brewhouse.lake.s3 import SCHEME
from brewhouse.lake.s3_path import S3Path
from brewhouse.models.model import Model

if TYPE_CHECKING:
    from pyspark.sql import Column as Sorting
    from pyspark.sql import DataFrame, SparkSession

SPARK_TYPES = {
    "string": "string",
    "double": "double",
    "long": "bigint",
    "int": "int",
    "boolean": "boolean",
    "timestamptz": "timestamp",
    "date": "date",
}
_ICEBERG_TYPES = {
    "string": "string",
    **dict.fromkeys(("float", "double", "decimal"), "double"),
    **dict.fromkeys(("tinyint", "smallint", "int"), "int"),
    "bigint": "long",
    "boolean": "boolean",
    "date": "date",
    "timestamp": "timestamptz",
}
_FIELD_ID = "parquet.field.id"
_CACHE_BYTES_PER_FILE_BYTE = 3  # measured: Spark's memory holds a row in three times the bytes of a Parquet file
_TOLD = ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LISTED_BY_DRIVER = "spark.sql.sources.parallelPartitionDiscovery.threshold"
_SETTINGS = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "false",  # as in DuckDB after sqlglot: a cast that fails is null
    "spark.sql.timestampType": "TIMESTAMP_LTZ",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.parquet.fieldId.write.enabled": "true",
    "spark.sql.parquet.fieldId.read.enabled": "true",
    "spark.sql.parquet.fieldId.read.ignoreMissing": "true",
    _LISTED_BY_DRIVER: "10000",  # below that, it is faster than a job would be
}


class SparkEngine:
    """The engine on many machines.

    Args:
        session: Where it runs. Settings and views are those of a new session beside it, on the same cluster.
        target_file_mb: Megabytes a file should have.
        s3a: Whether the session has S3A, by which Spark itself reads S3.
    """

    def __init__(self, session: SparkSession, target_file_mb: int = 128, *, s3a: bool = False) -> None:
        self._there = session
        self._s3a = s3a
        self._session = session.newSession()
        for name, value in _SETTINGS.items():
            self._session.conf.set(name, value)
        if s3a:  # where each file is a request
            self._session.conf.unset(_LISTED_BY_DRIVER)
        self._target_bytes = target_file_mb * 1024 * 1024
        self._kept: dict[str, DataFrame] = {}

    def attach_raw_snapshot(self, files: Sequence[str], run: str, fetched_at: str) -> None:
        """See `Engine.attach_raw_snapshot`."""
        from pyspark.sql import functions as f

        if self._out_of_reach(files):
            records = self._from_files(files, read_pages, RECORDS_TYPES)
        elif files:
            lines = self._session.read.text(_sparks(files), lineSep="\n")
            named = lines.select(f.col("value").alias("json"), f.col("_metadata.file_name").alias("filename"))
            records = named.mapInArrow(parsed, _schema(RECORDS_TYPES))
        else:
            records = self._nothing(RECORDS_TYPES)
        self._show("bronze.breweries", records)
        facts = self._session.range(1).select(
            f.lit(run).alias("run"), f.lit(fetched_at).cast("timestamp").alias("taken_at")
        )
        self._show("bronze.snapshot", facts)

    def attach_table(self, spec: TableSpec, files: Sequence[str]) -> None:
        """See `Engine.attach_table`."""
        if files and self._reads_by_python(files):  # which takes longer than Spark itself, so it is done once
            types = {column.name: SPARK_TYPES[column.type] for column in spec.columns}
            self._keep(spec.name, self._from_files(files, partial(read_rows, spec.columns), types))
        else:
            self._show(spec.name, self._read(spec, files))

    def attach_rows(self, name: str, columns: Mapping[str, str], rows: Sequence[Sequence[Any]]) -> None:
        """See `Engine.attach_rows`."""
        schema = _schema({column: SPARK_TYPES[kind] for column, kind in columns.items()})
        self._keep(name, self._session.createDataFrame([tuple(row) for row in rows], schema))

    def compute(self, model: Model) -> tuple[Column, ...]:
        """See `Engine.compute`."""
        computed = self._ask(model.sql, f"{model.file}: {model.name} cannot be computed")
        self._keep(model.name, computed)
        return tuple(Column(name.lower(), _iceberg_type(kind), "") for name, kind in computed.dtypes)

    def write(self, spec: TableSpec, field_ids: Mapping[str, int], folder: Path) -> tuple[str, ...]:
        """See `Engine.write`."""
        from pyspark.sql import functions as f

        columns = [
            f.col(f"`{c.name}`").cast(SPARK_TYPES[c.type]).alias(c.name, metadata={_FIELD_ID: field_ids[c.name]})
            for c in spec.columns
        ]
        rows = self._session.table(view_name(spec.name)).select(*columns)
        sort = [f.col(f"`{name}`").asc_nulls_first() for name in spec.sort]
        apart = self._distribute(spec, rows, sort)
        if spec.partition:
            # A checksum tells partitions apart: their files have the columns themselves.
            value = f.md5(f.to_json(f.struct(*(f"`{name}`" for name in spec.partition))))
            apart = apart.withColumn(PARTITION, value).sortWithinPartitions(PARTITION, *sort)
        elif sort:
            apart = apart.sortWithinPartitions(*sort)
        if isinstance(folder, S3Path):
            self._tell_workers()
            write = partial(write_rows, str(folder), spec.columns, dict(field_ids))
            files = tuple(row.file for row in apart.mapInArrow(write, "file string").collect())
        else:
            files = _written(apart, folder)
        self.attach_table(spec, files)
        return files

    def rows(self, sql: str) -> list[Row]:
        """See `Engine.rows`."""
        from pyspark.sql import functions as f
        from pyspark.sql.types import TimestampType

        answer = self._ask(sql, "The question cannot be answered")
        instants = {field.name for field in answer.schema if isinstance(field.dataType, TimestampType)}
        # Python would get an instant as the clock of this machine's zone shows it.
        cells = [f.unix_micros(f"`{name}`").alias(name) if name in instants else f"`{name}`" for name in answer.columns]
        return [
            {name: _instant(value) if name in instants else value for name, value in row.asDict(recursive=True).items()}
            for row in answer.select(*cells).collect()
        ]

    def close(self) -> None:
        """See `Engine.close`; the session that was there before stays, and is the active one again."""
        for kept in self._kept.values():
            kept.unpersist()
        self._kept.clear()
        self._there.createDataFrame([], "n int")

    def _ask(self, sql: str, what: str) -> DataFrame:
        from pyspark.errors import AnalysisException

        try:
            return self._session.sql(to_spark(sql))
        except AnalysisException as error:
            raise EngineError(f"{what}: {error}") from error

    def _read(self, spec: TableSpec, files: Sequence[str]) -> DataFrame:
        """Read columns by their field ids where they have any, else by name; one that a file lacks is null there."""
        from pyspark.sql.types import StructField, StructType, _parse_datatype_string

        if not files:
            return self._nothing({column.name: SPARK_TYPES[column.type] for column in spec.columns})
        fields = [
            StructField(
                column.name,
                _parse_datatype_string(SPARK_TYPES[column.type]),
                metadata={} if column.field_id is None else {_FIELD_ID: column.field_id},
            )
            for column in spec.columns
        ]
        return self._session.read.schema(StructType(fields)).parquet(*_sparks(files))

    def _reads_by_python(self, files: Sequence[str]) -> bool:
        """Say whether the workers' Python reads; Spark 3.5 cannot read as long what an older file has as int."""
        return self._out_of_reach(files) or self._session.version < "4"

    def _out_of_reach(self, files: Sequence[str]) -> bool:
        """Say whether Spark itself cannot read the files, for they are on S3 and it has no S3A."""
        return not self._s3a and any(file.startswith(SCHEME) for file in files)

    def _from_files(self, files: Sequence[str], read: Any, types: Mapping[str, str]) -> DataFrame:  # noqa: ANN401
        """Have the workers' Python read files, each in a task of its own."""
        self._tell_workers()
        names = self._session.createDataFrame([(file,) for file in files], "file string")
        return names.repartition(len(files)).mapInArrow(read, _schema(types))

    def _tell_workers(self) -> None:
        """Tell the workers' Python which S3 is meant; whose credentials count is their own affair."""
        told = self._session.sparkContext.environment
        told.update({name: os.environ[name] for name in _TOLD if name in os.environ})

    def _nothing(self, types: Mapping[str, str]) -> DataFrame:
        columns = ", ".join(f"CAST(NULL AS {kind}) AS `{name}`" for name, kind in types.items())
        return self._session.sql(f"SELECT {columns} WHERE false")

    def _show(self, name: str, rows: DataFrame) -> None:
        """Make rows readable by a name, and forget what was kept under it."""
        if (before := self._kept.pop(name, None)) is not None:
            before.unpersist()
        rows.createOrReplaceTempView(view_name(name))

    def _keep(self, name: str, rows: DataFrame) -> None:
        """Make rows readable by a name, computed once; those of a machine that is lost are computed again."""
        self._show(name, rows)
        self._kept[name] = rows.persist()

    def _distribute(self, spec: TableSpec, rows: DataFrame, sort: Sequence[Sorting]) -> DataFrame:
        """Put rows that belong into one file together, so that files get the size they should have."""
        parallelism = self._session.sparkContext.defaultParallelism
        number = max(1, math.ceil(self._bytes_in_memory(spec.name) / _CACHE_BYTES_PER_FILE_BYTE / self._target_bytes))
        partition = [f"`{name}`" for name in spec.partition]
        if number == 1:
            return rows.repartition(parallelism, *partition) if partition else rows.repartition(1)
        if partition or sort:
            return rows.repartitionByRange(number, *partition, *sort)
        return rows.repartition(number)

    def _bytes_in_memory(self, name: str) -> int:
        """Compute what is kept by that name, and tell how large it is."""
        rows = self._session.table(view_name(name))
        rows.count()
        plan = self._session.table(view_name(name))._jdf.queryExecution().optimizedPlan()
        return int(str(plan.stats().sizeInBytes()))


def _written(rows: DataFrame, folder: Path) -> tuple[str, ...]:
    """Have Spark write files into a folder of this one write, and move those of committed tasks out of it."""
    writing = folder / f"writing-{uuid.uuid4()}"
    options = {"compression": "zstd", "mapreduce.fileoutputcommitter.marksuccessfuljobs": "false"}
    writer = rows.write.options(**options)
    (writer.partitionBy(PARTITION) if PARTITION in rows.columns else writer).parquet(str(writing))
    files = tuple(str(file.rename(folder / f"{uuid.uuid4()}.parquet")) for file in sorted(writing.rglob("*.parquet")))
    shutil.rmtree(writing)
    return files


def _schema(types: Mapping[str, str]) -> str:
    return ", ".join(f"`{name}` {kind}" for name, kind in types.items())


def _sparks(files: Sequence[str]) -> list[str]:
    r"""Write places as Spark takes them: it looks for patterns in them, and S3 is S3A's.

    Example:
        >>> print(*_sparks(["/data/a [b]", "s3://bucket/a"]))
        /data/a \[b\] s3a://bucket/a
    """
    places = (S3A_SCHEME + file.removeprefix(SCHEME) if file.startswith(SCHEME) else file for file in files)
    return [re.sub(r"([][{}*?\\])", r"\\\1", place) for place in places]


def _iceberg_type(kind: str) -> str:
    """Tell which Iceberg type holds the values of one of Spark's; a decimal is a double, as in the embedded engine."""
    return _ICEBERG_TYPES.get(kind.partition("(")[0], kind)


def _instant(micros: int | None) -> datetime | None:
    return None if micros is None else _EPOCH + timedelta(microseconds=micros)
