"""The distributed engine: PySpark, on this machine, a cluster or AWS Glue. No row of a table passes through the driver.

Spark's own readers and writers process all data, in a folder and, with S3A, on S3; the executors need no Python.
"""

from __future__ import annotations

import json
import re
import shutil
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from brewhouse.api.contract import FIELDS
from brewhouse.engines import spark_s3a
from brewhouse.engines.dialect import to_spark, view_name
from brewhouse.engines.engine import EngineError, Row
from brewhouse.iceberg.maintenance_rules import BYTES_PER_MB
from brewhouse.iceberg.table_spec import DUCKDB_TYPES, Column, TableSpec
from brewhouse.lake.lake import add_checksum, path_at
from brewhouse.lake.s3 import SCHEME
from brewhouse.lake.s3_path import S3Path
from brewhouse.models.inputs import INPUTS
from brewhouse.models.model import Model
from brewhouse.query import views

if TYPE_CHECKING:
    from pyspark.sql import Column as Expression
    from pyspark.sql import DataFrame, SparkSession

SPARK_TYPES = {name: name for name in DUCKDB_TYPES} | {"long": "bigint", "timestamptz": "timestamp"}
_ICEBERG_TYPES = {
    **{spark: iceberg for iceberg, spark in SPARK_TYPES.items()},
    **dict.fromkeys(("float", "decimal"), "double"),
    **dict.fromkeys(("tinyint", "smallint"), "int"),
}
_RECORDS = INPUTS["bronze.breweries"]
_FIELD_ID = "parquet.field.id"
_PARTITION = "brewhouse_partition"
_SHUFFLED_BYTES_PER_FILE_BYTE = 2  # measured: Spark's compressed rows, by which it sizes its tasks, against Parquet
_SIZED = re.compile(  # plans whose rows need no shuffle to be written: groups, and all rows of files
    r"(?:[ :+-]*(?:(?:AdaptiveSparkPlan|Project|Sort|\w+Aggregate)\b.*|BroadcastNestedLoopJoin BuildRight, \w+)\n)*"
    r"[ :+-]*(FileScan|Exchange hash)"
)
_SHUFFLED = re.compile(  # plans of rows that were shuffled when they were kept
    r"(?:[ :+-]*(?:(?:AdaptiveSparkPlan|Project|Filter)\b|Broadcast\w+Join\b.*\bBuildRight\b).*\n)*"
    r"[ :+-]*Scan ExistingRDD"
)
_USUAL_JSON = (  # records without `views.ODD_JSON` and escapes, recognized in a fraction of the time
    r'^\{(?:"[^"\\]*":(?:"[^"\\]*"|null|-?(?:[1-9][0-9]{0,2}|0(?=\.(?!000)))(?:\.[0-9]{0,11}[1-9])?)(?:,(?=")|\}\z))++\z'
)
_JSON_OPTIONS = {
    "mode": "FAILFAST",
    "maxNumLen": str(2**31 - 1),
    "allowSingleQuotes": "false",
    "allowNonNumericNumbers": "false",
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SETTINGS = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "false",  # as DuckDB after sqlglot: a failed cast is null
    "spark.sql.timestampType": "TIMESTAMP_LTZ",
    "spark.sql.adaptive.enabled": "true",  # it sizes the files
    "spark.sql.codegen.hugeMethodLimit": "8000",  # Java does not compile larger ones
    "spark.sql.files.openCostInBytes": "16384",  # so that small pages share tasks
    "fs.s3a.performance.flags": "*",  # fewer requests, and no objects that represent folders
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.parquet.fieldId.write.enabled": "true",
    "spark.sql.parquet.fieldId.read.enabled": "true",
    "spark.sql.parquet.fieldId.read.ignoreMissing": "true",
}


