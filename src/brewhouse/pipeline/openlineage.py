"""OpenLineage: runs, jobs and their datasets are sent to a lineage server, if its client is configured.

A thread sends the events, so that the run waits for the server only for a moment at its end. A server that fails, or
does not respond then, fails no run; it is reported once.
"""

from __future__ import annotations

import logging
import queue
import sys
import threading
import uuid
from typing import TYPE_CHECKING, Any

from brewhouse.errors import install_command, redacted
from brewhouse.events.details import Detail
from brewhouse.events.envelope import CHECK, JOB, PUBLISHED, RUN, Event
from brewhouse.events.run_reports import ENDED
from brewhouse.lake.lake import Lake

if TYPE_CHECKING:
    from openlineage.client.client import OpenLineageClient
    from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, RunEvent

BRONZE = "bronze.breweries"
_PRODUCER = "https://pypi.org/project/brewhouse"
_WAIT_S = 3.0
_MAX_WAITS = 3
_RETRIES = 2  # three attempts take 0.6 s; those of the client's own default, six, take 9 s
_STATES = {"RUNNING": "START", "SUCCEEDED": "COMPLETE", "FAILED": "FAIL", "STOPPED": "ABORT", "TIMEOUT": "FAIL"}
_DERIVED = ("reference.", "previous.")  # made of inputs that are listed anyway

_log = logging.getLogger(__name__)


class LineageSender:
    """Listener that sends the events of one run to the lineage server."""

    def __init__(self, lake: Lake, source_url: str, workflow: str) -> None:
        self._translator = _Translator(lake, source_url, workflow)
        self._events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._sent = 0
        self._has_warned = False
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def listen(self, detail: Detail, event: Event) -> None:
        """Queue an event; never blocks."""
        if detail.detail_type:
            self._events.put(event)

    def close(self) -> None:
        """Send what is queued: wait 3 s, and again as long as the server accepts events, 9 s in total."""
        self._events.put(None)
        for _ in range(_MAX_WAITS):
            before = self._sent
            self._thread.join(_WAIT_S)
            if not self._thread.is_alive() or self._sent == before:
                break
        if self._thread.is_alive():
            self._warn("the server did not respond in time")

    def _warn(self, reason: str) -> None:
        if not self._has_warned:
            self._has_warned = True
            message = f"OpenLineage did not receive all events of this run: {redacted(reason)}"
            print(f"brewhouse: {message}", file=sys.stderr)
            _log.warning(message)

    def _work(self) -> None:
        try:
            self._send_all()
        except ImportError:
            self._warn(f"its client is not installed. Run `{install_command('lineage')}`.")
        except Exception as error:  # noqa: BLE001 - whatever the client raises must not fail the run
            self._warn(f"{type(error).__name__}: {error}")

    def _send_all(self) -> None:
        from openlineage.client.client import OpenLineageClient
        from openlineage.client.transport.http_common import DEFAULT_RETRY_CONFIG

        client: OpenLineageClient = OpenLineageClient()
        for transport in getattr(client.transport, "transports", [client.transport]):
            config: Any = getattr(transport, "config", None)
            if getattr(config, "retry", None) == DEFAULT_RETRY_CONFIG:  # not set by the user
                config.retry = {**DEFAULT_RETRY_CONFIG, "total": _RETRIES}
        while (event := self._events.get()) is not None:
            for sent in self._translator.translate(event):
                client.emit(sent)
                self._sent += 1
        client.close(timeout=_WAIT_S)


