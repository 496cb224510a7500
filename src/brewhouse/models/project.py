"""The models of a run: Brewhouse's own and the user's, in one order, and proven to fit before anything runs."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from brewhouse.errors import UsageError
from brewhouse.models.header import NoRow, parse_header
from brewhouse.models.inputs import INPUTS
from brewhouse.models.model import FOLDER, ZONES, Model, parse
from brewhouse.models.problems import ModelError, Problem, suggestion
from brewhouse.models.select import Select

_OWN_ZONES = ("silver", "gold")
_NAME = re.compile(r"[a-z_][a-z0-9_]*")


def models_of(*zones: str, folder: Path | None = None) -> list[Model]:
    """Load the models of some zones, each after the ones it needs.

    Args:
        zones: Among staging, silver and gold.
        folder: The user's own models: `silver/*.sql` and `gold/*.sql`; `*.sql` in the folder itself is gold.

    Raises:
        ModelError: A model cannot be read, or does not fit to the others; names every problem with file and line.
        UsageError: There is no such folder.

    Example:
        >>> [model.name for model in models_of("staging", "silver")][:2]
        ['staging.records', 'silver.breweries']
    """
    models = {model.name: model for model in _built_in()}
    if folder is not None:
        own = _own(folder, models)
        models |= own
        _require_readable(models)
    ordered = _in_order(models)
    if folder is not None:
        _require_known_columns(ordered)
    return [model for model in ordered if model.zone in zones]


@cache
def _built_in() -> tuple[Model, ...]:
    return tuple(
        parse(f"{zone}.{file.stem}", file.read_text("utf-8"), file=f"models/{zone}/{file.name}")
        for zone in ZONES
        for file in sorted((FOLDER / zone).glob("*.sql"))
    )


def _own(folder: Path, built_in: Mapping[str, Model]) -> dict[str, Model]:
    """Read the user's files; all their problems are found, not only the first."""
    if not folder.is_dir():
        raise UsageError(f"There is no folder {folder} of models.", hint="Name one with --models, or make it.")
    models: dict[str, Model] = {}
    problems: list[Problem] = []
    for file in sorted(folder.rglob("*.sql")):
        try:
            model = _parse_own(file, folder, {**built_in, **models})
        except ModelError as error:
            problems += error.problems
        else:
            models[model.name] = model
    if problems:
        raise ModelError(problems)
    return models


def _parse_own(file: Path, folder: Path, there: Mapping[str, Model]) -> Model:
    name = _table_name(file, file.relative_to(folder))
    if name in there:
        taken = f"is made by {there[name].file} too" if there[name].user_defined else "is one of Brewhouse's own"
        raise ModelError([Problem(str(file), 1, 0, f"the table {name} {taken}; give the file another name")])
    return parse(name, _text(file), file=str(file), user_defined=True)


def _table_name(file: Path, place: Path) -> str:
    """Tell by its place which table a file makes."""
    zone = place.parts[0] if len(place.parts) == 2 else "gold"
    if len(place.parts) > 2 or zone not in _OWN_ZONES:
        raise ModelError([Problem(str(file), 1, 0, "models stand in silver/, in gold/, or in the folder itself: gold")])
    if not _NAME.fullmatch(file.stem):
        what = f"{file.stem} is no table name: small letters, digits and _, no digit first"
        raise ModelError([Problem(str(file), 1, 0, what)])
    return f"{zone}.{file.stem}"


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        line = file.read_bytes()[: error.start].count(b"\n") + 1
        raise ModelError([Problem(str(file), line, 0, "the file is no UTF-8 text")]) from error


def _require_readable(models: Mapping[str, Model]) -> None:
    """Refuse models that read a table that is not there, or not yet when they run."""
    problems = [
        problem
        for model in models.values()
        for select in (model.select, *_check_selects(model))
        for problem in select.unreadable(_readable(model, models))
    ]
    if problems:
        raise ModelError(problems)


