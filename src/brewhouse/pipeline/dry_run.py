"""Rehearse: every model runs on empty tables before a job begins, so that what cannot run is told at once.

So no misspelt function in a user's model comes to light only after all pages were taken.
"""

from __future__ import annotations

from dataclasses import replace

from brewhouse.checks.data_contract import rule_checks
from brewhouse.engines.choose import open_engine
from brewhouse.engines.engine import Engine, EngineError
from brewhouse.iceberg.table_spec import TableSpec
from brewhouse.models.inputs import INPUTS
from brewhouse.models.model import ZONES, Model
from brewhouse.models.problems import ModelError, Problem
from brewhouse.models.project import models_of
from brewhouse.settings import Settings


def dry_run(settings: Settings) -> dict[str, TableSpec]:
    """Run all models, Brewhouse's and the user's, on empty tables, and their checks.

    Args:
        settings: The folder of the user's own models, and the engine that will run them.

    Returns:
        The table each model will make, by name; temporary ones are not among them.

    Raises:
        ModelError: A model cannot be run; names all that is wrong, with file and line.
    """
    models = models_of(*ZONES, folder=settings.models)
    with open_engine(settings) as engine:
        for name, columns in INPUTS.items():
            engine.attach_table(TableSpec(name, "", columns), [])
        specs = [(model, _rehearse(engine, model)) for model in models]
    return {model.name: spec for model, spec in specs if spec is not None}


def _rehearse(engine: Engine, model: Model) -> TableSpec | None:
    place = model.problem("")
    try:
        columns = engine.compute(model)
        spec = None if model.ephemeral else model.spec(columns)
        for rule in model.rules:
            place = Problem(model.file, rule.line, 0, "")
            list(rule_checks(engine, model.name, rule))
    except EngineError as error:
        reason = str(error.__cause__).partition("\n")[0].rstrip(".")
        raise ModelError([replace(place, what=f"the engine cannot run it: {reason}")]) from error
    return spec
