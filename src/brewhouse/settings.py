"""Settings: flags over `BREWHOUSE_*` variables over `brewhouse.toml` over the defaults below."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from brewhouse.errors import UsageError

PositiveInt = Annotated[int, Meta(ge=1)]
NonNegativeInt = Annotated[int, Meta(ge=0)]
NonNegativeFloat = Annotated[float, Meta(ge=0)]


class Secret:
    """A text that is not shown when it is printed, as an address with a token in it.

    Example:
        >>> Secret("slack://token")
        Secret('…')
    """

    def __init__(self, text: str) -> None:
        self._text = str(text)

    def reveal(self) -> str:
        """Give the text itself."""
        return self._text

    def __repr__(self) -> str:
        return "Secret('…')"


class Alerts(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who is told what: the section `[alerts]`.

    Attributes:
        urls: Apprise URLs of those who are told; as a variable, separated by blanks.
        on: What is told: failed, checks_failed, recovered, late, drift.
        quiet_hours: Nothing is sent in these hours of the machine's day, as 22:00-07:00.
        late_after_hours: The workflow is late after so many hours without a success; 0 is never.
        ping_url: Called when the workflow starts, succeeds and fails, as Healthchecks takes it.
    """

    urls: tuple[Secret, ...] = ()
    on: tuple[Literal["failed", "checks_failed", "recovered", "late", "drift"], ...] = (
        "failed",
        "checks_failed",
        "recovered",
        "late",
    )
    quiet_hours: Annotated[str, Meta(pattern=r"^$|^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d$")] = ""
    late_after_hours: NonNegativeFloat = 0.0
    ping_url: Secret | None = None


