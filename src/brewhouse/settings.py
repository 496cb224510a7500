"""Settings: flags override `BREWHOUSE_*` variables, which override `brewhouse.toml`, which overrides defaults."""

from __future__ import annotations

import base64
import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_type_hints
from urllib.parse import unquote

import msgspec
from msgspec import Meta

from brewhouse.errors import MIN_SECRET_CHARACTERS, SECRETS, UsageError, suggestion

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
        trusted_proxies: Addresses or networks of reverse proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` state
            the client; others' are ignored. As a variable, separated by spaces.
    """

    password: Secret | None = None
    allowed_hosts: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()


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
    concurrency: PositiveInt = 12
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


_PREFIX = "BREWHOUSE_"
_CONFIG = "BREWHOUSE_CONFIG"
_HINT = "`brewhouse config` lists the settings."
_SECRET = {"password", "ping_url", "urls"}
_REQUIREMENTS = {
    r"Expected `\w+` >= ([\d]+)": r"be \1 or more",
    r"Expected `\w+` <= ([\d]+)": r"be \1 or less",
    r"Expected `\w+` > ([\d]+)": r"be more than \1",
    "Expected `int`": "be a whole number",
    "Expected `float`": "be a number",
    "Expected `array`": "be a list of texts",
    "Expected `object`": "be a section",
    r"Expected `str` matching regex '\^\$": "be two times such as 22:00-07:00",
    "Expected `str` matching regex": "be lower-case letters, digits and _",
    "Expected `str`": "be a text",
    "Expected URL": "start with http:// or https:// and the name of a host",
}
_SECTIONS: dict[str, type[msgspec.Struct]] = {
    "alerts": AlertSettings, "schedule": ScheduleSettings, "console": ConsoleSettings,
}  # fmt: skip


class _Place(NamedTuple):
    """Where settings come from: its name, its values, and how it spells the name of a setting."""

    name: str
    values: dict[str, Any]
    spell: Callable[[str], str]


def load(
    flags: Mapping[str, Any],
    *,
    folder: Path = Path(),
    environ: Mapping[str, str] = os.environ,
    spell: Callable[[str], str] = str,
) -> Settings:
    """Merge the settings from their four places.

    Args:
        flags: Command line options by setting name; None means not given.
        folder: Folder of `brewhouse.toml`; the variable BREWHOUSE_CONFIG names another file.
        environ: Source of the `BREWHOUSE_<SETTING>` variables; an empty one counts as unset.
        spell: Returns the option of a setting, for errors.

    Raises:
        UsageError: An unknown setting or an invalid value; names the place.

    Example:
        >>> load({"concurrency": 2}, environ={"BREWHOUSE_CONCURRENCY": "8", "BREWHOUSE_TIMEOUT_S": "5"}).concurrency
        2
    """
    reject_unknown_variables(environ)
    merged: dict[str, Any] = {}
    for place in _places(flags, folder, environ, spell):
        _convert(place)
        sections = {name: {**merged.get(name, {}), **place.values[name]} for name in _SECTIONS if name in place.values}
        merged.update({**place.values, **sections})
    return _convert(_Place("the settings", merged, str))


def origins(folder: Path = Path(), environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return where each setting that is not a default comes from, by its name or `section.name`."""
    found: dict[str, str] = {}
    for place in _places({}, folder, environ, str):
        for name, value in place.values.items():
            names = [f"{name}.{inner}" for inner in value] if name in _SECTIONS else [name]
            found |= {each: place.spell(each) if "=" in place.name else place.name for each in names}
    return found


def _places(
    flags: Mapping[str, Any], folder: Path, environ: Mapping[str, str], spell: Callable[[str], str]
) -> Iterator[_Place]:
    given = {name: value for name, value in environ.items() if value}
    file = Path(given[_CONFIG]) if _CONFIG in given else folder / "brewhouse.toml"
    yield _Place(str(file), _read_toml(file, is_required=_CONFIG in given), lambda name: f"{name} in {file}")
    yield _Place("BREWHOUSE_*=", _read_environment(given), _variable)
    yield _Place("the command line", {name: value for name, value in flags.items() if value is not None}, spell)


def _variable(name: str) -> str:
    return f"BREWHOUSE_{name.upper().replace('.', '_')}"


def setting_names() -> list[str]:
    """List the settings, those of a section as `section.name`."""
    names = [name for name in Settings.__struct_fields__ if name not in _SECTIONS]
    return [*names, *(f"{section}.{name}" for section, kind in _SECTIONS.items() for name in kind.__struct_fields__)]


def as_environment(settings: Settings) -> dict[str, str]:
    """Return settings as environment variables, to pass them to a child process."""
    values = {name: value_of(settings, name) for name in setting_names()}
    return {_variable(name): _as_text(value) for name, value in values.items() if value is not None}


def value_of(settings: Settings, name: str) -> object:
    """Return the value of a setting by its name of `setting_names`."""
    return attrgetter(name)(settings)


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
    known = {_variable(name): name for name in setting_names()}
    found: dict[str, Any] = {}
    for variable in environ.keys() & known.keys():
        section, dot, name = known[variable].rpartition(".")
        if dot:
            is_list = isinstance(getattr(_SECTIONS[section](), name), tuple)
            found.setdefault(section, {})[name] = environ[variable].split() if is_list else environ[variable]
        else:
            found[name] = environ[variable]
    return found


def reject_unknown_variables(environ: Mapping[str, str] = os.environ) -> None:
    """Refuse `BREWHOUSE_*` variables that are not settings, unless they are empty.

    Raises:
        UsageError: There is one.
    """
    known = {variable.removeprefix(_PREFIX) for variable in (_CONFIG, *map(_variable, setting_names()))}
    given = sorted(name.removeprefix(_PREFIX) for name, value in environ.items() if value and name.startswith(_PREFIX))
    for name in (name for name in given if name not in known):
        close = suggestion(name, known, "").replace("mean ", f"mean {_PREFIX}")
        raise UsageError(f"The variable {_PREFIX}{name} is not a setting.", hint=close or f"Unset it. {_HINT}")


def _read_toml(file: Path, *, is_required: bool = False) -> dict[str, Any]:
    if not file.exists():
        if is_required:
            raise UsageError(f"The settings file {file} does not exist.", hint=f"Check --config and {_CONFIG}.")
        return {}
    if not file.is_file():  # reading a named pipe would block
        raise UsageError(f"{file} is not a file.", hint="Rename it, or name a file with --config.")
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}.", hint="Check its permissions.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"{file} is not valid TOML: {error}.", hint="Fix that line.") from error


def _convert(place: _Place) -> Settings:
    try:
        return msgspec.convert(place.values, Settings, strict=False, dec_hook=_secret)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at `$")
        keys = re.findall(r"[a-z]\w*", path)
        if field := re.search("unknown field `(.*)`", message):
            known = (_SECTIONS[keys[0]] if keys else Settings).__struct_fields__
            name = ".".join([*keys, field[1]])
            raise UsageError(
                f"{place.spell(name)} is not a setting.", hint=suggestion(field[1], known, _HINT)
            ) from None
        value: Any = place.values
        for key in keys:
            value = value[key] if isinstance(value, dict) else value
        requirement = _requirement(message, keys)
        if {*keys} & {"catalog_uri", "source_url"}:
            value = str(SecretUrl(value))  # without credentials
        got = "" if {*keys} & _SECRET else f" (got {value!r})"
        raise UsageError(f"{place.spell('.'.join(keys))} must {requirement}{got}.", hint=_HINT) from None


def _secret(kind: type[Secret], text: str) -> Secret:
    made = kind(text)
    if kind is SecretUrl and not re.match("https?://[^/?#:]", str(made)):
        raise ValueError("Expected URL")
    return made


def _requirement(message: str, keys: Sequence[str]) -> str:
    """Say what a value must be, from msgspec's message of what it is not."""
    if message.startswith("Invalid enum value"):
        hints = get_type_hints(_SECTIONS.get(keys[0], Settings))
        return f"be one of {', '.join(_choices(hints[keys[-1]]))}"
    for pattern, requirement in _REQUIREMENTS.items():
        if match := re.match(pattern, message):
            return match.expand(requirement)
    return f"be valid: {message}"


def _choices(kind: Any) -> list[str]:  # noqa: ANN401 - a type
    arguments = get_args(kind)
    return [each for part in arguments for each in ([part] if isinstance(part, str) else _choices(part))]
