"""Write, audit, publish: how a job's tables come to be seen, all together or not at all."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from brewhouse.checks.check import Check
from brewhouse.checks.contract import contract_checks
from brewhouse.engines.engine import Engine
from brewhouse.lake.snapshots import newest
from brewhouse.models.model import Model

if TYPE_CHECKING:
    from brewhouse.lake.lake import Lake
    from brewhouse.lake.tables import Publication, Tables

RAW_SNAPSHOT = "brewhouse.raw-snapshot"
MODELS = "brewhouse.models"
RUN = "brewhouse.run"


@dataclass
class JobResult:
    """What a job did.

    Attributes:
        message: In words.
        counts: Records in and out, by name.
        checks: What each check found.
        published: Each table that changed, with its snapshot and rows.
    """

    message: str
    counts: dict[str, int] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    published: list[dict[str, str | int]] = field(default_factory=list)


def write_models(
    engine: Engine, tables: Tables, models: Sequence[Model], progress: Callable[[str], None]
) -> tuple[list[Publication], list[Check]]:
    """Have the engine write each model's table into files that nobody sees yet, and check its contract on these.

    Args:
        engine: Runs the models.
        tables: Say which field ids the files carry and where they go.
        models: In an order in which each stands after what it reads.
        progress: Told the name of each model before it runs.

    Returns:
        What can be published, and what the checks found.
    """
    from brewhouse.lake.tables import Publication

    publications: list[Publication] = []
    checks: list[Check] = []
    for model in models:
        progress(model.name)
        columns = engine.compute(model)
        if model.temporary:
            continue
        spec = model.spec(columns)
        files = engine.write(spec, tables.field_ids(spec), tables.data_folder(spec.name))
        publications.append(Publication(spec, files))
        checks += contract_checks(engine, model)
    return publications, checks


def publish(
    lake: Lake, tables: Tables, publications: Sequence[Publication], properties: dict[str, str]
) -> list[dict[str, str | int]]:
    """Commit all tables in one transaction, then point the views at them.

    Args:
        lake: Whose views are made anew.
        tables: The lake's tables.
        publications: Files that passed their checks.
        properties: Kept with each table's snapshot.

    Returns:
        Each table with the id of its new snapshot and its rows.
    """
    tables.publish(publications, properties)
    refresh_views(lake, tables)
    snapshots = [tables.current(publication.spec.name) for publication in publications]
    return [{"table": now.table, "snapshot": now.snapshot_id, "rows": now.rows} for now in snapshots if now]


def refresh_views(lake: Lake, tables: Tables) -> None:
    """Point the views of `brewhouse.duckdb` at the tables' current files and the newest raw snapshot."""
    from brewhouse.lake.views import write_views

    raw = newest(lake)
    current = {name: (tables.describe(name), tables.files(name)) for name in tables.names()}
    write_views(lake, current, raw.files if raw else [])


def is_published(tables: Tables, models: Sequence[Model], raw_snapshot: str) -> bool:
    """Say whether all these models' tables were made of that raw snapshot, by the same SQL."""
    wanted = (raw_snapshot, checksum(models))
    for model in models:
        if model.temporary:
            continue
        if model.name not in tables.names():
            return False
        now = tables.current(model.name)
        if now is None or (now.properties.get(RAW_SNAPSHOT), now.properties.get(MODELS)) != wanted:
            return False
    return True


def checksum(models: Sequence[Model]) -> str:
    """Tell one version of the models from another."""
    text = "\n".join(repr(model) for model in models)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