def _readable(model: Model, models: Mapping[str, Model]) -> dict[str, str]:
    """Say of every table whether a model can read it: nothing when it can, else why not."""
    is_gold = model.zone == "gold"
    readable = {
        name: "" if model.zone in given.zones else "only transform has it, so silver models can read it"
        for name, given in INPUTS.items()
    }
    for name, other in models.items():
        if is_gold and other.zone != "gold" and other.ephemeral:
            readable[name] = "it is ephemeral and not published, so only silver models can read it"
        elif not is_gold and other.zone == "gold":
            readable[name] = "gold is made of silver, so a silver model cannot read it"
        else:
            readable[name] = ""
    return readable


def _in_order(models: Mapping[str, Model]) -> list[Model]:
    """Put each model after the ones it needs, and give it the version that follows from theirs."""
    graph = {name: [need for need in model.depends_on if need in models] for name, model in models.items()}
    try:
        names = sorted(TopologicalSorter(graph).static_order(), key=lambda name: ZONES.index(models[name].zone))
    except CycleError as error:
        raise ModelError([_circle(error.args[1], models)]) from error
    versions: dict[str, str] = {}
    for name in names:
        parts = [models[name].text, *(versions[need] for need in graph[name])]
        versions[name] = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
    return [replace(models[name], version=versions[name]) for name in names]


def _circle(names: Sequence[str], models: Mapping[str, Model]) -> Problem:
    """Name the models of a circle, each before the one it reads, from one of the user's on."""
    circle = list(reversed(names))[1:]
    first = next((index for index, name in enumerate(circle) if models[name].user_defined), 0)
    circle = [*circle[first:], *circle[:first]]
    model, read = models[circle[0]], circle[1 % len(circle)]
    words = " reads ".join([*circle, circle[0]])
    return Problem(model.file, *model.select.place_of_table(read), f"these models read each other in a circle: {words}")


def _require_known_columns(ordered: Sequence[Model]) -> None:
    """Follow the columns from table to table, and refuse a model that names one that is not there."""
    known: dict[str, Sequence[str]] = {
        name: [column.name for column in given.columns] for name, given in INPUTS.items()
    }
    problems: list[Problem] = []
    for model in ordered:
        if any(need not in known for need in model.depends_on):
            continue  # of a table that is wrong, nothing can be said
        columns, found = model.select.columns({name: known[name] for name in model.reads})
        found += model.select.unnamed() or _bad_names(model, columns)
        if not found:
            known[model.name] = columns
            found += _bad_fields(model, columns)
            for select in _check_selects(model):
                found += select.columns({name: known[name] for name in select.reads})[1]
        problems += found
    if problems:
        raise ModelError(problems)


def _check_selects(model: Model) -> list[Select]:
    return [model.check_select(rule) for rule in model.rules if isinstance(rule, NoRow)]


def _bad_names(model: Model, columns: Sequence[str]) -> list[Problem]:
    """Find columns that have the name of another, or one that is no identifier."""
    twice = {name for name in columns if columns.count(name) > 1}
    return [model.problem(f"two columns are called {name}", name) for name in sorted(twice)] + [
        model.problem(f"{name} is no name for a column: letters, digits and _, no digit first", name)
        for name in columns
        if not name.isidentifier()
    ]


def _bad_fields(model: Model, columns: Sequence[str]) -> list[Problem]:
    """Find header fields that name a column the SELECT does not give."""
    header = parse_header(model.text, model.file)
    named = [
        *((name, header.lines[word]) for word in ("key", "partition", "sort") for name in getattr(header, word)),
        *((header.incremental_by, header.lines["incremental by"]) for _ in range(bool(header.incremental_by))),
        *((name, rule.line) for rule in header.rules for name in rule.columns),
        *((name, line) for name, (_, line) in header.columns.items()),
    ]
    return [
        Problem(model.file, line, 0, f"the SELECT gives no column {name}{suggestion(name, columns)}")
        for name, line in named
        if name not in columns
    ]
