"""Many runs of the workflow in one process: `python -m benchmarks.many_runs LAKE URL NUMBER`."""

from __future__ import annotations

import sys

from brewhouse.lake.lake import Lake
from brewhouse.pipeline.workflow import run_workflow
from brewhouse.settings import load


def main(lake: str, url: str, number: str) -> None:
    """Run the workflow a number of times."""
    settings = load({"lake": lake, "source_url": url})
    for _ in range(int(number)):
        run_workflow(Lake.at(lake), settings)


if __name__ == "__main__":
    main(*sys.argv[1:])
