"""Dry run: every model runs on empty tables before a job starts, so that its errors are reported at once.

A misspelled function in a user-defined model does not surface only after all pages have been fetched.
"""

from __future__ import annotations

from dataclasses import replace

from brewhouse.checks.data_contract import contract_checks
from brewhouse.engines.engine import Engine, EngineError
from brewhouse.iceberg.table_spec import TableSpec
from brewhouse.models.inputs import INPUTS
from brewhouse.models.model import ZONES, Model
from brewhouse.models.problems import ModelError, Problem
from brewhouse.models.project import models_of
from brewhouse.pipeline.run_context import open_engine
from brewhouse.settings import Settings


def dry_run(settings: Settings) -> dict[str, TableSpec]:
    """Run all models and their checks on empty tables; return the tables that they will make, by name.

    Raises:
        ModelError: A model cannot run; lists its errors with file and line.
    """
    models = models_of(*ZONES, folder=settings.models)
    with open_engine(settings) as engine:
        for name, columns in INPUTS.items():
            engine.attach_table(TableSpec(name, "", columns), [])
        specs = [(model, _dry_run_model(engine, model)) for model in models]
    return {model.name: spec for model, spec in specs if spec is not None}


def _dry_run_model(engine: Engine, model: Model) -> TableSpec | None:
    place = model.problem("")
    try:
        columns = engine.compute(model)
        spec = None if model.ephemeral else model.spec(columns)
        for rule in model.rules:
            place = Problem(model.file, rule.line, 0, "")
            contract_checks(engine, replace(model, rules=(rule,)))
    except EngineError as error:
        reason = str(error.__cause__).partition("\n")[0].rstrip(".")
        raise ModelError([replace(place, what=f"the engine cannot run it: {reason}")]) from error
    return spec
