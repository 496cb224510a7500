"""All models, built in and user-defined, ordered by their dependencies and validated before anything runs."""

from __future__ import annotations

import errno
import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NoReturn

from brewhouse.errors import UsageError, suggestion
from brewhouse.models.inputs import INPUTS
from brewhouse.models.model import FOLDER, ZONES, Model, parse
from brewhouse.models.problems import ModelError, Problem

_USER_ZONES = ("silver", "gold")
_NAME = re.compile(r"[a-z_][a-z0-9_]*")


def models_of(*zones: str, folder: Path | None = None) -> list[Model]:
    """Load the models of zones, each after those it depends on.

    Args:
        zones: Among staging, silver and gold.
        folder: The user's models: `silver/*.sql` and `gold/*.sql`; `*.sql` in the folder itself is gold.

    Raises:
        ModelError: A model is invalid or conflicts with another; lists every problem with file and line.
        UsageError: The folder does not exist.
    """
    models = {model.name: model for model in _built_in()}
    if folder is not None:
        models |= _user_defined(folder, models)
        _raise_on(problem for model in models.values() for problem in _table_problems(model, models))
    ordered = _in_order(models)
    if folder is not None:
        _raise_on(_column_problems(ordered))
    return [model for model in ordered if model.zone in zones]


def _raise_on(problems: Iterator[Problem]) -> None:
    if found := list(problems):
        raise ModelError(found)


@cache
def _built_in() -> tuple[Model, ...]:
    return tuple(
        parse(f"{zone}.{file.stem}", file.read_text("utf-8"), file=f"models/{zone}/{file.name}")
        for zone in ZONES
        for file in sorted((FOLDER / zone).glob("*.sql"))
    )


def _user_defined(folder: Path, built_in: Mapping[str, Model]) -> dict[str, Model]:
    """Load the user's models; collect the problems of all files."""
    models: dict[str, Model] = {}
    problems: list[Problem] = []
    for file in _model_files(folder):
        try:
            name = _table_name(file, folder)
            if name in built_in:
                raise _file_error(file, f"the table {name} is built in; rename the file")
            if name in models:
                raise _file_error(file, f"the table {name} is also defined by {models[name].file}; rename one of them")
            models[name] = parse(name, _text(file), file=str(file), user_defined=True)
        except ModelError as error:
            problems += error.problems
        except RecursionError:
            problems.append(Problem(str(file), 1, 0, "the SQL is nested too deeply; split it into several models"))
    _raise_on(iter(problems))
    return models


def _model_files(folder: Path) -> list[Path]:
    """List the SQL files of a folder; hidden files and folders belong to editors and systems."""

    def fail(error: OSError) -> NoReturn:
        reason = "does not exist" if error.errno == errno.ENOENT else f"cannot be opened: {error.strerror}"
        hint = "Create it, or pass another to --models."
        raise UsageError(f"The models folder {error.filename} {reason}.", hint=hint) from error

    found: list[Path] = []
    for place, folders, names in os.walk(folder, onerror=fail):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(place, n) for n in names if n.lower().endswith(".sql") and not n.startswith(".")]
    return sorted(found)


def _table_name(file: Path, folder: Path) -> str:
    parts = file.relative_to(folder).parts
    zone = parts[0] if len(parts) == 2 else "gold"
    if len(parts) > 2 or zone not in _USER_ZONES:
        raise _file_error(file, "models belong in silver/, in gold/, or in the models folder itself, which is gold")
    if not _NAME.fullmatch(file.stem):
        raise _file_error(file, f"{file.stem} is not a table name: use a-z, 0-9 and _, no digit first")
    return f"{zone}.{file.stem}"


def _text(file: Path) -> str:
    try:
        if file.exists() and not file.is_file():
            raise _file_error(file, "it is not a file")
        content = file.read_bytes()
        if b"\0" in content:
            raise _file_error(file, "the file is not UTF-8 text", content[: content.index(b"\0")].count(b"\n") + 1)
        return content.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise _file_error(file, "the file is not UTF-8 text", line) from error
    except OSError as error:
        raise _file_error(file, f"the file cannot be read: {error.strerror}") from error