class SparkEngine:
    """The engine on many machines; its settings and views are in a new session of the same application."""

    verifies_pages = True

    def __init__(self, session: SparkSession, target_file_mb: int = 128) -> None:
        self._parent = session
        self._session = session.newSession()
        for name, value in _SETTINGS.items():
            self._session.conf.set(name, value)
        self._least_bytes = target_file_mb * BYTES_PER_MB // 8
        shuffled_mb = target_file_mb * _SHUFFLED_BYTES_PER_FILE_BYTE
        self._session.conf.set("spark.sql.adaptive.advisoryPartitionSizeInBytes", f"{shuffled_mb}m")
        self._cached: dict[str, DataFrame] = {}
        self._builders: list[Any] = []  # of Java, one of each table that was ever kept

    def attach_raw_snapshot(self, files: Sequence[str], run: str, fetched_at: str) -> None:
        """See `Engine.attach_raw_snapshot`."""
        self._expose("bronze.breweries", self._pages(files) if files else self._local(_RECORDS))
        metadata = {"run": "string", "taken_at": "timestamptz"}
        self.attach_rows("bronze.snapshot", metadata, [(run, datetime.fromisoformat(fetched_at))])

    def _pages(self, files: Sequence[str]) -> DataFrame:
        """Read raw pages whole, once: those that differ from the checksum in their names fail the query."""
        from pyspark.sql import functions as f

        reader, paths = self._session.read, files
        folder = path_at(files[0]).parent
        if set(files) == set(map(str, folder.glob("page-*"))):  # one listing instead of a request per page
            reader, paths = reader.option("pathGlobFilter", "page-*"), [str(folder)]
        pages = reader.text(self._paths(paths), wholetext=True)
        pages = pages.select("value", f.col("_metadata.file_name").alias("file"))
        checksum = f.split_part("file", f.lit("."), f.lit(-3))
        damaged = f.raise_error(f.concat(f.lit("Its checksum is not that of its name: "), "file")).cast("boolean")
        pages = pages.where(f.when(f.startswith(f.sha2("value", 256), checksum), True).otherwise(damaged))
        number = f.substring_index(f.substring_index("file", "page-", -1), ".", 1).cast("bigint").alias("page")
        lines = pages.select(f.explode(f.split(f.validate_utf8("value"), "\n")).alias("record"), number)
        parsed = lines.where("record <> ''").select("record", "page", _parseable().alias("text"))
        fields = f.from_json("text", ", ".join(f"`{name}` string" for name in FIELDS), _JSON_OPTIONS)
        # A generator, since the optimizer would parse the record again for each field.
        return parsed.select(f.inline(f.array(fields)), "page", "record")

    def attach_table(self, spec: TableSpec, files: Sequence[str]) -> None:
        """See `Engine.attach_table`."""
        self._expose(spec.name, self._read(spec, files))

    def attach_rows(self, name: str, columns: Mapping[str, str], rows: Sequence[Sequence[object]]) -> None:
        """See `Engine.attach_rows`."""
        from pyspark.sql import functions as f

        given = self._local([Column(column, kind, "") for column, kind in columns.items()], rows)
        self._expose(name, f.broadcast(given))

    def compute(self, model: Model) -> tuple[Column, ...]:
        """See `Engine.compute`."""
        computed = self._sql(model.sql, f"{model.file}: {model.name} cannot be computed")
        if model.ephemeral is True and model.partition:
            computed = self._shuffled(computed, model.partition)
        self._expose(model.name, computed, cache=model.ephemeral is True and not model.partition)
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
        partition = [f.col(f"`{name}`") for name in spec.partition]
        sort = [f.col(f"`{name}`").asc_nulls_first() for name in spec.sort]
        given = self._session.table(view_name(spec.name)).select(*columns)
        if partition:  # a hash identifies the partition, since the files keep the partition columns
            values = [part for column in partition for part in (column.isNull(), column)]
            if not _SHUFFLED.match(given._jdf.queryExecution().executedPlan().toString()):
                given = given.hint("rebalance", *partition)
            given = given.withColumn(_PARTITION, f.xxhash64(*values))
            sort.insert(0, f.col(_PARTITION))
        rows = given.sortWithinPartitions(*sort) if sort else given
        if not partition:
            plan = rows._jdf.queryExecution()
            if (shape := _SIZED.match(plan.executedPlan().toString())) is None:
                given = given.hint("rebalance")
            elif shape[1] == "FileScan":  # of which Spark reads small parts if it has many cores
                read_bytes = plan.optimizedPlan().collectLeaves().head().stats().sizeInBytes()
                given = given.coalesce(max(1, read_bytes // self._least_bytes))
            rows = given.sortWithinPartitions(*sort) if sort else given
        attempt = folder / str(uuid.uuid4())
        files = self._write_files(rows, attempt)
        if not isinstance(folder, S3Path):
            files = [str(add_checksum(Path(file).rename(folder / f"{uuid.uuid4()}.parquet"))) for file in files]
            shutil.rmtree(attempt)
        self.attach_table(spec, files)
        return tuple(files)

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
        for builder in self._builders:  # a table that was computed from replaced rows has kept them again
            builder.clearCache(True)
        self._cached.clear()
        self._parent.createDataFrame([], "n int")

    def _sql(self, sql: str, what: str) -> DataFrame:
        from pyspark.errors import AnalysisException

        try:
            return self._session.sql(to_spark(sql))
        except AnalysisException as error:
            raise EngineError(f"{what}: {error}") from error

    def _local(self, columns: Sequence[Column], rows: Sequence[Sequence[object]] = ()) -> DataFrame:
        """Expose rows of the driver through the JVM alone: PySpark's `createDataFrame` runs Python in the executors."""
        from pyspark.sql import DataFrame
        from pyspark.sql import functions as f

        jvm = self._session._jvm
        assert jvm is not None
        names = [column.name for column in columns]
        lines = "\n".join(json.dumps(dict(zip(names, row, strict=True)), default=str) for row in rows)
        values = jvm.org.apache.hadoop.util.StringUtils.getStringCollection(lines, "\n")
        encoder = jvm.org.apache.spark.sql.Encoders.STRING()
        texts = DataFrame(self._session._jsparkSession.createDataset(values, encoder), self._session)
        return texts.select(f.from_json("value", _schema(columns), {"mode": "FAILFAST"}).alias("row")).select("row.*")

    def _read(self, spec: TableSpec, files: Sequence[str]) -> DataFrame:
        """Read columns by field id where they have one, else by name; a column that a file lacks is null."""
        from pyspark.sql.types import StructType, _parse_datatype_string

        schema = _parse_datatype_string(_schema(spec.columns))
        assert isinstance(schema, StructType)
        if not files:
            return self._local(spec.columns)
        for field, column in zip(schema.fields, spec.columns, strict=True):
            field.metadata = {} if column.field_id is None else {_FIELD_ID: column.field_id}
        return self._session.read.schema(schema).parquet(*self._paths(files))

    def _write_files(self, rows: DataFrame, folder: Path) -> list[str]:
        """Write rows under the final names of their files in a new folder; return the files of committed tasks.

        Spark's own sink of streams does this: each attempt of a task writes files of its own, and the driver logs those
        of the attempts that it committed. No file is renamed, which S3 cannot do. The sink is internal to Spark, whose
        public writers rename files, or need a committer that names them in the executors; a test notices its removal.
        """
        jvm = self._session._jvm
        assert jvm is not None
        sql = jvm.org.apache.spark.sql.execution
        (path,) = self._paths([str(folder)], is_pattern=False)
        partition = [_PARTITION] if _PARTITION in rows.columns else []
        sink = sql.streaming.sinks.FileStreamSink(
            self._session._jsparkSession,
            path,
            sql.datasources.parquet.ParquetFileFormat(),
            jvm.PythonUtils.toSeq(partition),
            jvm.PythonUtils.toScalaMap({"compression": "zstd", "parquet.compression.codec.zstd.level": "1"}),
        )
        sink.addBatch(0, rows._jdf)
        version, *committed = (folder / "_spark_metadata" / "0").read_bytes().decode().splitlines()
        assert version == "v1"
        urls = [urlsplit(json.loads(line)["path"]) for line in committed]
        log = jvm.org.apache.hadoop.fs.Path(f"{path}/_spark_metadata")
        log.getFileSystem(self._session._jsparkSession.sessionState().newHadoopConf()).delete(log, True)
        return [f"{SCHEME}{url.netloc}{unquote(url.path)}" if url.netloc else unquote(url.path) for url in urls]

    def _paths(self, files: Sequence[str], *, is_pattern: bool = True) -> list[str]:
        r"""Convert paths to Spark's: S3 URLs become S3A's, and glob characters are escaped."""
        if any(file.startswith(SCHEME) for file in files):
            spark_s3a.require(self._session)
        paths = [spark_s3a.SCHEME + file.removeprefix(SCHEME) if file.startswith(SCHEME) else file for file in files]
        return [re.sub(r"([][{}*?\\])", r"\\\1", path) for path in paths] if is_pattern else paths

    def _shuffled(self, rows: DataFrame, partition: Sequence[str]) -> DataFrame:
        """Shuffle rows by their partition; queries read the files of this shuffle, and Spark computes lost ones again.

        Spark's cache has a buffer and statistics for each column, which take more time, and memory.
        """
        from pyspark.sql import DataFrame

        plan = rows.hint("rebalance", *partition)._jdf.queryExecution()
        session = self._session._jsparkSession
        return DataFrame(session.internalCreateDataFrame(plan.toRdd(), plan.analyzed().schema(), False), self._session)

    def _expose(self, name: str, rows: DataFrame, *, cache: bool = False) -> None:
        """Make rows readable by a name; cached rows are computed once, or again if a machine is lost."""
        if (before := self._cached.pop(name, None)) is not None:
            before.unpersist()
        if cache:
            from pyspark.sql import DataFrame

            self._cached[name] = rows.persist()
            jvm, session = self._session._jvm, self._session._jsparkSession
            assert jvm is not None
            # Plans begin with the kept rows, or Spark would optimize each time all that led to them. They are computed
            # now, so that it knows their size, and omits what depends on none.
            kept = rows._jdf.queryExecution().withCachedData()
            self._builders.append(builder := kept.cacheBuilder())
            rows = DataFrame(jvm.org.apache.spark.sql.classic.Dataset.ofRows(session, kept), self._session)
            builder.cachedColumnBuffers().count()
            rows = rows if builder.rowCountStats().value() else rows.limit(0)
        rows.createOrReplaceTempView(view_name(name))


def _parseable() -> Expression:
    """Return the text of `record`, a line of a page, that has the fields of the record for Spark's parser.

    `views.records_sql` defines the meaning of a record. Spark's parser returns numbers and nested values otherwise, so
    a record that has them is parsed with marks, as there, and encoded again with each value as text.
    """
    from pyspark.sql import functions as f

    record = f.col("record")
    escapes = f.regexp_replace(record, r"\\\\|\\u[dD][89abAB]..\\u[dD][c-fC-F]..", "")
    invalid = f.raise_error(f.concat(f.lit("Malformed JSON, a lone surrogate: "), record))
    marked = f.regexp_replace(record, rf'"((?:[^"\\]++|\\.)*+)"|({views.JSON_NUMBER})', r'"$1\\u0001$2"')
    marked = f.regexp_replace(marked, r'\\u0001"(\s*):', '"$1:')
    marked = f.when(escapes.rlike(r"\\u[dD][89a-fA-F]"), invalid).otherwise(marked)
    values = f.from_json(marked, "map<string, string>", _JSON_OPTIONS)
    values = f.transform_values(values, lambda _, value: _unmarked(value))
    has_surrogates = f.contains(record, f.lit("\\u")) & record.rlike(r"\\u[dD][89a-fA-F]")
    is_odd = ~record.rlike(_USUAL_JSON) & (record.rlike(views.ODD_JSON) | has_surrogates)
    return f.when(is_odd, f.to_json(values, {"ignoreNullFields": "false"})).otherwise(record)


def _unmarked(value: Expression) -> Expression:
    """Remove the marks from a value of a record, so that it is its text."""
    from pyspark.sql import functions as f

    mark = f.lit("\u0001")
    nested = f.regexp_replace(value, rf'"\\u0001({views.JSON_NUMBER})"', "$1")
    pairs = f.regexp_extract_all(
        nested, f.lit(r"(\\uD[89AB]..\\uD[C-F]..)"), 1
    )  # Spark's parser escapes such characters
    nested = f.aggregate(f.array_distinct(pairs), nested, _unescaped)
    return (
        f.when(f.endswith(value, mark), f.substring(value, f.lit(1), f.length(value) - 1))
        .when(f.startswith(value, mark), f.substring(value, f.lit(2), f.length(value)))
        .when(value.rlike(r"^[{\[]"), f.replace(nested, f.lit(r'\u0001"'), f.lit('"')))
        .otherwise(value)
    )


def _unescaped(text: Expression, pair: Expression) -> Expression:
    """Replace an escaped pair of surrogates in a text by its character."""
    from pyspark.sql import functions as f

    character = f.from_json(f.concat(f.lit('["'), pair, f.lit('"]')), "array<string>")[0]
    return f.replace(text, pair, character)


def _schema(columns: Sequence[Column]) -> str:
    return ", ".join(f"`{column.name}` {SPARK_TYPES[column.type]}" for column in columns)