class _Translator:
    """Translates events to OpenLineage's, and keeps a job's checks and tables until its end."""

    def __init__(self, lake: Lake, source_url: str, workflow: str) -> None:
        self._lake = lake
        self._namespace = lake.root.as_uri()
        self._source_url = source_url
        self._workflow = workflow
        self._checks: list[dict[str, Any]] = []
        self._tables: list[dict[str, Any]] = []

    def translate(self, event: Event) -> list[RunEvent]:
        """Translate an event; most give nothing by themselves."""
        detail = event.detail
        if event.detail_type == CHECK:
            self._checks += detail["checks"]
        elif event.detail_type == PUBLISHED:
            self._tables += detail["tables"]
        elif event.detail_type == RUN and detail["state"] in _STATES:
            return [self._event(event, self._workflow, _uuid(event.run), [], [])]
        elif event.detail_type == JOB and detail["state"] in _STATES:
            is_end = detail["state"] in ENDED
            inputs, outputs = self._datasets(event) if is_end else ([], [])
            sent = self._event(
                event, f"{self._workflow}.{detail['jobName']}", _uuid(detail["jobRunId"]), inputs, outputs
            )
            if is_end:
                self._checks, self._tables = [], []
            return [sent]
        return []

    def _event(
        self, event: Event, name: str, run: str, inputs: list[InputDataset], outputs: list[OutputDataset]
    ) -> RunEvent:
        from openlineage.client.event_v2 import Run, RunEvent, RunState
        from openlineage.client.facet_v2 import error_message_run, parent_run

        facets: dict[str, Any] = {}
        if event.detail_type == JOB:
            parent = parent_run.Run(runId=_uuid(event.run))
            job = parent_run.Job(namespace=self._namespace, name=self._workflow)
            facets["parent"] = parent_run.ParentRunFacet(run=parent, job=job)
        if event.detail["state"] in {"FAILED", "TIMEOUT"}:
            facets["errorMessage"] = error_message_run.ErrorMessageRunFacet(
                message=event.detail["message"], programmingLanguage="Python"
            )
        return RunEvent(
            eventType=RunState[_STATES[event.detail["state"]]],
            eventTime=event.time,
            run=Run(runId=run, facets=facets),
            job=self._job(name),
            producer=_PRODUCER,
            inputs=inputs,
            outputs=outputs,
        )

    def _job(self, name: str) -> Job:
        from openlineage.client.event_v2 import Job
        from openlineage.client.facet_v2 import job_type_job

        kind = "JOB" if "." in name else "WORKFLOW"
        facet = job_type_job.JobTypeJobFacet(processingType="BATCH", integration="BREWHOUSE", jobType=kind)
        return Job(namespace=self._namespace, name=name, facets={"jobType": facet})

    def _datasets(self, event: Event) -> tuple[list[InputDataset], list[OutputDataset]]:
        """List the datasets that a job read and wrote."""
        from openlineage.client.event_v2 import InputDataset

        if event.detail["jobName"] == "extract":
            source = InputDataset(namespace=self._source_url, name="breweries")
            records = event.detail.get("counts", {}).get("records")
            return [source], [] if records is None else [self._output(BRONZE, records, None)]
        written = {str(table["table"]) for table in self._tables}
        read = [] if event.detail["state"] != "SUCCEEDED" else [n for n in _inputs_of(written) if n not in written]
        inputs = [InputDataset(namespace=self._namespace, name=name, facets=self._facets(name)) for name in read]
        checked = sorted({str(check["table"]) for check in self._checks})
        inputs += [
            InputDataset(namespace=self._namespace, name=name, inputFacets=self._assertions(name)) for name in checked
        ]
        return inputs, [self._output(str(t["table"]), int(t["rows"]), t["snapshot"]) for t in self._tables]

    def _output(self, name: str, rows: int, snapshot: object) -> OutputDataset:
        from openlineage.client.event_v2 import OutputDataset
        from openlineage.client.facet_v2 import dataset_version_dataset, output_statistics_output_dataset

        facets = self._facets(name)
        if snapshot is not None:
            facets["version"] = dataset_version_dataset.DatasetVersionDatasetFacet(datasetVersion=str(snapshot))
        statistics = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(rowCount=rows)
        return OutputDataset(
            namespace=self._namespace, name=name, facets=facets, outputFacets={"outputStatistics": statistics}
        )

    def _facets(self, name: str) -> dict[str, Any]:
        from openlineage.client.facet_v2 import schema_dataset

        fields = [
            schema_dataset.SchemaDatasetFacetFields(name=column, type=kind, description=description or None)
            for column, kind, description in self._columns(name)
        ]
        return {"schema": schema_dataset.SchemaDatasetFacet(fields=fields)} if fields else {}

    def _columns(self, name: str) -> list[tuple[str, str, str]]:
        from brewhouse.api.contract import FIELDS
        from brewhouse.iceberg.tables import Tables

        if name == BRONZE:
            return [(field, "string", "") for field in FIELDS]
        return [(column.name, column.type, column.description) for column in Tables(self._lake).describe(name).columns]

    def _assertions(self, table: str) -> dict[str, Any]:
        """Describe the checks of a table; OpenLineage has this facet for inputs only, so the table is listed as one."""
        from openlineage.client.facet_v2 import data_quality_assertions_dataset as quality

        assertions = [
            quality.Assertion(assertion=check["name"], success=check["passed"], actual=str(check["found"]))
            for check in self._checks
            if check["table"] == table
        ]
        return {"dataQualityAssertions": quality.DataQualityAssertionsDatasetFacet(assertions=assertions)}


def _inputs_of(written: set[str]) -> list[str]:
    """List the published tables and the raw snapshot that the models of some tables read."""
    from brewhouse.models.project import models_of

    zones = {name.partition(".")[0] for name in written}
    read = {name for model in models_of(*zones & {"silver", "gold"}) if model.name in written for name in model.reads}
    tables = {
        name if name.startswith(("silver.", "gold.")) else BRONZE for name in read if not name.startswith(_DERIVED)
    }
    return sorted(tables)


def _uuid(text: str) -> str:
    """Derive a UUID from an id, since OpenLineage accepts nothing else."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"brewhouse:{text}"))