def _file_error(file: Path, what: str, line: int = 1) -> ModelError:
    return ModelError([Problem(str(file), line, 0, what)])


def _table_problems(model: Model, models: Mapping[str, Model]) -> Iterator[Problem]:
    """Find tables that a model reads and that do not exist, or not yet when it runs."""
    is_gold = model.zone == "gold"
    readable = dict.fromkeys(INPUTS, "only silver models can read inputs of transform" if is_gold else "")
    for name, other in models.items():
        if is_gold and other.zone != "gold" and other.ephemeral:
            readable[name] = "it is ephemeral, so only silver models can read it"
        else:
            readable[name] = "" if is_gold or other.zone != "gold" else "gold is built from silver"
    for select in (model.select, *model.check_selects):
        yield from select.table_problems(readable)


def _in_order(models: Mapping[str, Model]) -> list[Model]:
    """Sort models by zone and dependency, and let their versions depend on each other's."""
    graph = {name: [need for need in model.depends_on if need in models] for name, model in models.items()}
    try:
        names = sorted(TopologicalSorter(graph).static_order(), key=lambda name: ZONES.index(models[name].zone))
    except CycleError as error:
        raise ModelError([_cycle_problem(error.args[1], models)]) from error
    versions: dict[str, str] = {}
    for name in names:
        parts = [models[name].version, *(versions[need] for need in graph[name])]
        versions[name] = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
    return [replace(models[name], version=versions[name]) for name in names]


def _cycle_problem(names: Sequence[str], models: Mapping[str, Model]) -> Problem:
    """Describe a cycle from a user-defined model on, each model before the one that it reads."""
    cycle = list(reversed(names))[1:]
    first = next((index for index, name in enumerate(cycle) if models[name].user_defined), 0)
    cycle = [*cycle[first:], *cycle[:first]]
    position = models[cycle[0]].select.table_position(cycle[1 % len(cycle)])
    path = " reads ".join([*cycle, cycle[0]])
    return Problem(models[cycle[0]].file, *position, f"the models form a cycle: {path}; remove one of these references")


def _column_problems(ordered: Sequence[Model]) -> Iterator[Problem]:
    """Derive the columns of each table from those it reads, and find columns that do not exist."""
    known: dict[str, Sequence[str]] = {name: [column.name for column in columns] for name, columns in INPUTS.items()}
    for model in ordered:
        if any(need not in known for need in model.depends_on):
            continue  # the columns of an invalid table are unknown
        columns, problems = model.select.columns({name: known[name] for name in model.reads})
        problems += model.select.unnamed_columns() or list(_name_problems(model, columns))
        if not problems:
            known[model.name] = columns
            problems += _header_problems(model, columns)
            for select in model.check_selects:
                problems += select.columns({name: known[name] for name in select.reads})[1]
        yield from problems


def _name_problems(model: Model, columns: Sequence[str]) -> Iterator[Problem]:
    for name in sorted({name for name in columns if columns.count(name) > 1}):
        yield model.problem(f"two columns are named {name}; rename one with AS", name)
    for name in columns:
        if not name.isidentifier():
            yield model.problem(f"{name} is not a column name: use letters, digits and _, no digit first", name)


def _header_problems(model: Model, columns: Sequence[str]) -> Iterator[Problem]:
    """Find header fields with columns that the SELECT does not return."""
    lists = {"key": model.key, "partition": model.partition, "sort": model.sort}
    lists |= {"incremental by": (model.incremental_by,)} if model.incremental_by else {}
    named = [(name, model.lines[word]) for word, names in lists.items() for name in names]
    named += [(name, rule.line) for rule in model.rules for name in rule.columns]
    named += [(name, model.lines[f"column {name}"]) for name in model.columns]
    for name, line in named:
        if name not in columns:
            yield Problem(model.file, line, 0, f"the SELECT has no column {name}. {suggestion(name, columns)}")
