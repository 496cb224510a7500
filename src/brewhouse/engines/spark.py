"""The distributed engine: PySpark, on this machine, a cluster or AWS Glue. No row passes through the driver.

For a lake in a folder, Spark itself reads and writes the files. For a lake on S3 its Python workers write them, and
read them unless Spark has S3A; see `spark_workers` and `spark_s3a`.
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

from brewhouse.engines import spark_s3a
from brewhouse.engines.dialect import to_spark, view_name
from brewhouse.engines.engine import EngineError, Row
from brewhouse.engines.spark_workers import PARTITION, parse_records, read_pages, read_rows, write_rows
from brewhouse.iceberg.table_spec import DUCKDB_TYPES, Column, TableSpec
from brewhouse.lake.lake import add_checksum
from brewhouse.lake.s3 import SCHEME
from brewhouse.lake.s3_path import S3Path
from brewhouse.models.inputs import INPUTS
from brewhouse.models.model import Model

if TYPE_CHECKING:
    from pyspark.sql import Column as SortOrder
    from pyspark.sql import DataFrame, SparkSession

SPARK_TYPES = {name: name for name in DUCKDB_TYPES} | {"long": "bigint", "timestamptz": "timestamp"}
_ICEBERG_TYPES = {
    **{spark: iceberg for iceberg, spark in SPARK_TYPES.items()},
    **dict.fromkeys(("float", "decimal"), "double"),
    **dict.fromkeys(("tinyint", "smallint"), "int"),
}
_RECORDS = INPUTS["bronze.breweries"]
_FIELD_ID = "parquet.field.id"
_CACHE_BYTES_PER_FILE_BYTE = 3  # measured: a row in Spark's memory is three times as large as in a Parquet file
_WORKER_VARIABLES = ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3")
_MICROSECONDS = {"timestampFormat": "yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX"}  # the default has milliseconds
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LISTED_BY_DRIVER = "spark.sql.sources.parallelPartitionDiscovery.threshold"
_SETTINGS = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "false",  # as DuckDB after sqlglot: a failed cast is null
    "spark.sql.timestampType": "TIMESTAMP_LTZ",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.parquet.fieldId.write.enabled": "true",
    "spark.sql.parquet.fieldId.read.enabled": "true",
    "spark.sql.parquet.fieldId.read.ignoreMissing": "true",
    _LISTED_BY_DRIVER: "10000",  # for fewer files, the driver is faster than a Spark job
}


class SparkEngine:
    """The engine on many machines; its settings and views are in a new session of the same application.

    Args:
        s3a: Whether the session has S3A, so that Spark itself reads S3.
    """

    def __init__(self, session: SparkSession, target_file_mb: int = 128, *, s3a: bool = False) -> None:
        self._parent = session
        self._s3a = s3a
        self._session = session.newSession()
        for name, value in _SETTINGS.items():
            self._session.conf.set(name, value)
        if s3a:
            self._session.conf.unset(_LISTED_BY_DRIVER)  # listing a file takes a request
        self._target_bytes = target_file_mb * 1024 * 1024
        self._cached: dict[str, DataFrame] = {}

    def attach_raw_snapshot(self, files: Sequence[str], run: str, fetched_at: str) -> None:
        """See `Engine.attach_raw_snapshot`."""
        from pyspark.sql import functions as f

        if self._needs_workers(files):
            records = self._read_by_workers(files, read_pages, _RECORDS)
        elif files:
            lines = self._session.read.text(_spark_paths(files), lineSep="\n")
            named = lines.select(f.col("value").alias("json"), f.col("_metadata.file_name").alias("filename"))
            records = named.mapInArrow(parse_records, _schema(_RECORDS))
        else:
            records = self._session.createDataFrame([], _schema(_RECORDS))
        self._expose("bronze.breweries", records)
        metadata = {"run": "string", "taken_at": "timestamptz"}
        self.attach_rows("bronze.snapshot", metadata, [(run, datetime.fromisoformat(fetched_at))])

    def attach_table(self, spec: TableSpec, files: Sequence[str]) -> None:
        """See `Engine.attach_table`."""
        # Spark 3.5 cannot read as long a column that is int in an older file.
        if files and (self._needs_workers(files) or self._session.version < "4"):
            rows = self._read_by_workers(files, partial(read_rows, spec.columns), spec.columns)
            self._expose(spec.name, rows, cache=True)  # the workers read slower than Spark itself
        else:
            self._expose(spec.name, self._read(spec, files))

    def attach_rows(self, name: str, columns: Mapping[str, str], rows: Sequence[Sequence[Any]]) -> None:
        """See `Engine.attach_rows`."""
        schema = _schema([Column(column, kind, "") for column, kind in columns.items()])
        self._expose(name, self._session.createDataFrame([tuple(row) for row in rows], schema), cache=True)

    def compute(self, model: Model) -> tuple[Column, ...]:
        """See `Engine.compute`."""
        computed = self._sql(model.sql, f"{model.file}: {model.name} cannot be computed")
        self._expose(model.name, computed, cache=True)
        return tuple(
            Column(name.lower(), _ICEBERG_TYPES.get(kind.partition("(")[0], kind), "") for name, kind in computed.dtypes
        )

    def write(self, spec: TableSpec, field_ids: Mapping[str, int], folder: Path) -> tuple[str, ...]:
        """See `Engine.write`."""
        from pyspark.sql import functions as f

        columns = [
            f.col(f"`{c.name}`").cast(SPARK_TYPES[c.type]).alias(c.name, metadata={_FIELD_ID: field_ids[c.name]})
            for c in spec.columns
        ]
        sort = [f.col(f"`{name}`").asc_nulls_first() for name in spec.sort]
        rows = self._distribute(spec, self._session.table(view_name(spec.name)).select(*columns), sort)
        if spec.partition:  # identified by a checksum, since the files keep the partition columns
            values = f.to_json(f.struct(*(f"`{name}`" for name in spec.partition)), _MICROSECONDS)
            rows = rows.withColumn(PARTITION, f.md5(values)).sortWithinPartitions(PARTITION, *sort)
        elif sort:
            rows = rows.sortWithinPartitions(*sort)
        if isinstance(folder, S3Path):
            self._configure_workers()
            write = partial(write_rows, str(folder), spec.columns, dict(field_ids))
            files = tuple(row.file for row in rows.mapInArrow(write, "file string").collect())
        else:
            files = _write_files(rows, folder)
        self.attach_table(spec, files)
        return files

    def rows(self, sql: str) -> list[Row]:
        """See `Engine.rows`."""
        from pyspark.sql import functions as f
        from pyspark.sql.types import TimestampType

        result = self._sql(sql, "The query cannot be run")
        instants = {field.name for field in result.schema if isinstance(field.dataType, TimestampType)}
        # PySpark converts timestamps to the time zone of the machine.
        cells = [f.unix_micros(f"`{name}`").alias(name) if name in instants else f"`{name}`" for name in result.columns]
        return [
            {
                name: _EPOCH + timedelta(microseconds=value) if name in instants and value is not None else value
                for name, value in row.asDict(recursive=True).items()
            }
            for row in result.select(*cells).collect()
        ]

    def close(self) -> None:
        """See `Engine.close`; the given session stays open and becomes the active one."""
        for rows in self._cached.values():
            rows.unpersist()
        self._cached.clear()
        self._parent.createDataFrame([], "n int")

    def _sql(self, sql: str, what: str) -> DataFrame:
        from pyspark.errors import AnalysisException

        try:
            return self._session.sql(to_spark(sql))
        except AnalysisException as error:
            raise EngineError(f"{what}: {error}") from error

    def _read(self, spec: TableSpec, files: Sequence[str]) -> DataFrame:
        """Read columns by field id where they have one, else by name; a column that a file lacks is null."""
        from pyspark.sql.types import StructType, _parse_datatype_string

        schema = _parse_datatype_string(_schema(spec.columns))
        assert isinstance(schema, StructType)
        if not files:
            return self._session.createDataFrame([], schema)
        for field, column in zip(schema.fields, spec.columns, strict=True):
            field.metadata = {} if column.field_id is None else {_FIELD_ID: column.field_id}
        return self._session.read.schema(schema).parquet(*_spark_paths(files))

    def _needs_workers(self, files: Sequence[str]) -> bool:
        """Return whether the files are on S3 and Spark lacks S3A."""
        return not self._s3a and any(file.startswith(SCHEME) for file in files)

    def _read_by_workers(self, files: Sequence[str], read: Any, columns: Sequence[Column]) -> DataFrame:  # noqa: ANN401
        """Read files in the Python workers, one task per file."""
        self._configure_workers()
        names = self._session.createDataFrame([(file,) for file in files], "file string")
        return names.repartition(len(files)).mapInArrow(read, _schema(columns))

    def _configure_workers(self) -> None:
        """Pass region and endpoint of S3 to the Python workers; they resolve credentials on their own."""
        variables = {name: os.environ[name] for name in _WORKER_VARIABLES if name in os.environ}
        self._session.sparkContext.environment.update(variables)

    def _expose(self, name: str, rows: DataFrame, *, cache: bool = False) -> None:
        """Make rows readable by a name; cached rows are computed once, or again if a machine is lost."""
        if (before := self._cached.pop(name, None)) is not None:
            before.unpersist()
        rows.createOrReplaceTempView(view_name(name))
        if cache:
            self._cached[name] = rows.persist()

    def _distribute(self, spec: TableSpec, rows: DataFrame, sort: Sequence[SortOrder]) -> DataFrame:
        """Repartition rows so that files are near the target size."""
        self._session.table(view_name(spec.name)).count()  # fills the cache, so that the size is known
        plan = self._session.table(view_name(spec.name))._jdf.queryExecution().optimizedPlan()
        size_bytes = int(str(plan.stats().sizeInBytes())) / _CACHE_BYTES_PER_FILE_BYTE
        number = max(1, math.ceil(size_bytes / self._target_bytes))
        partition = [f"`{name}`" for name in spec.partition]
        if number == 1:
            return rows.repartition(self._session.sparkContext.defaultParallelism if partition else 1, *partition)
        if partition or sort:
            return rows.repartitionByRange(number, *partition, *sort)
        return rows.repartition(number)


def _write_files(rows: DataFrame, folder: Path) -> tuple[str, ...]:
    """Write with Spark into a temporary subfolder, and move the files of committed tasks to the folder."""
    temporary = folder / f"writing-{uuid.uuid4()}"
    writer = rows.write.options(**{"compression": "zstd", "mapreduce.fileoutputcommitter.marksuccessfuljobs": "false"})
    (writer.partitionBy(PARTITION) if PARTITION in rows.columns else writer).parquet(str(temporary))
    moved = [file.rename(folder / f"{uuid.uuid4()}.parquet") for file in sorted(temporary.rglob("*.parquet"))]
    files = tuple(str(add_checksum(file)) for file in moved)
    shutil.rmtree(temporary)
    return files


def _schema(columns: Sequence[Column]) -> str:
    return ", ".join(f"`{column.name}` {SPARK_TYPES[column.type]}" for column in columns)


def _spark_paths(files: Sequence[str]) -> list[str]:
    r"""Convert paths to Spark's: S3 URLs become S3A's, and glob characters are escaped.

    Example:
        >>> print(*_spark_paths(["/data/a [b]", "s3://bucket/a"]))
        /data/a \[b\] s3a://bucket/a
    """
    paths = (spark_s3a.SCHEME + file.removeprefix(SCHEME) if file.startswith(SCHEME) else file for file in files)
    return [re.sub(r"([][{}*?\\])", r"\\\1", path) for path in paths]
