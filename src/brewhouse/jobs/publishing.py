"""Write, audit, publish: how a job's tables come to be seen, all together or not at all."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from brewhouse.checks.check import Check
from brewhouse.checks.contract import contract_checks
from brewhouse.engines.choose import open_engine
from brewhouse.engines.engine import Engine
from brewhouse.jobs.inputs import MODELS, RAW_SNAPSHOT
from brewhouse.lake.snapshots import newest
from brewhouse.models.model import Model
from brewhouse.settings import Settings

if TYPE_CHECKING:
    from brewhouse.lake.lake import Lake
    from brewhouse.lake.spec import TableSpec
    from brewhouse.lake.tables import Publication, Tables

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


@dataclass(frozen=True)
class Workbench:
    """What a job that publishes works with.

    Attributes:
        lake: Holds the raw snapshots.
        tables: The tables of the lake.
        engine: Runs the models.
        settings: Of this run.
        run: Id of the run.
        progress: Told the name of each model before it runs.
        record: Told what the checks found, before a failed one stops the job.
    """

    lake: Lake
    tables: Tables
    engine: Engine
    settings: Settings
    run: str
    progress: Callable[[str], None]
    record: Callable[[list[Check]], None]


@contextmanager
def workbench(
    lake: Lake,
    settings: Settings,
    run: str,
    progress: Callable[[str], None],
    record: Callable[[list[Check]], None],
) -> Iterator[Workbench]:
    """Open a lake's tables and an engine, and let go of the engine afterwards.

    Args:
        lake: Holds the raw snapshots and the tables.
        settings: Which engine, and its memory.
        run: Id of the run.
        progress: Told the name of each model before it runs.
        record: Told what the checks found.
    """
    from brewhouse.lake.tables import Tables

    with open_engine(settings) as engine:
        yield Workbench(lake, Tables(lake), engine, settings, run, progress, record)


def write_models(
    bench: Workbench, models: Sequence[Model], batch: Mapping[str, str], *, anew: bool = False
) -> tuple[list[Publication], list[Check]]:
    """Have the engine write each model's table into files that nobody sees yet, and check its contract on these.

    Args:
        bench: Its tables say which field ids the files carry, where they go, and what a growing table has already.
        models: In an order in which each stands after what it reads.
        batch: By column, its value in the rows that growing tables get now.
        anew: Whether growing tables begin again with this batch.

    Returns:
        What can be published, and what the checks found.
    """
    from brewhouse.lake.tables import Publication

    engine, tables = bench.engine, bench.tables
    known = frozenset(() if anew else tables.names())
    publications: list[Publication] = []
    checks: list[Check] = []
    for model in models:
        bench.progress(model.name)
        spec = model.spec(engine.compute(model))
        kept: list[str] = []
        if model.grows_by and model.name in known:
            mixed, kept = tables.files_by_value(model.name, model.grows_by, batch[model.grows_by])
            if mixed:
                _compute_beside(engine, model, spec, mixed, batch[model.grows_by])
        files = engine.write(spec, tables.field_ids(spec), tables.data_folder(spec.name))
        publications.append(Publication(spec, files, tuple(kept)))
        checks += contract_checks(engine, model)
    return publications, checks


def _compute_beside(engine: Engine, model: Model, spec: TableSpec, files: Sequence[str], value: str) -> None:
    """Compute a growing model again, with those rows of some of its files that are of other snapshots."""
    old = f"published.{model.name.replace('.', '_')}"
    engine.attach_table(replace(spec, name=old), files)
    columns = ", ".join(column.name for column in spec.columns)
    others = f"SELECT {columns} FROM {old} WHERE {model.grows_by} <> '{value}'"
    engine.compute(replace(model, sql=f"SELECT {columns} FROM ({model.sql}) AS batch UNION ALL {others}"))


def publish(
    bench: Workbench, publications: Sequence[Publication], models: Sequence[Model], raw_snapshot: str
) -> list[dict[str, str | int]]:
    """Commit all tables in one transaction.

    Args:
        bench: Whose tables get a new content.
        publications: Files that passed their checks.
        models: What made them.
        raw_snapshot: Run id of the raw snapshot they were made of.

    Returns:
        Each table with the id of its new snapshot and its rows.
    """
    properties = {RAW_SNAPSHOT: raw_snapshot, MODELS: checksum(models), RUN: bench.run}
    bench.tables.publish(publications, properties)
    snapshots = [bench.tables.current(publication.spec.name) for publication in publications]
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
