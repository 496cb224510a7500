"""Commands that set Brewhouse up and examine it: init, config, doctor, drop."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import typer

from brewhouse.cli.options import JsonOption, LakeOption, complete_setting, complete_table, settings_and_lake
from brewhouse.cli.output import print_json, print_result, progress_listeners
from brewhouse.errors import BrewhouseError, UsageError, suggestion
from brewhouse.settings import Secret, SecretUrl, Settings, origins, setting_names, value_of

if TYPE_CHECKING:
    from brewhouse.lake.lake import Lake

_MODEL = Path(__file__).with_name("first_model.sql")
_SETTINGS = Path(__file__).with_name("first_settings.toml")  # written by docs/generate.py
_EXTRAS = {
    "console": "uvicorn", "alerts": "apprise", "aws": "boto3", "spark": "pyspark", "lineage": "openlineage",
    "dagster": "dagster", "mcp": "mcp",
}  # fmt: skip
_MIN_FREE_BYTES = 1_000_000_000
_MAX_CLOCK_SKEW_S = 60
_TIMEOUT_S = 10


class Diagnosis(NamedTuple):
    """A result of `doctor`: what was examined, how it is, and what to do unless it is ok."""

    check: str
    state: Literal["ok", "warning", "error"]
    detail: str
    to_do: str = ""


def init(folder: Annotated[Path, typer.Argument(help="Folder to set up. Default: this one")] = Path()) -> None:
    """Create a commented brewhouse.toml, a models folder with one model and its check, and a .gitignore.

    Existing files are kept.

    Example: brewhouse init my-breweries
    """
    files = {
        "brewhouse.toml": _SETTINGS.read_text("utf-8"),
        "models/gold/open_breweries_by_country.sql": _MODEL.read_text("utf-8"),
        ".gitignore": "/lake/\n/demo-lake/\n/brewhouse-aws/\n.venv/\n",
    }
    for name, text in files.items():
        file = folder / name
        if file.exists():
            print(f"kept     {file}")
            continue
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
        print(f"created  {file}")
    print("Next: `brewhouse models --check`, then `brewhouse run`.")


def config(
    name: Annotated[str | None, typer.Argument(help="Name of one setting.", autocompletion=complete_setting)] = None,
    as_json: JsonOption = False,
) -> None:
    """List the settings, each with its value and where it comes from; secrets are masked.

    Example: brewhouse config concurrency
    """
    settings, _ = settings_and_lake()
    found = origins()
    if name is not None and name not in setting_names():
        hint = suggestion(name, setting_names(), "`brewhouse config` lists the settings.")
        raise UsageError(f"{name!r} is not a setting.", hint=hint)
    rows = [
        {"setting": each, "value": _shown(value_of(settings, each)), "origin": found.get(each, "default")}
        for each in setting_names()
        if name in {None, each}
    ]
    print_result(rows, as_json=as_json)


def doctor(lake: LakeOption = None, as_json: JsonOption = False) -> None:
    """Examine Python, extras, Java, disk, lake, source, credentials and clock; exit code 1 on errors.

    Example: brewhouse doctor
    """
    settings, place = settings_and_lake(lake)
    findings = [*_machine(settings), *_storage(place), *_source(settings)]
    if as_json:
        print_json([finding._asdict() for finding in findings])
    else:
        for check, state, detail, to_do in findings:
            print(f"{state:<8} {check:<12} {detail}", *([f"{'':<21} {to_do}"] if to_do else []), sep="\n")
    if wrong := [finding.check for finding in findings if finding.state == "error"]:
        raise BrewhouseError(f"Not in order: {', '.join(wrong)}.", hint="Each line above says what to do.")


def drop(
    table: Annotated[str, typer.Argument(help="Zone and table, such as gold.mine.", autocompletion=complete_table)],
    lake: LakeOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Skip all confirmations.")] = False,
) -> None:
    """Delete a table whose model was removed, with its history.

    Example: brewhouse drop gold.crowded_cities
    """
    from brewhouse.pipeline.maintenance import drop_table, require_droppable

    settings, place = settings_and_lake(lake)
    require_droppable(place, settings, table)
    if not yes:
        typer.confirm(f"Permanently delete {table} of {place.root} with its history?", abort=True)
    with progress_listeners(settings.log_format) as listeners:
        drop_table(place, settings, table, listeners=listeners)
    print(f"Deleted {table}.")


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return " ".join(map(_shown, value))
    if isinstance(value, Secret) and not isinstance(value, SecretUrl):
        return "…"
    return "" if value is None else str(value)


def _machine(settings: Settings) -> Iterator[Diagnosis]:
    yield Diagnosis("python", "ok", ".".join(map(str, sys.version_info[:3])))
    installed = [extra for extra, module in _EXTRAS.items() if find_spec(module)]
    yield Diagnosis("extras", "ok", f"installed: {', '.join(installed) or 'none'}")
    java = shutil.which("java")
    if settings.engine == "spark" and java is None:
        yield Diagnosis("java", "error", "not installed", "Install Java 17 or 21, or use --engine duckdb.")
    else:
        yield Diagnosis("java", "ok", java or "not installed; only Spark needs it")


def _storage(lake: Lake) -> Iterator[Diagnosis]:
    from brewhouse.events.run_history import reports_of

    if not lake.is_local:
        from brewhouse.lake.s3 import session

        try:
            session()
            yield Diagnosis("credentials", "ok", "AWS credentials found")
        except BrewhouseError as error:
            yield Diagnosis("credentials", "error", error.what, error.hint)
            return
    else:
        existing = next(path for path in (lake.root, *lake.root.parents) if path.exists())
        free = shutil.disk_usage(existing).free
        state: Literal["ok", "warning"] = "ok" if free >= _MIN_FREE_BYTES else "warning"
        yield Diagnosis("disk", state, f"{free / 1e9:.1f} GB free", "" if state == "ok" else "Free at least 1 GB.")
        if not os.access(existing, os.W_OK):
            to_do = "Change its permissions, or name another folder with --lake."
            yield Diagnosis("permissions", "warning", f"{existing} cannot be written: runs fail", to_do)
    try:
        reports = reports_of(lake) if not lake.is_local or lake.root.is_dir() else []
    except BrewhouseError as error:
        yield Diagnosis("lake", "error", error.what, error.hint)
        return
    if not reports:
        yield Diagnosis("lake", "warning", f"{lake.root} has no runs yet", "Run `brewhouse run`.")
    elif reports[-1].state in {"SUCCEEDED", "RUNNING"}:
        yield Diagnosis("lake", "ok", f"{lake.root}: last run {reports[-1].state.lower()}")
    else:
        to_do = "`brewhouse show last` has the reason."
        yield Diagnosis("lake", "warning", f"{lake.root}: last run {reports[-1].state.lower()}", to_do)


def _source(settings: Settings) -> Iterator[Diagnosis]:
    """Ask the source for its counts; the headers of the response have its rate limit and its time."""
    import asyncio
    from datetime import UTC, datetime
    from email.utils import parsedate_to_datetime

    import msgspec

    from brewhouse.api.client import Client

    async def ask() -> tuple[int, Mapping[str, str]]:
        once = msgspec.structs.replace(settings, max_attempts=1, timeout_s=min(settings.timeout_s, _TIMEOUT_S))
        async with Client(once) as client:
            return (await client.meta())[0].total, client.headers

    try:
        total, headers = asyncio.run(ask())
    except BrewhouseError as error:
        yield Diagnosis("source", "error", error.what, error.hint or "Check source_url, the network and the proxy.")
        return
    yield Diagnosis("source", "ok", f"{settings.source_url}: {total} breweries")
    left = headers.get("X-RateLimit-Remaining", "unlimited")
    to_do = "Wait a minute; runs wait by themselves." if left == "0" else ""
    yield Diagnosis("rate limit", "warning" if to_do else "ok", f"{left} requests left", to_do)
    if date := headers.get("Date"):
        skew = abs((datetime.now(UTC) - parsedate_to_datetime(date)).total_seconds())
        to_do = "Set the clock, for example with NTP." if skew > _MAX_CLOCK_SKEW_S else ""
        yield Diagnosis("clock", "warning" if to_do else "ok", f"{skew:.0f} s from the source's", to_do)