class Schedule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When the workflow runs by itself, while the console runs: the section `[schedule]`.

    Attributes:
        cron: Five fields as cron has them: minute, hour, day of the month, month, day of the week; empty is never.
        time_zone: Whose clock the cron is about, as `Europe/Berlin`.
    """

    cron: str = ""
    time_zone: str = "UTC"


class Console(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The web console that `brewhouse serve` opens: the section `[console]`.

    Attributes:
        password: What who wants in must know; without it one is made where the console listens beyond this machine.
        hosts: Further names it answers to, as that of a proxy in front of it; as a variable, separated by blanks.
    """

    password: Secret | None = None
    hosts: tuple[str, ...] = ()


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything a run can be told; each name carries its unit.

    Attributes:
        lake: The lake's root: a folder, or `s3://bucket/prefix`.
        catalog: Which Iceberg catalog knows the tables of a lake on S3, `glue` or `rest`; a local one has its own.
        catalog_uri: Where the REST catalog answers.
        catalog_database: What the names of the catalog's databases begin with: `brewhouse` gives `brewhouse_silver`.
        lock_expires_s: Seconds after which the lock of a run that died is free, for a lake on S3.
        models: Folder of the user's own models, `silver/*.sql` and `gold/*.sql`; none without it.
        source_url: Base URL of the API, without a trailing slash.
        concurrency: Requests under way at once.
        per_page_rows: Breweries asked for in a page; the service allows 200 at most.
        timeout_s: Seconds a request may take before it is tried again.
        max_tries: How often one request is sent before the job gives up on it.
        retry_wait_s: Seconds before the second try; doubles with each further one.
        retry_wait_max_s: Seconds a wait between two tries never exceeds.
        max_takes: How often a snapshot that disagrees with the source is taken again, the first time included.
        retake_wait_s: Seconds before the whole is taken again, for a source that is being updated.
        accept_holes: How many breweries that the source cannot give a published snapshot may lack.
        max_holes: How many such rows are looked for before the source counts as broken; at least `accept_holes`.
        resume_within_hours: An interrupted snapshot older than this is not taken up again.
        max_body_bytes: A longer answer of the source is refused.
        max_count_drop_percent: A larger fall of the number of breweries stops the publishing.
        engine: What runs the models: duckdb in this process, or spark on this machine or a cluster.
        spark_master: Where Spark runs, as `local[*]` or `spark://host:7077`, unless a session is there already.
        spark_s3a: Whether Spark itself reads a lake on S3, by S3A of Maven Central; else its workers' Python does.
        memory_limit_mb: Megabytes a job may use on this machine; beyond, the SQL engine spills to disk.
        keep_snapshots_days: Maintenance forgets table snapshots that are older.
        keep_snapshots_last: So many of a table's newest snapshots are kept, however old.
        target_file_mb: Megabytes a table's file should have; maintenance makes one of those below a quarter.
        log_format: How a run tells on standard error how it gets on: text, or json for a line of JSON each.
        alerts: Who is told what.
        schedule: When the workflow runs by itself.
        console: The web console.
    """

    lake: str = "lake"
    catalog: Literal["glue", "rest"] = "glue"
    catalog_uri: str | None = None
    catalog_database: Annotated[str, Meta(pattern="^[a-z][a-z0-9_]*$")] = "brewhouse"
    lock_expires_s: Annotated[float, Meta(ge=2)] = 120.0
    models: Path | None = None
    source_url: str = "https://api.openbrewerydb.org/v1"
    concurrency: PositiveInt = 4
    per_page_rows: Annotated[int, Meta(ge=1, le=200)] = 200
    timeout_s: Annotated[float, Meta(gt=0)] = 30.0
    max_tries: PositiveInt = 6
    retry_wait_s: NonNegativeFloat = 0.5
    retry_wait_max_s: NonNegativeFloat = 30.0
    max_takes: PositiveInt = 3
    retake_wait_s: NonNegativeFloat = 2.0
    accept_holes: NonNegativeInt = 0
    max_holes: NonNegativeInt = 20
    resume_within_hours: NonNegativeFloat = 12.0
    max_body_bytes: PositiveInt = 64 * 1024 * 1024
    max_count_drop_percent: Annotated[float, Meta(ge=0, le=100)] = 20.0
    engine: Literal["duckdb", "spark"] = "duckdb"
    spark_master: str = "local[*]"
    spark_s3a: bool = False
    memory_limit_mb: PositiveInt = 2048
    keep_snapshots_days: Annotated[float, Meta(ge=0, le=36_500)] = 30.0
    keep_snapshots_last: PositiveInt = 10
    target_file_mb: PositiveInt = 128
    log_format: Literal["text", "json"] = "text"
    alerts: Alerts = Alerts()
    schedule: Schedule = Schedule()
    console: Console = Console()


_SECTIONS: dict[str, type[msgspec.Struct]] = {"alerts": Alerts, "schedule": Schedule, "console": Console}


def load(flags: Mapping[str, Any], *, folder: Path = Path(), environ: Mapping[str, str] = os.environ) -> Settings:
    """Put the settings together from their four places.

    Args:
        flags: Options given on the command line by setting name; None means not given.
        folder: Where `brewhouse.toml` is looked for.
        environ: The environment, from which `BREWHOUSE_<SETTING>` is read.

    Returns:
        The settings of this command.

    Raises:
        UsageError: A name no setting has, or a value its setting does not allow; says where it stands.

    Example:
        >>> load({"concurrency": 2}, environ={"BREWHOUSE_CONCURRENCY": "8", "BREWHOUSE_TIMEOUT_S": "5"}).concurrency
        2
    """
    file = folder / "brewhouse.toml"
    places: list[tuple[str, dict[str, Any]]] = [
        (str(file), _read_toml(file)),
        ("the environment (BREWHOUSE_*)", _read_environment(environ)),
        ("the command line", {name: value for name, value in flags.items() if value is not None}),
    ]
    merged: dict[str, Any] = {}
    for where, values in places:
        _convert(values, where)
        sections = {name: {**merged.get(name, {}), **values[name]} for name in _SECTIONS if name in values}
        merged.update({**values, **sections})
    settings = _convert(merged, "the settings")
    return msgspec.structs.replace(settings, source_url=settings.source_url.rstrip("/"))


def as_environment(settings: Settings) -> dict[str, str]:
    """Write settings as the variables they are read from, so that a process started with these has the same.

    Example:
        >>> variables = as_environment(Settings(concurrency=2, schedule=Schedule(cron="0 6 * * *")))
        >>> variables["BREWHOUSE_CONCURRENCY"], variables["BREWHOUSE_SCHEDULE_CRON"]
        ('2', '0 6 * * *')
    """
    values = {name: getattr(settings, name) for name in Settings.__struct_fields__ if name not in _SECTIONS}
    for section, kind in _SECTIONS.items():
        inner = getattr(settings, section)
        values |= {f"{section}_{name}": getattr(inner, name) for name in kind.__struct_fields__}
    return {f"BREWHOUSE_{name.upper()}": _as_text(value) for name, value in values.items() if value is not None}


def _as_text(value: object) -> str:
    if isinstance(value, tuple):
        return " ".join(_as_text(part) for part in value)
    return value.reveal() if isinstance(value, Secret) else str(value)


def _read_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """Read `BREWHOUSE_<SETTING>`, and `BREWHOUSE_<SECTION>_<SETTING>` with lists separated by blanks."""
    names = [name for name in Settings.__struct_fields__ if name not in _SECTIONS]
    found: dict[str, Any] = {name: environ[key] for name in names if (key := f"BREWHOUSE_{name.upper()}") in environ}
    for section, kind in _SECTIONS.items():
        values: dict[str, Any] = {
            field.name: environ[key].split() if isinstance(field.default, tuple) else environ[key]
            for field in msgspec.structs.fields(kind)
            if (key := f"BREWHOUSE_{section.upper()}_{field.name.upper()}") in environ
        }
        if values:
            found[section] = values
    return found


def _read_toml(file: Path) -> dict[str, Any]:
    if not file.exists():
        return {}
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} is no valid TOML: {error}.", hint="Mend that line.") from error


def _convert(values: Mapping[str, Any], where: str) -> Settings:
    try:
        return msgspec.convert(values, Settings, strict=False, dec_hook=lambda kind, value: kind(value))
    except msgspec.ValidationError as error:
        raise UsageError(f"A setting in {where} cannot be used: {error}.", hint="See `docs/settings.md`.") from error
