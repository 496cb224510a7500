"""The estimate of a month follows usage and parameters."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from brewhouse.aws.prices import MonthlyUsage, estimate, prices
from brewhouse.aws.template import defaults

Call = Callable[..., tuple[int, str, str]]


def _total(usage: MonthlyUsage, **parameters: str) -> float:
    return float(estimate(usage, {**defaults(), **parameters})[-1]["usd_month"])


def test_the_total_is_the_sum_of_the_parts() -> None:
    *parts, total = estimate(MonthlyUsage(), defaults())
    assert sum(float(part["usd_month"]) for part in parts) == pytest.approx(total["usd_month"], abs=0.05)


def test_without_usage_only_monitoring_costs_money() -> None:
    rows = estimate(MonthlyUsage(runs=0, maintenance_runs=0, queries=0, stored_gb=0), defaults())
    costs = {str(row["part"]).split(":")[0] for row in rows if row["usd_month"] and row["part"] != "total"}
    assert costs == {"CloudWatch", "Events", "Lambda"}


@pytest.mark.parametrize(
    ("more", "parameters"),
    [
        (MonthlyUsage(runs=60), {}),
        (MonthlyUsage(minutes_per_job=4), {}),
        (MonthlyUsage(queries=100_000), {}),
        (MonthlyUsage(stored_gb=100), {}),
        (MonthlyUsage(), {"WorkerType": "G.2X"}),
        (MonthlyUsage(), {"NumberOfWorkers": "4"}),
        (MonthlyUsage(), {"KmsKeyArn": "arn:aws:kms:eu-central-1:123456789012:key/x"}),
    ],
)
def test_more_costs_more(more: MonthlyUsage, parameters: dict[str, str]) -> None:
    assert _total(more, **parameters) > _total(MonthlyUsage())


def test_the_crawler_costs_more_than_a_job() -> None:
    saved = _total(MonthlyUsage()) - _total(MonthlyUsage(), RunCrawler="false")
    job = 2 * 2 / 60 * prices().glue_dpu_hour
    assert saved / 30 > job


def test_a_query_is_estimated_as_at_least_ten_megabytes() -> None:
    assert _total(MonthlyUsage(queries=10_000, query_mb=0.1)) == _total(MonthlyUsage(queries=10_000, query_mb=10))


def test_the_command_prints_date_and_source_without_an_account(call: Call) -> None:
    code, out, err = call("estimate", "--runs", "10")
    assert (code, err) == (0, "")
    assert str(prices().as_of) in out
    assert prices().source[:30] in out
    listed = json.loads(call("estimate", "--json")[1])
    assert listed["parts"][-1]["part"] == "total"
