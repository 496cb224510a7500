"""The script of every Glue job: runs one job of the workflow on the lake, as the arguments of the Glue job define.

Glue runs it as a file outside of any package, so it has no relative imports. Glue shows the error that ends it as the
message of the job run.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from brewhouse.aws.functions.normalize import WORKFLOWS


def arguments_of(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the job's arguments and the run ids of Glue, and ignore other arguments that Glue adds."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--job", choices=tuple(WORKFLOWS), required=True)
    for name in ("--lake", "--catalog-database-prefix", "--engine", "--source-url", "--aws-region"):
        parser.add_argument(name, required=True)
    parser.add_argument("--retries", type=int, default=0)
    parser.add_argument("--WORKFLOW_RUN_ID", dest="workflow_run")
    parser.add_argument("--JOB_RUN_ID", dest="job_run", default="")
    return parser.parse_known_args(argv)[0]


def main(argv: Sequence[str]) -> None:
    """Run one job.

    Raises:
        BrewhouseError: The job failed.
    """
    from brewhouse.lake.error_translation import translated_errors

    arguments = arguments_of(argv)
    os.environ.setdefault("AWS_REGION", arguments.aws_region)  # undocumented whether Glue sets it
    with translated_errors():
        _run(arguments)


def _run(arguments: argparse.Namespace) -> None:
    from brewhouse.events.run_log import progress_printer
    from brewhouse.lake.lake import Lake, Shared
    from brewhouse.settings import load

    flags = {name: getattr(arguments, name) for name in ("lake", "catalog_database_prefix", "engine", "source_url")}
    settings = load(flags)
    lake = Lake.at(settings.lake, Shared(catalog_database_prefix=arguments.catalog_database_prefix))
    listeners = (progress_printer(sys.stdout),)
    if arguments.job == "maintain":
        from brewhouse.pipeline.maintenance import run_maintenance

        run_maintenance(lake, settings, listeners=listeners)
    else:
        from brewhouse.pipeline.runner import ExternalRun
        from brewhouse.pipeline.workflow import JOBS, run_workflow

        run, job_run, retries = arguments.workflow_run, arguments.job_run, arguments.retries
        external = ExternalRun(run, job_run, JOBS, retries) if run else None
        run_workflow(lake, settings, (arguments.job,), listeners=listeners, external=external)


if __name__ == "__main__":
    main(sys.argv[1:])
