"""The script of every Glue job: it runs one job of the workflow on the lake, with what Glue passes on the command line.

Glue starts it by itself, outside of any package, so it names everything in full and imports what the wheel brought
along. An error ends it with its own words, which Glue shows as the run's message.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

JOBS = ("extract", "transform", "aggregate", "maintain")


def arguments_of(argv: Sequence[str]) -> argparse.Namespace:
    """Read our arguments, and those of Glue that name its runs; it adds others of its own.

    Args:
        argv: Without the script's name.
    """
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--job", choices=JOBS, required=True)
    parser.add_argument("--lake", required=True)
    parser.add_argument("--catalog-database-prefix", required=True)
    parser.add_argument("--engine", required=True)
    parser.add_argument("--source-url", required=True)
    parser.add_argument("--aws-region", required=True)
    parser.add_argument("--retries", type=int, default=0)
    parser.add_argument("--WORKFLOW_RUN_ID", dest="workflow_run")
    parser.add_argument("--JOB_RUN_ID", dest="job_run", default="")
    return parser.parse_known_args(argv)[0]


def main(argv: Sequence[str]) -> None:
    """Run one job.

    Args:
        argv: Without the script's name.

    Raises:
        BrewhouseError: The job failed.
    """
    from brewhouse.lake.error_translation import translated_errors

    given = arguments_of(argv)
    os.environ.setdefault("AWS_REGION", given.aws_region)  # no page says whether Glue does
    with translated_errors():
        _run(given)


def _run(given: argparse.Namespace) -> None:
    from brewhouse.events.run_log import progress_printer
    from brewhouse.lake.lake import Lake, Shared
    from brewhouse.settings import load

    flags = {name: getattr(given, name) for name in ("lake", "catalog_database_prefix", "engine", "source_url")}
    settings = load(flags)
    lake = Lake.at(settings.lake, Shared(catalog_database_prefix=given.catalog_database_prefix))
    listeners = (progress_printer(sys.stdout),)
    if given.job == "maintain":
        from brewhouse.pipeline.maintenance import run_maintenance

        run_maintenance(lake, settings, listeners=listeners)
    else:
        from brewhouse.pipeline.runner import ExternalRun
        from brewhouse.pipeline.workflow import JOBS as ALL
        from brewhouse.pipeline.workflow import run_workflow

        external = ExternalRun(given.workflow_run, given.job_run, ALL, given.retries) if given.workflow_run else None
        run_workflow(lake, settings, (given.job,), listeners=listeners, external=external)


if __name__ == "__main__":
    main(sys.argv[1:])
