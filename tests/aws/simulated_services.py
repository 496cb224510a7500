"""Simulates the calls of Glue and Athena that the emulator only stubs.

A server in front of the emulator, for `AWS_ENDPOINT_URL_GLUE` and `AWS_ENDPOINT_URL_ATHENA`. `glue_simulator.py` runs
the workflow in a thread; the answers have the states, errors and times of that run. Athena queries are transpiled and
run by DuckDB over the tables that PyIceberg finds in the Glue catalog. Every answer is validated against botocore's
model of the service. All other calls are forwarded to the emulator unchanged, signature included.
"""

from __future__ import annotations

import gzip
import json
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeAlias

from botocore.model import Shape
from botocore.session import get_session
from botocore.validate import ParamValidator
from tests.aws.glue_simulator import GlueSimulator, JobRun, WorkflowRun

Answer: TypeAlias = tuple[int, Mapping[str, str], bytes]
Forward: TypeAlias = Callable[[], object]
"""Forwards the request to the emulator; raises `Refused` if it refuses."""
_TYPES = {"HUGEINT": "bigint", "TIMESTAMP WITH TIME ZONE": "timestamp with time zone"}


class Refused(Exception):  # noqa: N818 - an answer, not an error
    """An answer that refuses the request."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer[2])
        self.answer = answer


def refused(code: str, message: str) -> Refused:
    """Refuse as AWS does."""
    body = json.dumps({"__type": code, "Message": message}).encode()
    return Refused((400, {"Content-Type": "application/x-amz-json-1.1", "x-amzn-ErrorType": code}, body))


class _Model(ParamValidator):  # type: ignore[misc]  # botocore has no types
    """Validates an answer against the model of a service: names, types and enumerations."""

    def _validate_string(self, param: Any, shape: Shape, errors: Any, name: str) -> None:  # noqa: ANN401 - botocore
        super()._validate_string(param, shape, errors, name)
        assert not shape.enum or param in shape.enum, f"{name} is {param}, not one of {shape.enum}"

    def check(self, service: str, operation: str, answer: dict[str, Any]) -> None:
        shape = get_session().get_service_model(service).operation_model(operation).output_shape
        report = self.validate(answer, shape)
        assert not report.has_errors(), report.generate_report()


class SimulatedGlue:
    """Runs of a workflow and of its jobs.

    Attributes:
        runs: Of the workflow, by id.
    """

    def __init__(self, simulator: GlueSimulator) -> None:
        self.simulator = simulator
        self.runs: dict[str, WorkflowRun] = {}
        self._threads: list[threading.Thread] = []

    def StartWorkflowRun(self, asked: Mapping[str, Any], forward: Forward) -> dict[str, Any]:  # noqa: N802 - AWS's
        workflow = self.simulator.account.client("glue").get_workflow(Name=asked["Name"])["Workflow"]
        in_progress = sum(run.ended is None for run in self.runs.values())
        if in_progress >= workflow["MaxConcurrentRuns"]:
            raise refused("ConcurrentRunsExceededException", f"Concurrent runs exceeded for workflow: {asked['Name']}.")
        forward()
        run = self.simulator.begin()
        self.runs[run.id] = run
        thread = threading.Thread(target=self.simulator.follow, args=(run,))
        thread.start()
        self._threads.append(thread)
        return {"RunId": run.id}

    def GetWorkflowRun(self, asked: Mapping[str, Any], _: Forward) -> dict[str, Any]:  # noqa: N802
        run = self.runs.get(asked["RunId"])
        if run is None:
            raise refused("EntityNotFoundException", f"Workflow run {asked['RunId']} is not found.")
        over = {"Status": "COMPLETED", "CompletedOn": run.ended} if run.ended else {"Status": "RUNNING"}
        graph = {"Graph": {"Nodes": list(self._nodes(run))}} if asked.get("IncludeGraph") else {}
        return {"Run": {"Name": asked["Name"], "WorkflowRunId": run.id, "StartedOn": run.started, **over, **graph}}

    def GetJobRuns(self, asked: Mapping[str, Any], forward: Forward) -> dict[str, Any]:  # noqa: N802
        forward()
        found = [_job_run(run) for run in self.simulator.runs if run.name == asked["JobName"]]
        return {"JobRuns": found[::-1][: asked.get("MaxResults", 200)]}

    def end(self) -> None:
        """Wait for all runs to end."""
        for thread in self._threads:
            thread.join()

    def _nodes(self, run: WorkflowRun) -> Iterator[dict[str, Any]]:
        """Yield the nodes of a run's graph, sorted by trigger, since Glue defines no order."""
        for trigger in run.triggers:
            yield {"Type": "TRIGGER", "Name": trigger["Name"], "TriggerDetails": {"Trigger": trigger}}
            for action in trigger["Actions"]:
                if "JobName" in action:
                    name = action["JobName"]
                    runs = [each for each in self.simulator.runs if (each.workflow_run, each.name) == (run.id, name)]
                    yield {"Type": "JOB", "Name": name, "JobDetails": {"JobRuns": [_job_run(each) for each in runs]}}
                else:
                    name = action["CrawlerName"]
                    crawls = [{"State": run.states[name]}] if name in run.states else []
                    yield {"Type": "CRAWLER", "Name": name, "CrawlerDetails": {"Crawls": crawls}}


