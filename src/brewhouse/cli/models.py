"""The command about the models: models."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from brewhouse.cli.options import EngineOption, JsonOption, LakeOption, MasterOption, ModelsOption, settings_and_lake
from brewhouse.cli.output import print_json, print_rows
from brewhouse.lake.lake import Lake

if TYPE_CHECKING:
    from brewhouse.models.model import Model

_JOBS = {"staging": "transform", "silver": "transform", "gold": "aggregate"}


class GraphFormat(StrEnum):
    """How the lineage is drawn."""

    TEXT = "text"
    SVG = "svg"


def models(
    lake: LakeOption = None,
    folder: ModelsOption = None,
    graph: Annotated[bool, typer.Option("--graph", help="Draw which table is made of which.")] = False,
    graph_format: Annotated[GraphFormat, typer.Option("--format", help="Of the drawing.")] = GraphFormat.TEXT,
    output: Annotated[
        Path | None, typer.Option("--output", help="File for the drawing instead of standard output.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Run each on empty tables, and say whether it runs on the engine.")
    ] = False,
    engine: EngineOption = None,
    spark_master: MasterOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the models, Brewhouse's and your own, and prove that they fit together.

    Example: brewhouse models --models my-models --graph --format svg --output lineage.svg
    """
    from brewhouse.models.model import ZONES
    from brewhouse.models.project import models_of

    settings, place = settings_and_lake(lake, models=folder, engine=engine, spark_master=spark_master)
    if check or settings.models is not None:
        from brewhouse.pipeline.dry_run import dry_run

        made = dry_run(settings)
        if check:
            print(f"{len(made)} tables: every model runs on {settings.engine}.", file=sys.stderr)
    known = models_of(*ZONES, folder=settings.models)
    if graph:
        _write(_drawn(known, graph_format), output)
        return
    rows = [_row(model) for model in known] + [_row_without_model(name) for name in _abandoned(place, known)]
    if as_json:
        print_json(rows)
        return
    print_rows([{**row, "reads": ", ".join(row["reads"]), "key": ", ".join(row["key"])} for row in rows])


def _row(model: Model) -> dict[str, str | list[str]]:
    return {
        "table": model.name,
        "kind": "own" if model.user_defined else "built-in",
        "job": _JOBS[model.zone],
        "reads": list(model.reads),
        "key": list(model.key),
        "description": model.description,
    }


def _row_without_model(name: str) -> dict[str, str | list[str]]:
    return {
        "table": name,
        "kind": "no model any more",
        "job": "",
        "reads": [],
        "key": [],
        "description": "Published, but no model makes it any more: it stays as it is.",
    }


def _abandoned(lake: Lake, known: list[Model]) -> list[str]:
    """Name the published tables that no model makes."""
    if not lake.catalog_file.exists():
        return []
    from brewhouse.iceberg.tables import Tables

    return sorted(set(Tables(lake).names()) - {model.name for model in known})


def _drawn(known: list[Model], graph_format: GraphFormat) -> str:
    from brewhouse.models.lineage import draw_text, lineage

    if graph_format is GraphFormat.TEXT:
        return draw_text(lineage(known)) + "\n"
    from brewhouse.models.lineage_svg import draw_svg

    return draw_svg(lineage(known))


def _write(text: str, output: Path | None) -> None:
    if output is None:
        print(text, end="")
    else:
        output.write_text(text, "utf-8")


def register(app: typer.Typer) -> None:
    """Add this command to the command line."""
    app.command()(models)
