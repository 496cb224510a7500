"""Estimated monthly cost of the stack, part by part, from the prices in `prices.toml`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.resources import files

import msgspec

from brewhouse.aws.functions.job_runs import dpu_hour_usd

DPU = {"G.1X": 1, "G.2X": 2, "G.4X": 4, "G.8X": 8}
_EXTRACT_DPU = 2  # whatever the parameters, since it uses the driver alone
_CRAWLER_DPU = 2
_CRAWLER_MINUTES = 10
_PUTS_A_RUN = 400  # pages, table files, metadata and events, counted on the whole dataset and rounded up
_GETS_A_RUN = 2_000
_EVENTS_A_RUN = 60  # ends of jobs, crawls, a change of each table; twice that with a trail
_ALARMS = 4
_NOTIFIER_CALLS = 30 * 48  # by its schedule
_NOTIFIER_S, _NOTIFIER_GB = 3.0, 0.5
_NOTIFIER_GETS = 200  # a file for each past day, and the events of the day
_POLLS = 5 * 3 * 60 * 24 * 30  # of the queue by Lambda: five pollers, each waiting for 20 s


class Prices(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """List prices in US dollars; see `prices.toml`."""

    as_of: date
    source: str
    glue_dpu_hour: dict[str, dict[str, float]]  # of jobs, by region and Glue version
    crawler_dpu_hour: float
    athena_tb: float
    s3_gb_month: float
    s3_1000_puts: float
    s3_1000_gets: float
    logs_gb: float
    kms_key_month: float
    sns_1000000: float
    sqs_1000000: float
    lambda_1000000: float
    lambda_gb_s: float
    alarm_month: float
    metric_month: float
    dashboard_month: float


@dataclass(frozen=True)
class MonthlyUsage:
    """Usage of a month; the minutes include the start-up of a job, the stored gigabytes old versions."""

    runs: int = 30
    minutes_per_job: float = 2.0
    maintenance_runs: int = 4
    queries: int = 300
    query_mb: float = 10.0
    stored_gb: float = 1.0


@cache
def prices() -> Prices:
    """Load the list prices."""
    return msgspec.toml.decode(files(__package__).joinpath("prices.toml").read_bytes(), type=Prices)


def estimate(
    usage: MonthlyUsage, parameters: Mapping[str, str], region: str = "us-east-1"
) -> list[dict[str, str | float]]:
    """Return the US dollars a month of each part of a stack with these parameters, and their sum as the last row.

    Example:
        >>> from brewhouse.aws.template import defaults
        >>> estimate(MonthlyUsage(runs=30, minutes_per_job=2), {**defaults(), "GlueVersion": "6.0"})[0]["usd_month"]
        1.85
    """
    p = prices()
    dpu = DPU[parameters["WorkerType"]] * int(parameters["NumberOfWorkers"])
    version = parameters["GlueVersion"]
    hour = max(usage.minutes_per_job, 1) / 60 * dpu_hour_usd(version, region)
    crawl = _CRAWLER_DPU * _CRAWLER_MINUTES / 60 * p.crawler_dpu_hour if parameters["RunCrawler"] == "true" else 0.0
    requests = (_PUTS_A_RUN * p.s3_1000_puts + _GETS_A_RUN * p.s3_1000_gets) / 1000
    scanned_tb = usage.queries * max(usage.query_mb, 10) / 1e6
    events = usage.runs * _EVENTS_A_RUN
    calls = events + _NOTIFIER_CALLS + usage.runs * 3
    parts = {
        f"Glue {version} jobs: {usage.runs} runs of 3 jobs, {dpu} DPU": usage.runs * (_EXTRACT_DPU + 2 * dpu) * hour,
        f"Glue maintenance: {usage.maintenance_runs} runs": usage.maintenance_runs * dpu * hour,
        f"Glue crawler: {usage.runs if crawl else 0} crawls": usage.runs * crawl,
        f"Athena: {usage.queries} queries of {usage.query_mb:g} MB": scanned_tb * p.athena_tb,
        f"S3 storage: {usage.stored_gb:g} GB": usage.stored_gb * p.s3_gb_month,
        f"S3 requests: {usage.runs} runs": usage.runs * requests,
        f"CloudWatch logs: {usage.runs} runs": usage.runs * 3 * 0.001 * p.logs_gb,
        f"Events: {events} through SNS and SQS": (events * (p.sns_1000000 + 3 * p.sqs_1000000) + _POLLS * p.sqs_1000000)
        / 1e6,
        f"Lambda: {calls} calls": calls * p.lambda_1000000 / 1e6
        + ((_NOTIFIER_CALLS + usage.runs * 3) * _NOTIFIER_S * _NOTIFIER_GB + events * 0.25) * p.lambda_gb_s
        + _NOTIFIER_CALLS * _NOTIFIER_GETS * p.s3_1000_gets / 1000,
        f"CloudWatch: {_ALARMS} alarms, a metric": _ALARMS * p.alarm_month + p.metric_month,
        "CloudWatch: dashboard": p.dashboard_month,
        "KMS key": p.kms_key_month if parameters["KmsKeyArn"] else 0.0,
    }
    rows: list[dict[str, str | float]] = [{"part": part, "usd_month": round(usd, 2)} for part, usd in parts.items()]
    return [*rows, {"part": "total", "usd_month": round(sum(parts.values()), 2)}]
