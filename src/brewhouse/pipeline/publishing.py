"""Write, audit, publish: how a job's tables come to be seen, all together or not at all."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from brewhouse.checks.check import Check
from brewhouse.checks.data_contract import contract_checks
from brewhouse.engines.choose import open_engine
from brewhouse.engines.engine import Engine
from brewhouse.lake.raw_snapshots import RawSnapshot, newest
from brewhouse.models.model import Model
from brewhouse.pipeline.input_tables import COMPARED_WITH, MODELS, RAW_SNAPSHOT
from brewhouse.places.reference import FOLDER as REFERENCE
from brewhouse.settings import Settings

if TYPE_CHECKING:
    from brewhouse.iceberg.table_spec import TableSpec
    from brewhouse.iceberg.tables import Publication, Tables
    from brewhouse.lake.lake import Lake

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
    from brewhouse.iceberg.tables import Tables

    with open_engine(settings) as engine:
        yield Workbench(lake, Tables(lake), engine, settings, run, progress, record)


def write_models(
    bench: Workbench, models: Sequence[Model], snapshot: RawSnapshot, *, anew: bool = False
) -> tuple[list[Publication], list[Check]]:
    """Have the engine write each model's table into files that nobody sees yet, and check its contract on these.

    Args:
        bench: Its tables say which field ids the files carry, where they go, and what a growing table has already.
        models: In an order in which each stands after what it reads.
        snapshot: What they are made of; growing tables get its rows as a batch of their own.
        anew: Whether growing tables begin again with this batch.

    Returns:
        What can be published, and what the checks found.
    """
    from brewhouse.iceberg.tables import Publication

    engine, tables = bench.engine, bench.tables
    batch = {"snapshot_run": snapshot.run, "snapshot_date": snapshot.manifest.finished_at[:10]}
    known = frozenset(() if anew else tables.names())
    publications: list[Publication] = []
    checks: list[Check] = []
    for model in models:
        bench.progress(model.name)
        spec = model.spec(engine.compute(model))
        kept: list[str] = []
        if model.incremental_by and model.name in known:
            mixed, kept = tables.files_by_value(model.name, model.incremental_by, batch[model.incremental_by])
            if mixed:
                _compute_beside(engine, model, spec, mixed, batch[model.incremental_by])
        files = engine.write(spec, tables.field_ids(spec), tables.data_folder(spec.name))
        publications.append(Publication(spec, files, tuple(kept)))
        checks += contract_checks(engine, model)
    return publications, checks


def _compute_beside(engine: Engine, model: Model, spec: TableSpec, files: Sequence[str], value: str) -> None:
    """Compute a growing model again, with those rows of some of its files that are of other snapshots."""
    old = f"published.{model.name.replace('.', '_')}"
    engine.attach_table(replace(spec, name=old), files)
    columns = ", ".join(column.name for column in spec.columns)
    others = f"SELECT {columns} FROM {old} WHERE {model.incremental_by} <> '{value}'"
    engine.compute(replace(model, sql=f"SELECT {columns} FROM ({model.sql}) AS batch UNION ALL {others}"))


def publish(
    bench: Workbench,
    publications: Sequence[Publication],
    version: str,
    raw_snapshot: str,
    compared_with: str | None = None,
) -> list[dict[str, str | int]]:
    """Commit all tables in one transaction.

    Args:
        bench: Whose tables get a new content.
        publications: Files that passed their checks.
        version: Of the models that made them.
        raw_snapshot: Run id of the raw snapshot they were made of.
        compared_with: Run id of the raw snapshot it was compared with; None when there is none.

    Returns:
        Each table with the id of its new snapshot and its rows.
    """
    properties = {
        RAW_SNAPSHOT: raw_snapshot,
        COMPARED_WITH: compared_with or "",
        MODELS: version,
        RUN: bench.run,
    }
    bench.tables.publish(publications, properties)
    snapshots = [bench.tables.current(publication.spec.name) for publication in publications]
    return [{"table": now.table, "snapshot": now.snapshot_id, "rows": now.rows} for now in snapshots if now]


def refresh_views(lake: Lake, tables: Tables) -> None:
    """Point the views of `brewhouse.duckdb` at the tables' current files and the newest raw snapshot."""
    from brewhouse.query.views import write_views

    raw = newest(lake)
    current = {name: (tables.describe(name), tables.files(name)) for name in tables.names()}
    write_views(lake, current, raw.files if raw else [])


def is_published(tables: Tables, models: Sequence[Model], version: str, raw_snapshot: str) -> bool:
    """Say whether all these models' tables were made of that raw snapshot, by that version of them."""
    if not {model.name for model in models} <= set(tables.names()):
        return False
    current = [tables.current(model.name) for model in models]
    return all(
        now is not None and (now.properties.get(RAW_SNAPSHOT), now.properties.get(MODELS)) == (raw_snapshot, version)
        for now in current
    )


def version_of(models: Sequence[Model], beneath: str = "") -> str:
    """Tell one version of the models, and of the reference data beside them, from another.

    Args:
        models: The models.
        beneath: The version of those that made the tables they read.
    """
    lines = [beneath, *(f"{model.name} {model.version}" for model in models)]
    digest = hashlib.sha256("\n".join(lines).encode())
    for file in sorted(REFERENCE.glob("*.csv")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
