"""What a job works with, and what it returns."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Self

import msgspec

from brewhouse.checks.check import Check
from brewhouse.events.details import ChecksFinished, Detail, Level, ModelStarted, SchemaDriftFound
from brewhouse.events.event import EventLog
from brewhouse.lake.lake import Lake
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
        counts: Records in and out, by name.
        published: Each published table with its `table`, `snapshot` and `rows`.
    """

    message: str
    counts: dict[str, int] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    published: list[dict[str, str | int]] = field(default_factory=list)


class RunContext:
    """The lake, the settings, the run and its events, and the engine and tables, opened on first use.

    Use it as a context manager: leaving it closes the engine.

    Attributes:
        job: Name of the job.
        events: Event log of the run.
    """

    def __init__(self, lake: Lake, settings: Settings, events: EventLog, job: str) -> None:
        self.lake = lake
        self.settings = settings
        self.events = events
        self.job = job
        self._opened = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    @property
    def run(self) -> str:
        """Id of the run."""
        return self.events.run

    @cached_property
    def engine(self) -> Engine:
        """The engine that runs the models."""
        from brewhouse.engines.choose import open_engine

        return self._opened.enter_context(open_engine(self.settings))

    @cached_property
    def tables(self) -> Tables:
        """The tables of the lake."""
        from brewhouse.iceberg.tables import Tables

        return Tables(self.lake)

    def emit(self, detail: Detail) -> None:
        """Emit an event of this job."""
        self.events.emit(msgspec.structs.replace(detail, job_name=self.job))

    def emit_model(self, name: str) -> None:
        """Emit that a model starts to run; a rebuild, which runs each many times, counts snapshots instead."""
        if self.job != REBUILD:
            self.emit(ModelStarted(model=name))

    def emit_checks(self, checks: Sequence[Check]) -> None:
        """Emit the results of checks as one event."""
        failed = [check for check in checks if not check.passed]
        names = "; ".join(f"{check.table}: {check.name} ({check.violations} violations)" for check in failed)
        summary = f"{len(checks) - len(failed)} checks passed, {len(failed)} failed"
        self.emit(
            ChecksFinished(
                severity=_severity(failed),
                message=f"{summary}: {names}" if names else summary,
                checks=[{**msgspec.to_builtins(check), "passed": check.passed} for check in checks],
            )
        )

    def emit_drift(self, drift: Sequence[SchemaDrift]) -> None:
        """Emit an event for each deviation of the source from its contract."""
        for found in drift:
            text = f"drift: {found.name}: {found.detail} ({found.count} times, for example {found.example})"
            self.emit(SchemaDriftFound(severity="WARN", message=text, **msgspec.structs.asdict(found)))


def _severity(failed: Sequence[Check]) -> Level:
    if not failed:
        return "INFO"
    return "ERROR" if any(check.severity == "error" for check in failed) else "WARN"
