"""The command about the models: models."""

from __future__ import annotations

import sys
from typing import Annotated, Any, Literal

import typer

from brewhouse.cli.options import (
    EngineOption,
    JsonOption,
    LakeOption,
    MasterOption,
    ModelsOption,
    reject_together,
    require_option,
    settings_and_lake,
)
from brewhouse.cli.output import print_result
from brewhouse.cli.results import OutputOption, writing

_JOBS = {"staging": "transform", "silver": "transform", "gold": "aggregate"}
_REMOVED = "Published, but its model was removed; the table is kept unchanged."


def models(
    lake: LakeOption = None,
    folder: ModelsOption = None,
    graph: Annotated[bool, typer.Option("--graph", help="Draw the lineage of the tables.")] = False,
    graph_format: Annotated[
        Literal["text", "svg"] | None, typer.Option("--format", help="Format of the graph. Default: text")
    ] = None,
    output: OutputOption = None,
    check: Annotated[bool, typer.Option("--check", help="Run every model on empty tables first.")] = False,
    engine: EngineOption = None,
    spark_master: MasterOption = None,
    as_json: JsonOption = False,
) -> None:
    """List or draw the built-in and your own models, after validating them.

    Example: brewhouse models --models my-models --graph --format svg --output lineage.svg
    """
    from brewhouse.models.lineage import draw_text, lineage
    from brewhouse.models.lineage_svg import draw_svg
    from brewhouse.models.model import ZONES
    from brewhouse.models.project import models_of
    from brewhouse.pipeline.dry_run import dry_run

    reject_together(**{"--graph": graph, "--json": as_json})
    require_option("--graph", graph, **{"--format": graph_format, "--output": output})
    settings, place = settings_and_lake(lake, models=folder, engine=engine, spark_master=spark_master)
    if check or settings.models is not None:
        checked = dry_run(settings)
        if check:
            print(f"{len(checked)} tables: every model runs on {settings.engine}.", file=sys.stderr)
    known = models_of(*ZONES, folder=settings.models)
    if graph:
        drawn = draw_svg(lineage(known)) if graph_format == "svg" else draw_text(lineage(known)) + "\n"
        if output is None:
            print(drawn, end="")
            return
        with writing(output) as file:
            file.write_text(drawn, "utf-8")
        return
    rows: list[dict[str, Any]] = [
        {
            "table": model.name,
            "kind": "own" if model.user_defined else "built-in",
            "job": _JOBS[model.zone],
            "reads": list(model.reads),
            "key": list(model.key),
            "description": model.description,
        }
        for model in known
    ]
    if place.catalog_file.exists():
        from brewhouse.iceberg.tables import Tables

        without = {"kind": "no model any more", "job": "", "reads": [], "key": [], "description": _REMOVED}
        removed = set(Tables(place).names()) - {model.name for model in known}
        rows += [{"table": name, **without} for name in sorted(removed)]
    shown = [{**row, "reads": ", ".join(row["reads"]), "key": ", ".join(row["key"])} for row in rows]
    print_result(shown, as_json=as_json, value=rows)
