"""What a job works with, and what it returns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Self

import msgspec

from brewhouse.checks.check import Check
from brewhouse.events import details
from brewhouse.events.event import EventLog
from brewhouse.iceberg.table_spec import Publication
from brewhouse.ids import CLOCK_TOLERANCE, time_of
from brewhouse.lake.lake import Lake
from brewhouse.lake.s3 import SCHEME
from brewhouse.settings import Settings
from brewhouse.source import SchemaDrift

if TYPE_CHECKING:
    from brewhouse.engines.engine import Engine
    from brewhouse.iceberg.tables import Tables

REBUILD = "rebuild"
"""Name of the job that rebuilds all tables from many raw snapshots."""


@dataclass
class JobResult:
    """The result of a job.

    Attributes:
        published: Each published table with its `table`, `snapshot` and `rows`.
        expired_runs: Runs and raw snapshots of which it expired the last state of a table.
    """

    message: str
    counts: dict[str, int] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    published: list[dict[str, str | int]] = field(default_factory=list)
    raw_snapshot: str = ""
    expired_runs: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class StagedTables:
    """Tables of a zone as files that no reader sees yet, with their models' version and the results of their checks."""

    zone: str
    version: str
    raw_snapshot: str
    publications: list[Publication]
    checks: list[Check]
    counts: dict[str, int] = field(default_factory=dict)


class RunContext:
    """The lake, the settings, the run and its events, and the engine and tables, opened on first use.

    Attributes:
        jobs: Names of the jobs that run in this process, in order.
        planned: Names of all jobs of the run, in order.
        staged: Tables of earlier jobs that are published together with those of a later one.
        raw_snapshot: Run id of the raw snapshot that this run completed, here or in another process; empty without one.
        signals: The signals received so far, the first of which stops the run; 0 is none and ignores the others.
    """

    def __init__(
        self, lake: Lake, settings: Settings, events: EventLog, jobs: Sequence[str], planned: Sequence[str] = ()
    ) -> None:
        self.lake = lake
        self.settings = settings
        self.events = events
        self.jobs = tuple(jobs)
        self.planned = tuple(planned or jobs)
        self.job = self.jobs[0]
        self.staged: list[StagedTables] = []
        self.raw_snapshot = ""
        self.signals: list[int] = []
        self._opened = ExitStack()

    @contextmanager
    def running(self, job: str) -> Iterator[Self]:
        """Run a job in the block; the last one closes the engine on exit, as does one that fails."""
        self.job = job
        with ExitStack() as on_exit:
            on_exit.callback(self.close)
            yield self
            if job != self.jobs[-1]:
                on_exit.pop_all()

    def close(self) -> None:
        """Close the engine, which all jobs of this process share."""
        self._opened.close()
        self.__dict__.pop("engine", None)

    def ignore_stops(self) -> None:
        """Let no signal stop the run from now on: it is about to commit or to end, and is not stopped once it has."""
        self.signals.append(0)

    def is_followed_by(self, job: str) -> bool:
        """Return whether a job runs later in this run, perhaps in another process."""
        return job in self.planned[self.planned.index(self.job) + 1 :]

    def is_elsewhere(self, job: str) -> bool:
        """Return whether a job of this run runs in another process."""
        return job in self.planned and job not in self.jobs

    @property
    def run(self) -> str:
        """Id of the run."""
        return self.events.run

    @cached_property
    def engine(self) -> Engine:
        """The engine that runs the models."""
        return self._opened.enter_context(open_engine(self.settings))

    @cached_property
    def tables(self) -> Tables:
        """The tables of the lake, in their last whole state."""
        from brewhouse.iceberg.tables import Tables

        tables = Tables(self.lake)
        if message := tables.recover():
            self.warn(message)
        return tables

    def emit(self, detail: details.Detail) -> None:
        """Emit an event of this job."""
        self.events.emit(msgspec.structs.replace(detail, job_name=self.job))

    def emit_model(self, name: str) -> None:
        """Emit that a model starts to run; a rebuild, which runs each many times, counts snapshots instead."""
        if self.job != REBUILD:
            self.emit(details.ModelStarted(model=name))

    def emit_pages(self, done: int, total: int) -> None:
        """Emit how many pages of how many are fetched, once per percent."""
        if 100 * done // total > 100 * (done - 1) // total:
            self.events.emit(details.PagesFetched(job_name=self.job, done=done, total=total))

    def emit_snapshots(self, done: int, total: int) -> None:
        """Emit how many raw snapshots of how many are processed."""
        self.events.emit(details.SnapshotsProcessed(job_name=self.job, done=done, total=total))

    def emit_checks(self, checks: Sequence[Check]) -> None:
        """Emit the results of checks as one event."""
        failed = [check for check in checks if check.violations]
        names = "; ".join(f"{check.table}: {check.name} ({check.violations} violations)" for check in failed)
        summary = f"{len(checks) - len(failed)} checks passed, {len(failed)} failed"
        severity: details.Level = "ERROR" if any(check.severity == "error" for check in failed) else "WARN"
        self.emit(
            details.ChecksFinished(
                severity=severity if failed else "INFO",
                message=f"{summary}: {names}" if names else summary,
                checks=[{**msgspec.to_builtins(check), "passed": not check.violations} for check in checks],
            )
        )

    def warn(self, message: str) -> None:
        """Emit a warning that fails neither the job nor the run."""
        self.emit(details.Warned(message=message))

    def check_clock(self, last: str, what: str) -> None:
        """Warn if the time in an id of this lake is ahead of the clock: that clock was wrong, or this one is."""
        moment, now = time_of(last), datetime.now(UTC)
        if moment and moment - now > CLOCK_TOLERANCE:
            name = "the clock was not set back"
            text = (
                f"the {what} {last} is dated {moment:%Y-%m-%dT%H:%M:%SZ}, but the clock shows "
                f"{now:%Y-%m-%dT%H:%M:%SZ}; this run counts as later. Set the clock if it is wrong. Else that date is: "
                "the order is kept, and the warning ends then"
            )
            self.emit_checks(
                [Check(name=name, table="bronze.breweries", severity="warning", violations=1, example=text)]
            )

    def emit_drift(self, drift: Sequence[SchemaDrift]) -> None:
        """Emit an event for each deviation of the source from its contract."""
        for found in drift:
            text = f"drift: {found.name}: {found.detail} ({found.count} times, for example {found.example})"
            self.emit(details.SchemaDriftFound(severity="WARN", message=text, **msgspec.structs.asdict(found)))


@contextmanager
def open_engine(settings: Settings) -> Iterator[Engine]:
    """Open the engine that the settings select, without importing the other one, and close it on exit.

    Raises:
        BrewhouseError: PySpark, Java or S3A is missing, or Spark cannot be started.
    """
    engine: Engine
    if settings.engine == "spark":
        from brewhouse.engines.spark import SparkEngine
        from brewhouse.engines.spark_session import open_session

        s3a = settings.lake.startswith(SCHEME)
        session = open_session(settings.spark_master, settings.memory_limit_mb, s3a=s3a)
        engine = SparkEngine(session, settings.target_file_mb)
    else:
        from brewhouse.engines.duckdb import DuckDBEngine

        engine = DuckDBEngine(settings.memory_limit_mb)
    with closing(engine):
        yield engine
