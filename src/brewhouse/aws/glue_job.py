"""The script of every Glue job of Brewhouse, which runs one job of the workflow on the lake.

| job | reads | writes |
| --- | --- | --- |
| extract | the API, on the driver | bronze: pages of JSON as received, and a manifest once all are there |
| transform | the pages of the newest manifest | silver: Parquet files of `models/silver/*.sql`, checked, staged |
| aggregate | the staged files | gold: those of `models/gold/*.sql`; after every check, one commit of all tables |
| maintain | the tables, on a schedule of its own | larger files in place of small ones; old snapshots expire |

Glue runs it as a file outside of any package, so it has no relative imports, and shows the error that ends it as the
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
    parser.add_argument("--spark-worker-type", default="G.1X")
    parser.add_argument("--spark-workers", type=int, default=2)
    parser.add_argument("--retries", type=int, default=0)
    parser.add_argument("--WORKFLOW_RUN_ID", dest="workflow_run")
    parser.add_argument("--JOB_RUN_ID", dest="job_run", default="")
    return parser.parse_known_args(argv)[0]


def main(argv: Sequence[str]) -> None:
    """Run one job."""
    from brewhouse.lake.error_translation import translated_errors

    arguments = arguments_of(argv)
    os.environ.setdefault("AWS_REGION", arguments.aws_region)  # undocumented whether Glue sets it
    with translated_errors():
        if arguments.engine == "spark" and arguments.job != "extract":
            start_spark(arguments.spark_worker_type, arguments.spark_workers)
        run(arguments)


def start_spark(worker_type: str, workers: int) -> None:
    """Start the Spark session of the job, which the engine uses; Glue configures its cluster and S3."""
    from pyspark.sql import SparkSession

    cores = 4 * int(worker_type.removeprefix("G.").removesuffix("X")) * (workers - 1)  # one worker is the driver
    SparkSession.builder.config("spark.sql.shuffle.partitions", str(2 * cores)).getOrCreate()


def run(arguments: argparse.Namespace) -> None:
    """Run the job under the lake's lock, as a part of the workflow's run; each step is an event, printed here."""
    from brewhouse.events.run_log import progress_printer
    from brewhouse.lake.lake import lake_of
    from brewhouse.pipeline.maintenance import run_maintenance
    from brewhouse.pipeline.runner import ExternalRun
    from brewhouse.pipeline.workflow import JOBS, run_workflow
    from brewhouse.settings import load

    flags = {name: getattr(arguments, name) for name in ("lake", "catalog_database_prefix", "engine", "source_url")}
    settings = load(flags)
    lake, listeners = lake_of(settings), (progress_printer(sys.stdout),)
    if arguments.job == "maintain":
        run_maintenance(lake, settings, listeners=listeners)
        return
    workflow_run, job_run, retries = arguments.workflow_run, arguments.job_run, arguments.retries
    external = ExternalRun(workflow_run, job_run, JOBS, retries) if workflow_run else None
    run_workflow(lake, settings, (arguments.job,), listeners=listeners, external=external)


if __name__ == "__main__":
    main(sys.argv[1:])
