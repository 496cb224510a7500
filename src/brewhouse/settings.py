"""Settings: flags override `BREWHOUSE_*` variables, which override `brewhouse.toml`, which overrides defaults."""

from __future__ import annotations

import base64
import os
import re
import sys
import tomllib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import unquote

import msgspec
from msgspec import Meta

from brewhouse.errors import MIN_SECRET_CHARACTERS, SECRETS, UsageError

PositiveInt = Annotated[int, Meta(ge=1)]
NonNegativeInt = Annotated[int, Meta(ge=0)]
NonNegativeFloat = Annotated[float, Meta(ge=0)]


_PUBLIC_PARAMETERS = {"format", "lang", "language", "locale", "version"}


class Secret:
    """A text that is masked when printed and removed from errors, such as a URL with a token.

    Example:
        >>> Secret("slack://token")
        Secret('…')
    """

    def __init__(self, text: str) -> None:
        self._text = str(text)
        SECRETS.update(map(unquote, self._secrets()))

    def reveal(self) -> str:
        """Return the text."""
        return self._text

    def __repr__(self) -> str:
        return f"{type(self).__name__}('…')"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)

    def _secrets(self) -> Sequence[str]:
        return [self._text]


class SecretUrl(Secret):
    """A URL that may hold credentials; printed and stored as its address alone: scheme, host, port and path.

    Example:
        >>> print(SecretUrl("https://me:secret@example.com/v1/?api_key=abc"))
        https://example.com/v1
    """

    def __init__(self, text: str) -> None:
        scheme, separator, rest = str(text).strip().rpartition("://")
        self._login = _login(rest)
        rest = rest.removeprefix(self._login)
        address = re.split("[?#]", rest)[0]
        self._query = rest.removeprefix(address)
        self._scheme, self._address = f"{scheme}{separator}", address.rstrip("/")
        super().__init__(text)

    def __str__(self) -> str:
        return f"{self._scheme}{self._address}"

    def resource(self, path: str, query: str = "") -> str:
        """Return the full URL of a resource below this one, with its credentials."""
        parameters = "&".join(filter(None, (query, self._query.lstrip("?").partition("#")[0])))
        url = f"{self._scheme}{self._login}{self._address}{path}"
        return f"{url}?{parameters}" if parameters else url

    def _secrets(self) -> Sequence[str]:
        login = self._login.removesuffix("@")
        user, _, password = login.partition(":")
        basic = base64.b64encode(unquote(login).encode()).decode()
        names_and_values = (part.rpartition("=") for part in re.split("[?&;#]", self._query))
        values = [value for name, _, value in names_and_values if name not in _PUBLIC_PARAMETERS]
        return [login, password, basic, *values, *([] if len(password) >= MIN_SECRET_CHARACTERS else [user])]


def _login(rest: str) -> str:
    """Return what stands before the host, with the `@`, even if the password has characters that it should not."""
    if re.match(r"(\[[^]/?#@]*\]|[^/?#@:]*)(:\d*)?([/?#]|$)", rest):
        return ""
    end = re.split("[?#]", rest)[0].rfind("@")
    return rest[: (end if end >= 0 else rest.rfind("@")) + 1]


class AlertSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Notifications: the section `[alerts]`.

    Attributes:
        urls: Apprise URLs of the recipients; as a variable, separated by spaces.
        kinds: Kinds of message to send: failed, checks_failed, recovered, late, drift.
        quiet_hours: Local hours in which nothing is sent, such as 22:00-07:00.
        late_after_hours: Hours without a success after which the workflow is late; 0 disables the message.
        ping_url: Heartbeat URL, called when the workflow starts, succeeds and fails, as Healthchecks expects it.
    """

    urls: tuple[Secret, ...] = ()
    kinds: tuple[Literal["failed", "checks_failed", "recovered", "late", "drift"], ...] = (
        "failed", "checks_failed", "recovered", "late",
    )  # fmt: skip
    quiet_hours: Annotated[str, Meta(pattern=r"^$|^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d$")] = ""
    late_after_hours: NonNegativeFloat = 0.0
    ping_url: Secret | None = None


class ScheduleSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The schedule of the workflow while the console runs: the section `[schedule]`.

    Attributes:
        cron: Five cron fields: minute, hour, day of the month, month, day of the week; empty disables the schedule.
        time_zone: Time zone of the cron fields, such as `Europe/Berlin`.
    """

    cron: str = ""
    time_zone: str = "UTC"


class ConsoleSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The web console that `brewhouse serve` starts: the section `[console]`.

    Attributes:
        password: Console password; generated when the console listens beyond this machine and none is set.
        allowed_hosts: Further host names to accept, such as a reverse proxy's; as a variable, separated by spaces.
    """

    password: Secret | None = None
    allowed_hosts: tuple[str, ...] = ()


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The settings of a command; each numeric name carries its unit.

    Attributes:
        lake: Root of the lake: a folder or `s3://bucket/prefix`.
        catalog: Iceberg catalog of a lake on S3, `glue` or `rest`; a local lake has its own.
        catalog_uri: URL of the REST catalog.
        catalog_database_prefix: Prefix of the catalog's databases: `brewhouse` yields `brewhouse_silver`.
        lock_ttl_s: Seconds until the lock of an interrupted run on S3 expires.
        models: Folder of user-defined models, `silver/*.sql` and `gold/*.sql`.
        source_url: Base URL of the API; user, password and query are sent, but neither stored nor printed.
        concurrency: Maximum number of concurrent requests.
        per_page_rows: Breweries per page; the API allows at most 200.
        timeout_s: Timeout of a request, in seconds.
        max_attempts: Maximum number of attempts per request.
        retry_initial_wait_s: Seconds before the second attempt; doubles with each further one.
        retry_wait_max_s: Maximum wait between two attempts, in seconds.
        max_extract_attempts: Maximum number of attempts at a snapshot that agrees with the source's counts.
        compared_pages: Number of pages that are fetched again at the end and compared, since the counts alone do not
            show every change of the source meanwhile; all pages of up to twice as many. 0 disables it.
        extract_retry_wait_s: Seconds before the whole snapshot is fetched again.
        max_missing_rows: Maximum number of breweries that the source counts but cannot return, in a published snapshot.
        missing_row_probe_limit: Maximum number of such rows before the source is considered broken; at least
            `max_missing_rows`.
        resume_max_age_hours: Maximum age, in hours, of an interrupted snapshot that may be resumed.
        max_body_bytes: Maximum size of a response body, in bytes.
        max_count_drop_percent: Maximum drop of the number of breweries, in percent; a larger one fails the checks.
        engine: Engine that runs the models: duckdb in this process, or spark on this machine or a cluster.
        spark_master: Spark master, such as `local[*]` or `spark://host:7077`; ignored inside a running session.
        memory_limit_mb: Memory limit of the SQL engine, in MB; beyond it, the engine spills to disk.
        snapshot_retention_days: Days to keep table snapshots; `brewhouse maintain` expires older ones.
        min_snapshots_to_keep: Newest snapshots to keep per table, of any age; of others, the last of each day stays.
        log_retention_days: Days to keep the logs of runs; `brewhouse maintain` deletes older ones.
        target_file_mb: Target size of a table's files, in MB; maintenance combines files smaller than a quarter of it.
        log_format: Format of the log on standard error: text, or json for one JSON object per line.
        alerts: Notifications.
        schedule: The schedule of the workflow.
        console: The web console.
    """

    lake: str = "lake"
    catalog: Literal["glue", "rest"] = "glue"
    catalog_uri: SecretUrl | None = None
    catalog_database_prefix: Annotated[str, Meta(pattern="^[a-z][a-z0-9_]*$")] = "brewhouse"
    lock_ttl_s: Annotated[float, Meta(ge=2)] = 120.0
    models: Path | None = None
    source_url: SecretUrl = SecretUrl("https://api.openbrewerydb.org/v1")
    concurrency: PositiveInt = 4
    per_page_rows: Annotated[int, Meta(ge=1, le=200)] = 200
    timeout_s: Annotated[float, Meta(gt=0)] = 30.0
    max_attempts: PositiveInt = 6
    retry_initial_wait_s: NonNegativeFloat = 0.5
    retry_wait_max_s: NonNegativeFloat = 30.0
    max_extract_attempts: PositiveInt = 3
    compared_pages: NonNegativeInt = 10
    extract_retry_wait_s: NonNegativeFloat = 2.0
    max_missing_rows: NonNegativeInt = 0
    missing_row_probe_limit: NonNegativeInt = 20
    resume_max_age_hours: NonNegativeFloat = 12.0
    max_body_bytes: PositiveInt = 64 * 1024 * 1024
    max_count_drop_percent: Annotated[float, Meta(ge=0, le=100)] = 20.0
    engine: Literal["duckdb", "spark"] = "duckdb"
    spark_master: str = "local[*]"
    memory_limit_mb: PositiveInt = 2048
    snapshot_retention_days: Annotated[float, Meta(ge=0, le=36_500)] = 30.0
    min_snapshots_to_keep: PositiveInt = 30
    log_retention_days: Annotated[float, Meta(ge=0, le=36_500)] = 90.0
    target_file_mb: PositiveInt = 128
    log_format: Literal["text", "json"] = "text"
    alerts: AlertSettings = AlertSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    console: ConsoleSettings = ConsoleSettings()


