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


class Log:
    """Writes how a job gets on into its log; pages only now and then."""

    def job_started(self, name: str) -> None:
        """See `brewhouse.pipeline.runner.Progress`."""
        print(f"{name} begins", flush=True)

    def pages(self, done: int, total: int) -> None:
        """See `brewhouse.pipeline.runner.Progress`."""
        if done % 10 == 0 or done == total:
            print(f"{done} of {total} pages", flush=True)

    def model(self, name: str) -> None:
        """See `brewhouse.pipeline.runner.Progress`."""
        print(f"model {name}", flush=True)

    def snapshots(self, done: int, total: int) -> None:
        """See `brewhouse.pipeline.runner.Progress`."""
        print(f"{done} of {total} snapshots", flush=True)

    def job_ended(self, name: str, message: str, seconds: float) -> None:
        """See `brewhouse.pipeline.runner.Progress`."""
        print(f"{name}: {message} ({seconds:.2f} s)", flush=True)


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
    from brewhouse.lake.lake import Lake, Shared
    from brewhouse.settings import load

    flags = {name: getattr(given, name) for name in ("lake", "catalog_database_prefix", "engine", "source_url")}
    settings = load(flags)
    lake = Lake.at(settings.lake, Shared(catalog_database_prefix=given.catalog_database_prefix))
    if given.job == "maintain":
        from brewhouse.pipeline.maintenance import run_maintenance

        run_maintenance(lake, settings, progress=Log())
    else:
        from brewhouse.pipeline.runner import ExternalRun
        from brewhouse.pipeline.workflow import JOBS as ALL
        from brewhouse.pipeline.workflow import run_workflow

        part = ExternalRun(given.workflow_run, given.job_run, ALL, given.retries) if given.workflow_run else None
        run_workflow(lake, settings, (given.job,), progress=Log(), part=part)


if __name__ == "__main__":
    main(sys.argv[1:])
