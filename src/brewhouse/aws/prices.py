"""Estimated monthly cost of the stack, part by part, from the prices in `prices.toml`."""

from __future__ import annotations

from collections.abc import Mapping

from brewhouse.aws.functions.job_runs import dpu_hour_usd, prices

DPU = {"G.1X": 1, "G.2X": 2, "G.4X": 4, "G.8X": 8}
_EXTRACT_DPU = 2  # whatever the parameters, since it uses the driver alone
_MAINTENANCE_RUNS = 4
_QUERY_TB = 10 / 1e6  # the least that is billed


def estimate(
    parameters: Mapping[str, str],
    region: str = "us-east-1",
    *,
    runs: int = 30,
    minutes_per_job: float = 2,
    queries: int = 300,
    stored_gb: float = 1,
) -> list[dict[str, str | float]]:
    """Return the US dollars a month of each part of a stack with these parameters, and their sum as the last row.

    The minutes include the start-up of a job, the stored gigabytes old versions.

    Example:
        >>> from brewhouse.aws.template import defaults
        >>> estimate({**defaults(), "GlueVersion": "6.0"}, runs=30, minutes_per_job=2)[0]["usd_month"]
        1.85
    """
    p, version = prices(), parameters["GlueVersion"]
    dpu = DPU[parameters["WorkerType"]] * int(parameters["NumberOfWorkers"])
    hour = max(minutes_per_job, 1) / 60 * dpu_hour_usd(version, region)
    crawls = runs if parameters["RunCrawler"] == "true" else 0
    parts = {
        f"Glue {version} jobs: {runs} runs of 3 jobs, {dpu} DPU": runs * (_EXTRACT_DPU + 2 * dpu) * hour,
        f"Glue maintenance: {_MAINTENANCE_RUNS} runs": _MAINTENANCE_RUNS * dpu * hour,
        f"Glue crawler: {crawls} crawls": crawls * p["crawl"],
        f"Athena: {queries} queries of 10 MB": queries * _QUERY_TB * p["athena_tb"],
        f"S3 storage: {stored_gb:g} GB": stored_gb * p["s3_gb_month"],
        f"Requests, logs and events: {runs} runs": runs * p["run"],
        "Functions and queues": p["functions_month"],
        "CloudWatch: 4 alarms, a metric, a dashboard": p["cloudwatch_month"],
        "KMS key": p["kms_key_month"] if parameters["KmsKeyArn"] else 0.0,
    }
    rows: list[dict[str, str | float]] = [{"part": part, "usd_month": round(usd, 2)} for part, usd in parts.items()]
    return [*rows, {"part": "total", "usd_month": round(sum(parts.values()), 2)}]
