"""What a month in the account costs, part by part, from the prices in `prices.toml`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.resources import files

import msgspec

_DPU = {"G.1X": 1, "G.2X": 2, "G.4X": 4, "G.8X": 8}
_CRAWLER_DPU = 2
_CRAWLER_MINUTES = 10
_PUTS_A_RUN = 400  # pages, table files, metadata, events of one run, counted on the whole dataset and rounded up
_GETS_A_RUN = 2_000
_EVENTS_A_RUN = 60  # ends of jobs, crawls, a change of each table; twice that with a trail
_ALARMS = 4
_LOOKS = 30 * 48  # the notifier's, by its schedule
_LOOK_S, _LOOK_GB = 3.0, 0.5
_GETS_A_LOOK = 200  # a file for each past day, and today's events
_POLLS = 5 * 3 * 60 * 24 * 30  # Lambda's of the queue: five, each asking for 20 s


class Prices(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """List prices in US dollars; see `prices.toml`."""

    as_of: date
    source: str
    glue_dpu_hour: float
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
class Use:
    """How much is used in a month.

    Attributes:
        runs: Of the workflow.
        minutes_per_job: A job runs, starting up included.
        maintenance_runs: Of the job `maintain`.
        queries: Through Athena.
        query_mb: Megabytes a query scans.
        stored_gb: Gigabytes in the bucket, old versions included.
    """

    runs: int = 30
    minutes_per_job: float = 2.0
    maintenance_runs: int = 4
    queries: int = 300
    query_mb: float = 10.0
    stored_gb: float = 1.0


@cache
def prices() -> Prices:
    """Load the prices."""
    return msgspec.toml.decode(files(__package__).joinpath("prices.toml").read_bytes(), type=Prices)


def estimate(use: Use, parameters: Mapping[str, str]) -> list[dict[str, str | float]]:
    """Work out what a month costs.

    Args:
        use: How much is used.
        parameters: Of the stack: WorkerType, NumberOfWorkers, RunCrawler, KmsKeyArn.

    Returns:
        A row for each part, with its US dollars a month, and their sum.

    Example:
        >>> parameters = {"WorkerType": "G.1X", "NumberOfWorkers": "2", "RunCrawler": "false", "KmsKeyArn": ""}
        >>> estimate(Use(runs=30, minutes_per_job=2), parameters)[0]["usd_month"]
        2.64
    """
    p = prices()
    dpu = _DPU[parameters["WorkerType"]] * int(parameters["NumberOfWorkers"])
    job = dpu * max(use.minutes_per_job, 1) / 60 * p.glue_dpu_hour
    crawl = _CRAWLER_DPU * _CRAWLER_MINUTES / 60 * p.crawler_dpu_hour if parameters["RunCrawler"] == "true" else 0.0
    requests = (_PUTS_A_RUN * p.s3_1000_puts + _GETS_A_RUN * p.s3_1000_gets) / 1000
    scanned_tb = use.queries * max(use.query_mb, 10) / 1e6
    events = use.runs * _EVENTS_A_RUN
    calls = events + _LOOKS + use.runs * 3
    parts = {
        f"Glue jobs: {use.runs} runs of 3 jobs, {dpu} DPU": use.runs * 3 * job,
        f"Glue maintenance: {use.maintenance_runs} runs": use.maintenance_runs * job,
        f"Glue crawler: {use.runs if crawl else 0} crawls": use.runs * crawl,
        f"Athena: {use.queries} queries of {use.query_mb:g} MB": scanned_tb * p.athena_tb,
        f"S3 storage: {use.stored_gb:g} GB": use.stored_gb * p.s3_gb_month,
        f"S3 requests: {use.runs} runs": use.runs * requests,
        f"CloudWatch logs: {use.runs} runs": use.runs * 3 * 0.001 * p.logs_gb,
        f"Events: {events} through SNS and SQS": (events * (p.sns_1000000 + 3 * p.sqs_1000000) + _POLLS * p.sqs_1000000)
        / 1e6,
        f"Lambda: {calls} calls": calls * p.lambda_1000000 / 1e6
        + ((_LOOKS + use.runs * 3) * _LOOK_S * _LOOK_GB + events * 0.25) * p.lambda_gb_s
        + _LOOKS * _GETS_A_LOOK * p.s3_1000_gets / 1000,
        f"CloudWatch: {_ALARMS} alarms, a metric": _ALARMS * p.alarm_month + p.metric_month,
        "CloudWatch: dashboard": p.dashboard_month,
        "KMS key": p.kms_key_month if parameters["KmsKeyArn"] else 0.0,
    }
    rows: list[dict[str, str | float]] = [{"part": part, "usd_month": round(usd, 2)} for part, usd in parts.items()]
    return [*rows, {"part": "together", "usd_month": round(sum(parts.values()), 2)}]
