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


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything a run can be told; each name carries its unit.

    Attributes:
        lake: The lake's root folder.
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
        max_holes: How many such rows are looked for before the source counts as broken.
        resume_within_hours: An interrupted snapshot older than this is not taken up again.
        max_body_bytes: A longer answer of the source is refused.
        max_count_drop_percent: A larger fall of the number of breweries stops the publishing.
        engine: What runs the models: duckdb in this process, or spark on this machine or a cluster.
        spark_master: Where Spark runs, as `local[*]` or `spark://host:7077`, unless a session is there already.
        memory_limit_mb: Megabytes the SQL engine may use on this machine before it spills to disk.
        keep_snapshots_days: Maintenance forgets table snapshots that are older.
        keep_snapshots_last: So many of a table's newest snapshots are kept, however old.
        target_file_mb: Megabytes a table's file should have; maintenance makes one of those below a quarter.
    """

    lake: Path = Path("lake")
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
    memory_limit_mb: PositiveInt = 2048
    keep_snapshots_days: Annotated[float, Meta(ge=0, le=36_500)] = 30.0
    keep_snapshots_last: PositiveInt = 10
    target_file_mb: PositiveInt = 128


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
    names = Settings.__struct_fields__
    file = folder / "brewhouse.toml"
    places: list[tuple[str, dict[str, Any]]] = [
        (str(file), _read_toml(file)),
        (
            "the environment (BREWHOUSE_*)",
            {name: environ[key] for name in names if (key := f"BREWHOUSE_{name.upper()}") in environ},
        ),
        ("the command line", {name: value for name, value in flags.items() if value is not None}),
    ]
    merged: dict[str, Any] = {}
    for where, values in places:
        _convert(values, where)
        merged.update(values)
    settings = _convert(merged, "the settings")
    return msgspec.structs.replace(settings, source_url=settings.source_url.rstrip("/"))


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
