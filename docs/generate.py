"""Write the reference pages of this folder from the code, so that they cannot go stale; `make docs` runs it.

`tests/test_docs.py` fails when a page differs from what this gives.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import typer
import typer.main

from brewhouse.cli.main import app
from brewhouse.engines.duckdb import DuckDBEngine
from brewhouse.models.lineage import lineage
from brewhouse.models.lineage_svg import draw_svg
from brewhouse.models.model import ZONES
from brewhouse.models.project import models_of
from brewhouse.pipeline.input_tables import attach_nothing_previous, attach_places
from brewhouse.settings import Settings

FOLDER = Path(__file__).parent
MADE = "<!-- Made by `make docs`; edit the code, not this page. -->\n"


def pages() -> dict[str, str]:
    """Make every page, by file name."""
    return {"cli.md": _cli(), "settings.md": _settings(), "tables.md": _tables(), "lineage.svg": _lineage()}


def _cli() -> str:
    group = typer.main.get_command(app)
    context = typer.Context(group, info_name="brewhouse")
    introduction = (
        "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 checks failed. `--debug` with any command shows the traceback "
        "of an error. Errors go to standard error, results to standard output.\n"
    )
    parts = [MADE, "# Commands\n", introduction]
    parts += _commands(group, context)
    return "\n".join(parts)


def _commands(group: Any, context: typer.Context) -> list[str]:  # noqa: ANN401 - of the click inside Typer
    """Describe the commands of a group, and after a group those inside of it."""
    parts = []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        inner = typer.Context(command, info_name=name, parent=context)
        parts.append(f"## {inner.command_path}\n\n```\n{command.get_help(inner)}\n```\n")
        if hasattr(command, "list_commands"):
            parts += _commands(command, inner)
    return parts


def _settings() -> str:
    described = _attributes(Settings.__doc__ or "")
    defaults = Settings()
    rows = [
        f"| `{name}` | `BREWHOUSE_{name.upper()}` | `{getattr(defaults, name)}` | {described[name]} |"
        for name in Settings.__struct_fields__
        if not isinstance(getattr(defaults, name), msgspec.Struct)
    ]
    for section in (name for name in Settings.__struct_fields__ if isinstance(getattr(defaults, name), msgspec.Struct)):
        values = getattr(defaults, section)
        meanings = _attributes(type(values).__doc__ or "")
        rows += [
            f"| `{section}.{name}` | `BREWHOUSE_{section.upper()}_{name.upper()}` | "
            f"`{msgspec.json.encode(getattr(values, name)).decode()}` | {meanings[name]} |"
            for name in values.__struct_fields__
        ]
    introduction = (
        "A flag wins over an environment variable, that over `brewhouse.toml` in the working folder, that over the "
        "default. In `brewhouse.toml` a setting is a line: `concurrency = 2`; what has a dot in its name stands "
        "below the section's line: `[alerts]`, then `late_after_hours = 26`.\n"
    )
    head = ["| name | variable | default | meaning |", "| --- | --- | --- | --- |"]
    return "\n".join([MADE, "# Settings\n", introduction, *head, *rows, ""])


def _attributes(docstring: str) -> dict[str, str]:
    """Read the `Attributes:` section of a docstring."""
    lines = docstring.partition("Attributes:\n")[2].splitlines()
    return {name.strip(): text.strip() for name, _, text in (line.partition(":") for line in lines) if text}


def _tables() -> str:
    engine = DuckDBEngine()
    engine.attach_raw_snapshot([], "run", "2026-01-01T00:00:00+00:00")
    parts = [MADE, "# Tables\n"]
    for model in models_of("staging"):
        engine.compute(model)
    attach_places(engine)
    attach_nothing_previous(engine, models_of("silver")[0])
    for model in models_of("silver", "gold"):
        spec = model.spec(engine.compute(model))
        parts.append(f"## {spec.name}\n\n{spec.description}\n")
        parts.append(
            f"Key: {', '.join(model.key) or 'none'}. Partitioned by {', '.join(spec.partition) or 'nothing'}; "
            f"sorted by {', '.join(spec.sort) or 'nothing'}.\n"
        )
        parts.append("| column | type | meaning |\n| --- | --- | --- |")
        parts.extend(f"| `{c.name}` | {c.type} | {c.description} |" for c in spec.columns)
        parts.append("")
    engine.close()
    return "\n".join(parts)


def _lineage() -> str:
    return draw_svg(lineage(models_of(*ZONES)))


if __name__ == "__main__":
    for name, text in pages().items():
        (FOLDER / name).write_text(text, "utf-8")
