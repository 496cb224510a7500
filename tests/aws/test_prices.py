"""The estimate of a month follows usage and parameters."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from brewhouse.aws.functions.job_runs import dpu_hour_usd, run_facts
from brewhouse.aws.package import GLUE_PYTHON
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
    job = 2 * 2 / 60 * dpu_hour_usd("6.0", "us-east-1")
    assert saved / 30 > job


def test_a_query_is_estimated_as_at_least_ten_megabytes() -> None:
    assert _total(MonthlyUsage(queries=10_000, query_mb=0.1)) == _total(MonthlyUsage(queries=10_000, query_mb=10))


def test_the_command_prints_date_and_source_without_an_account(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_REGION", raising=False)
    code, out, err = call("estimate", "--runs", "10")
    assert (code, err) == (0, "")
    assert str(prices().as_of) in out
    assert prices().source[:30] in out
    listed = json.loads(call("estimate", "--json")[1])
    assert listed["parts"][-1]["part"] == "total"
    assert listed["region"] == "us-east-1"


def test_jobs_cost_what_their_glue_version_costs_in_their_region() -> None:
    found = [dpu_hour_usd(version, region) for region in prices().glue_dpu_hour for version in ("6.0", "5.1")]
    assert found == [0.308, 0.44, 0.308, 0.44, 0.483, 0.69]
    assert list(prices().glue_dpu_hour) == ["us-east-1", "eu-central-1", "sa-east-1"]
    assert all(set(versions) == set(GLUE_PYTHON) for versions in prices().glue_dpu_hour.values())
    jobs = [float(estimate(MonthlyUsage(), defaults(), region)[0]["usd_month"]) for region in prices().glue_dpu_hour]
    assert jobs == [1.85, 1.85, 2.9]
    assert _total(MonthlyUsage(), GlueVersion="5.1") > _total(MonthlyUsage(), GlueVersion="6.0")


@pytest.mark.parametrize(
    ("version", "region", "seconds", "usd"),
    [
        ("6.0", "us-east-1", 90, 0.0154),
        ("5.1", "us-east-1", 90, 0.022),
        ("6.0", "us-east-1", 5, 0.010267),  # a minute is the least
        ("6.0", "sa-east-1", 90, 0.02415),
        ("6.0", "eu-north-1", 90, 0.0154),  # not listed
        ("7.0", "us-east-1", 90, 0.022),
    ],
)
def test_the_cost_of_a_job_run_is_of_its_own_version(
    version: str, region: str, seconds: float, usd: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_REGION", region)
    run = {"ExecutionTime": seconds, "MaxCapacity": 2.0, "GlueVersion": version}
    assert run_facts(run)["costUsd"] == usd


def test_the_crawler_is_billed_for_ten_minutes_of_two_dpu() -> None:
    crawls = next(row for row in estimate(MonthlyUsage(runs=30), defaults()) if "crawler" in str(row["part"]))
    assert crawls["usd_month"] == 4.4


def test_the_command_says_which_region_it_prices(call: Call) -> None:
    assert "Glue jobs in sa-east-1" in call("estimate", "--region", "sa-east-1")[1]
    out = call("estimate", "--region", "eu-north-1")[1]
    assert "Glue jobs in us-east-1" in out
    assert "The price of eu-north-1 is not known here." in out
