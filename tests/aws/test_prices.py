"""The estimate of a month follows usage and parameters."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from brewhouse.aws.functions.job_runs import dpu_hour_usd, prices, run_facts
from brewhouse.aws.package import GLUE_PYTHON
from brewhouse.aws.prices import estimate
from brewhouse.aws.template import defaults

Call = Callable[..., tuple[int, str, str]]


def _total(usage: dict[str, Any] | None = None, **parameters: str) -> float:
    return float(estimate({**defaults(), **parameters}, **(usage or {}))[-1]["usd_month"])


def test_the_total_is_the_sum_of_the_parts() -> None:
    *parts, total = estimate(defaults())
    assert sum(float(part["usd_month"]) for part in parts) == pytest.approx(total["usd_month"], abs=0.05)


def test_without_usage_only_monitoring_and_maintenance_cost_money() -> None:
    rows = estimate(defaults(), runs=0, queries=0, stored_gb=0)
    costs = {str(row["part"]).split(":")[0] for row in rows if row["usd_month"] and row["part"] != "total"}
    assert costs == {"CloudWatch", "Functions and queues", "Glue maintenance"}


@pytest.mark.parametrize(
    ("more", "parameters"),
    [
        ({"runs": 60}, {}),
        ({"minutes_per_job": 4}, {}),
        ({"queries": 100_000}, {}),
        ({"stored_gb": 100}, {}),
        ({}, {"WorkerType": "G.2X"}),
        ({}, {"NumberOfWorkers": "4"}),
        ({}, {"KmsKeyArn": "arn:aws:kms:eu-central-1:123456789012:key/x"}),
    ],
)
def test_more_costs_more(more: dict[str, Any], parameters: dict[str, str]) -> None:
    assert _total(more, **parameters) > _total()


def test_the_crawler_costs_more_than_a_job() -> None:
    saved = _total() - _total(RunCrawler="false")
    job = 2 * 2 / 60 * dpu_hour_usd("6.0", "us-east-1")
    assert saved / 30 > job


def test_a_query_is_estimated_as_the_ten_megabytes_that_are_billed_at_least() -> None:
    assert _total({"queries": 20_000}) - _total({"queries": 0}) == pytest.approx(1)


def test_the_command_prints_date_and_source_without_an_account(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_REGION", raising=False)
    code, out, err = call("estimate", "--runs", "10")
    assert (code, err) == (0, "")
    assert str(prices()["as_of"]) in out
    assert prices()["source"][:30] in out
    listed = json.loads(call("estimate", "--json")[1])
    assert listed["parts"][-1]["part"] == "total"
    assert listed["region"] == "us-east-1"


def test_jobs_cost_what_their_glue_version_costs_in_their_region() -> None:
    found = [dpu_hour_usd(version, region) for region in prices()["glue_dpu_hour"] for version in ("6.0", "5.1")]
    assert found == [0.308, 0.44, 0.308, 0.44, 0.483, 0.69]
    assert list(prices()["glue_dpu_hour"]) == ["us-east-1", "eu-central-1", "sa-east-1"]
    assert set(prices()["glue_discount"]) < set(GLUE_PYTHON)
    jobs = [float(estimate(defaults(), region)[0]["usd_month"]) for region in prices()["glue_dpu_hour"]]
    assert jobs == [1.85, 1.85, 2.9]
    assert _total(GlueVersion="5.1") > _total(GlueVersion="6.0")


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
    crawls = next(row for row in estimate(defaults(), runs=30) if "crawler" in str(row["part"]))
    assert crawls["usd_month"] == 4.4


def test_the_command_says_which_region_it_prices(call: Call) -> None:
    assert "Glue jobs in sa-east-1" in call("estimate", "--region", "sa-east-1")[1]
    out = call("estimate", "--region", "eu-north-1")[1]
    assert "Glue jobs in us-east-1" in out
    assert "The price of eu-north-1 is not known here." in out


@pytest.mark.parametrize(
    ("region", "version", "derived"),
    [("us-east-1", "6.0", False), ("sa-east-1", "6.0", True), ("sa-east-1", "5.1", False)],
)
def test_a_derived_price_is_reported_as_such(call: Call, region: str, version: str, derived: bool) -> None:
    options = ("--region", region, "--parameter", f"GlueVersion={version}")
    assert ("price of the jobs is derived: that of Glue 5.1" in call("estimate", *options)[1]) is derived
    assert json.loads(call("estimate", *options, "--json")[1])["derived"] is derived
