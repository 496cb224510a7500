"""The events of Brewhouse, one type each; `brewhouse.events.event.EventLog` writes them in EventBridge's envelope.

The fields of a type are the keys of an event's `detail`, in camel case; `UNSET` fields are not written. Job events have
the detail of AWS Glue's own `Glue Job State Change`, plus fields of ours, and states are Glue's: WAITING (queued),
RUNNING, SUCCEEDED, FAILED, STOPPED, TIMEOUT.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import msgspec
from msgspec import UNSET, UnsetType

from brewhouse.events.envelope import ALERT_FAILED, ALERT_SENT, CHECK, DRIFT, JOB, PUBLISHED, RUN, SCHEDULE, WARNING

TRIGGER_VARIABLE = "_BREWHOUSE_TRIGGER"
"""Environment variable in which a launcher of runs names itself."""

Level = Literal["INFO", "WARN", "ERROR"]


class Detail(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What every event has.

    Attributes:
        detail_type: The envelope's `detail-type`; events without one reach listeners only and are not written.
        job_run_id: Empty for the default, `<job>-<run>`.
    """

    detail_type: ClassVar[str] = ""

    job_name: str = ""
    job_run_id: str = ""
    state: str = "RUNNING"
    severity: Level = "INFO"
    message: str = ""


class RunStarted(Detail, frozen=True, kw_only=True):
    """A run started, or continues in another process of an external scheduler; `jobs` are planned, in order.

    Attributes:
        trigger: What started it: cli, console, schedule or glue.
    """

    detail_type: ClassVar[str] = RUN

    workflow: str
    jobs: Sequence[str]
    trigger: str = "cli"


class RunEnded(Detail, frozen=True, kw_only=True):
    """A run succeeded, failed or was stopped; `interrupted` if it was killed and a later run recorded its end."""

    detail_type: ClassVar[str] = RUN

    workflow: str
    jobs: Sequence[str] | UnsetType = UNSET
    seconds: float
    error_type: str | UnsetType = UNSET
    interrupted: bool | UnsetType = UNSET


class JobQueued(Detail, frozen=True, kw_only=True):
    """A job of a run waits for the ones before it."""

    detail_type: ClassVar[str] = JOB

    state: str = "WAITING"


class JobStarted(Detail, frozen=True, kw_only=True):
    """A job of a run started."""

    detail_type: ClassVar[str] = JOB


class JobEnded(Detail, frozen=True, kw_only=True):
    """A job succeeded, failed or was stopped.

    Attributes:
        counts: Records in and out, by name.
        raw_snapshot: Run id of the raw snapshot that an extract completed.
        expired_runs: Runs and raw snapshots whose states of the tables expired.
    """

    detail_type: ClassVar[str] = JOB

    seconds: float
    counts: Mapping[str, int] | UnsetType = UNSET
    raw_snapshot: str | UnsetType = UNSET
    expired_runs: Sequence[str] | UnsetType = UNSET
    error_type: str | UnsetType = UNSET
    interrupted: bool | UnsetType = UNSET


class ChecksFinished(Detail, frozen=True, kw_only=True):
    """The checks of a job finished; each is a `Check` with `passed`."""

    detail_type: ClassVar[str] = CHECK

    checks: Sequence[Mapping[str, Any]]


class SchemaDriftFound(Detail, frozen=True, kw_only=True):
    """The source deviates from its contract; see `brewhouse.source.SchemaDrift`."""

    detail_type: ClassVar[str] = DRIFT

    name: str
    detail: str
    count: int
    example: str


class Warned(Detail, frozen=True, kw_only=True):
    """A part of a job failed that fails neither the job nor the run; `message` says which and why."""

    detail_type: ClassVar[str] = WARNING

    severity: Level = "WARN"


class TablesPublished(Detail, frozen=True, kw_only=True):
    """A job published tables; each has `table`, `snapshot` and `rows`."""

    detail_type: ClassVar[str] = PUBLISHED

    tables: Sequence[Mapping[str, str | int]]


class ScheduleSwitched(Detail, frozen=True, kw_only=True):
    """The schedule was switched, to the state ON or OFF."""

    detail_type: ClassVar[str] = SCHEDULE

    cron: str | UnsetType = UNSET
    time_zone: str | UnsetType = UNSET


class ScheduledRunRefused(Detail, frozen=True, kw_only=True):
    """The run of a due time could not be started."""

    detail_type: ClassVar[str] = SCHEDULE

    state: str = "FAILED"
    severity: Level = "WARN"


class NotificationSent(Detail, frozen=True, kw_only=True):
    """A message about incidents was sent; `receiver` is a hash of its address."""

    detail_type: ClassVar[str] = ALERT_SENT

    workflow: str
    kind: str
    incidents: Sequence[str]
    receiver: str


class NotificationFailed(Detail, frozen=True, kw_only=True):
    """A message or a heartbeat could not be sent; `receiver` is a hash of its address.

    `unconfirmed` are the incidents of a message that was sent, but not acknowledged in time.
    """

    detail_type: ClassVar[str] = ALERT_FAILED

    severity: Level = "WARN"
    kind: str
    receiver: str
    unconfirmed: Sequence[str] | UnsetType = UNSET


class PagesFetched(Detail, frozen=True, kw_only=True):
    """Progress of the extract: pages fetched so far, and how many there are."""

    done: int
    total: int


class SnapshotsProcessed(Detail, frozen=True, kw_only=True):
    """Progress of a rebuild or a backfill: raw snapshots processed so far, and how many there are."""

    done: int
    total: int


class ModelStarted(Detail, frozen=True, kw_only=True):
    """Progress of a transform or an aggregate: the engine starts to run a model."""

    model: str