_SECTIONS: dict[str, type[msgspec.Struct]] = {
    "alerts": AlertSettings, "schedule": ScheduleSettings, "console": ConsoleSettings,
}  # fmt: skip


def load(flags: Mapping[str, Any], *, folder: Path = Path(), environ: Mapping[str, str] = os.environ) -> Settings:
    """Merge the settings from their four places.

    Args:
        flags: Command line options by setting name; None means not given.
        folder: Folder of `brewhouse.toml`.
        environ: Source of the `BREWHOUSE_<SETTING>` variables.

    Raises:
        UsageError: An unknown setting or an invalid value; names the place.

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
    return _convert(merged, "the settings")


def as_environment(settings: Settings) -> dict[str, str]:
    """Return settings as environment variables, to pass them to a child process."""
    values = {name: getattr(settings, name) for name in Settings.__struct_fields__ if name not in _SECTIONS}
    for section, kind in _SECTIONS.items():
        inner = getattr(settings, section)
        values |= {f"{section}_{name}": getattr(inner, name) for name in kind.__struct_fields__}
    return {f"BREWHOUSE_{name.upper()}": _as_text(value) for name, value in values.items() if value is not None}


def is_lineage_configured(environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether OpenLineage is configured, by its environment variables or a file that its client reads."""
    if environ.get("OPENLINEAGE_DISABLED", "").lower() == "true":
        return False
    files = (Path("openlineage.yml"), Path("~/.openlineage/openlineage.yml").expanduser())
    return (
        any(environ.get(name) for name in ("OPENLINEAGE_URL", "OPENLINEAGE_CONFIG"))
        or any(name.startswith("OPENLINEAGE__TRANSPORT") for name in environ)
        or any(file.exists() for file in files)
    )


def _as_text(value: object) -> str:
    if isinstance(value, tuple):
        return " ".join(_as_text(part) for part in value)
    return value.reveal() if isinstance(value, Secret) else str(value)


def _read_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """Read `BREWHOUSE_<SETTING>` and `BREWHOUSE_<SECTION>_<SETTING>`; items of lists are separated by spaces."""
    names = [name for name in Settings.__struct_fields__ if name not in _SECTIONS]
    found: dict[str, Any] = {name: environ[key] for name in names if (key := f"BREWHOUSE_{name.upper()}") in environ}
    known = {f"BREWHOUSE_{name.upper()}" for name in names}
    for section, kind in _SECTIONS.items():
        fields = {f"BREWHOUSE_{section.upper()}_{field.name.upper()}": field for field in msgspec.structs.fields(kind)}
        known.update(fields)
        values: dict[str, Any] = {
            field.name: environ[key].split() if isinstance(field.default, tuple) else environ[key]
            for key, field in fields.items()
            if key in environ
        }
        if values:
            found[section] = values
    _warn_of_unknown({name for name in environ if name.startswith("BREWHOUSE_")} - known, known)
    return found


def _warn_of_unknown(unknown: Collection[str], known: Collection[str]) -> None:
    for name in sorted(unknown):
        from difflib import get_close_matches

        nearest = "".join(f" Did you mean {close}?" for close in get_close_matches(name, known, 1, 0.85))
        print(f"brewhouse: The variable {name} is not a setting and is ignored.{nearest}", file=sys.stderr)


def _read_toml(file: Path) -> dict[str, Any]:
    if not file.exists():
        return {}
    if not file.is_file():  # reading a named pipe would block
        raise UsageError(f"{file} is not a file.", hint="Rename it, or run in another folder.")
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}.", hint="Check its permissions.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"{file} is not valid TOML: {error}.", hint="Fix that line.") from error


def _convert(values: Mapping[str, Any], where: str) -> Settings:
    try:
        return msgspec.convert(values, Settings, strict=False, dec_hook=lambda kind, value: kind(value))
    except msgspec.ValidationError as error:
        raise UsageError(f"Invalid setting in {where}: {error}.", hint="See `docs/settings.md`.") from error