def _job_run(run: JobRun) -> dict[str, Any]:
    state, ended = run.state, run.ended or run.started  # once: the simulator runs in another thread
    answer = {"Id": run.id, "Attempt": run.attempt, "JobName": run.name, "JobRunState": state, "StartedOn": run.started}
    answer |= {"PreviousRunId": replace(run, attempt=run.attempt - 1).id} if run.attempt else {}
    if state != "RUNNING":
        answer |= {"CompletedOn": ended, "ExecutionTime": round((ended - run.started).total_seconds())}
    return answer | ({"ErrorMessage": run.message} if run.message else {})


@dataclass
class _Query:
    status: dict[str, Any]
    scanned_bytes: int = 0
    columns: list[tuple[str, str]] = field(default_factory=list)
    rows: list[tuple[object, ...]] = field(default_factory=list)


class SimulatedAthena:
    """Queries over the Iceberg tables of the account.

    Attributes:
        before: Called before each query.
        catalog: PyIceberg's properties of the Glue catalog.
    """

    def __init__(self, emulator_url: str, region: str) -> None:
        self.before: Callable[[], object] = lambda: None
        self.catalog = {"type": "glue", "glue.region": region, "s3.endpoint": emulator_url, "s3.region": region}
        self._queries: dict[str, _Query] = {}

    def StartQueryExecution(self, asked: Mapping[str, Any], _: Forward) -> dict[str, Any]:  # noqa: N802 - AWS's
        import duckdb
        import sqlglot
        from pyiceberg.exceptions import NoSuchPropertyException, NoSuchTableError

        self.before()
        try:
            parsed = sqlglot.parse_one(asked["QueryString"], dialect="athena")
        except sqlglot.ParseError as error:
            raise refused("InvalidRequestException", f"line 1:1: mismatched input. {error}") from error
        id_ = secrets.token_hex(16)
        try:
            self._queries[id_] = self._run(parsed, asked["QueryExecutionContext"]["Database"])
        except (duckdb.Error, NoSuchTableError, NoSuchPropertyException) as error:  # the latter: not an Iceberg table
            self._queries[id_] = _Query({"State": "FAILED", "StateChangeReason": str(error)})
        return {"QueryExecutionId": id_}

    def GetQueryExecution(self, asked: Mapping[str, Any], _: Forward) -> dict[str, Any]:  # noqa: N802
        query = self._queries[asked["QueryExecutionId"]]
        statistics = {"DataScannedInBytes": query.scanned_bytes}
        return {"QueryExecution": {**asked, "Status": query.status, "Statistics": statistics}}

    def GetQueryResults(self, asked: Mapping[str, Any], _: Forward) -> dict[str, Any]:  # noqa: N802
        query = self._queries[asked["QueryExecutionId"]]
        columns = [{"Name": name, "Type": kind} for name, kind in query.columns]
        rows = [tuple(name for name, _ in query.columns), *query.rows]  # the first row holds the names
        data = [{"Data": [{} if cell is None else {"VarCharValue": str(cell)} for cell in row]} for row in rows]
        return {"ResultSet": {"ResultSetMetadata": {"ColumnInfo": columns}, "Rows": data}}

    def _run(self, parsed: Any, database: str) -> _Query:  # noqa: ANN401 - sqlglot
        """Run a query over its tables, each read from the catalog, in the version that the query names."""
        import duckdb
        from pyiceberg.catalog import load_catalog
        from sqlglot import exp

        catalog = load_catalog("simulated", **self.catalog)
        query = _Query({"State": "SUCCEEDED"})
        inner = {cte.alias for cte in parsed.find_all(exp.CTE)}
        with closing(duckdb.connect()) as connection:
            connection.execute(f"CREATE SCHEMA {database}")
            for table in [each for each in parsed.find_all(exp.Table) if each.name not in inner]:
                schema, name, version = table.db or database, table.name, table.args.pop("version", None)
                snapshot_id = int(version.expression.name) if version else None
                if name == "breweries" and schema.endswith("_bronze"):
                    rows = _raw_records(catalog, schema, self.catalog["s3.endpoint"])
                elif name.endswith("$snapshots"):
                    rows = catalog.load_table((schema, name.removesuffix("$snapshots"))).inspect.snapshots()
                else:
                    scan = catalog.load_table((schema, name)).scan(snapshot_id=snapshot_id)
                    query.scanned_bytes += sum(task.file.file_size_in_bytes for task in scan.plan_files())
                    rows = scan.to_arrow()
                name = f"{name}{snapshot_id or ''}"
                table.set("this", exp.to_identifier(name, quoted=True))
                connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
                connection.register("rows", rows)
                connection.execute(f'CREATE TABLE IF NOT EXISTS {schema}."{name}" AS SELECT * FROM rows')
            connection.execute(f"USE {database}")
            result = connection.execute(parsed.sql(dialect="duckdb"))
            query.columns = [(name, _TYPES.get(str(kind), str(kind).lower())) for name, kind, *_ in result.description]
            query.rows = result.fetchall()
        return query


def _raw_records(catalog: Any, schema: str, endpoint: str) -> Any:  # noqa: ANN401 - PyIceberg, Arrow
    """Read each line below the table's location, with the hidden column `$path` and the projected `date`."""
    import boto3
    import pyarrow as pa

    table = catalog.glue.get_table(DatabaseName=schema, Name="breweries")["Table"]
    bucket, prefix = table["StorageDescriptor"]["Location"].removeprefix("s3://").split("/", 1)
    s3 = boto3.client("s3", endpoint_url=endpoint)
    lines: dict[str, list[str]] = {"$path": [], "date": [], "line": []}
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for key in (each["Key"] for each in page.get("Contents", [])):
            content = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
            for line in (gzip.decompress(content) if key.endswith(".gz") else content).decode().splitlines():
                day = key.partition("date=")[2][:10]
                for name, value in zip(lines, (f"s3://{bucket}/{key}", day, line), strict=True):
                    lines[name].append(value)
    return pa.table(lines)


@dataclass
class SimulatedServices:
    """Both services, with the emulator for all other calls."""

    glue: SimulatedGlue
    athena: SimulatedAthena
    emulator: str
    url: str = ""

    def answer(self, headers: Mapping[str, str], body: bytes) -> Answer:
        """Answer a request; its headers name the operation."""

        def forward() -> Answer:
            with closing(HTTPConnection(self.emulator)) as connection:
                connection.request("POST", "/", body, dict(headers))  # with the signed Host
                found = connection.getresponse()
                content = found.read()
            answer = (found.status, dict(found.headers), content)
            if found.status >= 400:
                raise Refused(answer)
            return answer

        target, operation = headers["X-Amz-Target"].split(".")
        service, simulated = {"AWSGlue": ("glue", self.glue), "AmazonAthena": ("athena", self.athena)}[target]
        try:
            if not hasattr(simulated, operation):
                return forward()
            answer = getattr(simulated, operation)(json.loads(body), forward)
            _Model().check(service, operation, answer)
        except Refused as refusal:
            return refusal.answer
        except Exception as error:  # noqa: BLE001 - the command under test must fail with it
            return refused("ValidationException", f"simulation failed: {error!r}").answer
        text = json.dumps(answer, default=datetime.timestamp)
        return 200, {"Content-Type": "application/x-amz-json-1.1"}, text.encode()


@contextmanager
def simulate_services(simulator: GlueSimulator, emulator_url: str) -> Iterator[SimulatedServices]:
    """Simulate both services for an account while the block runs."""
    services = SimulatedServices(
        SimulatedGlue(simulator),
        SimulatedAthena(emulator_url, simulator.account.region),
        emulator_url.removeprefix("http://"),
    )

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, headers, answer = services.answer(dict(self.headers), body)
            self.send_response(status)
            for name in ("Content-Type", "x-amzn-ErrorType"):
                if name in headers:
                    self.send_header(name, headers[name])
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the library's
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        services.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield services
        finally:
            services.glue.end()
            server.shutdown()
            thread.join()
