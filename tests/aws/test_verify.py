"""Verification reports what has passed, failed or cannot be known yet; `test_real_workflow` covers the command."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from tests.aws.cloud import STACK

from brewhouse.aws.session import Account
from brewhouse.aws.stacks import get_stack
from brewhouse.aws.verify import verify
from brewhouse.query.saved_queries import saved_queries


@pytest.fixture(autouse=True)
def workflow_runs(deployed: Account) -> list[dict[str, Any]]:
    """Runs of the workflow, which the emulator does not list."""
    runs: list[dict[str, Any]] = []

    def answer(**_: object) -> tuple[SimpleNamespace, dict[str, Any]]:
        return SimpleNamespace(status_code=200), {"Runs": runs}

    deployed.client("glue").meta.events.register("before-call.glue.GetWorkflowRuns", answer)
    return runs


def results(account: Account) -> dict[str, tuple[bool | None, str]]:
    return {check.name: (check.passed, check.detail) for check in verify(account, get_stack(account, STACK))}


def test_a_new_stack_has_no_run_no_table_and_no_event_yet(deployed: Account) -> None:
    found = results(deployed)
    assert found["the workflow has run"] == (None, "no run yet")
    for job in ("extract", "transform", "aggregate", "maintain"):
        assert found[f"job {STACK}-{job} ran and succeeded"] == (None, "waiting")
    for zone in ("silver", "gold"):
        assert found[f"brewhouse_{zone} has tables"] == (None, "none yet")
    assert found[f"crawler {STACK}-raw succeeded"] == (None, "no crawl yet")
    assert found["row counts match the runs"] == (None, "no run has published a table yet")
    assert found["events of Glue arrive in the lake"][0] is None
    assert found[f"trigger {STACK}-start is active"] == (True, "activated")


def test_queries_fail_without_tables(deployed: Account) -> None:
    found = results(deployed)
    for name in ("silver and gold count the same breweries", *(f"Athena runs {q.name}" for q in saved_queries())):
        passed, detail = found[name]
        assert passed is False
        assert "Athena could not run the query" in detail


def test_runs_crawls_and_tables_are_reported(deployed: Account, workflow_runs: list[dict[str, Any]]) -> None:
    workflow_runs.append({"StartedOn": datetime(2026, 8, 2, 6, tzinfo=UTC)})
    glue = deployed.client("glue")
    glue.start_job_run(JobName=f"{STACK}-extract")
    glue.start_crawler(Name=f"{STACK}-raw")
    for name, parameters in (("iceberg", {"metadata_location": "s3://b/m.json"}), ("broken", {})):
        glue.create_table(DatabaseName="brewhouse_gold", TableInput={"Name": name, "Parameters": parameters})
    found = results(deployed)
    assert found["the workflow has run"] == (True, "the last run began 2026-08-02 06:00")
    assert found[f"job {STACK}-extract ran and succeeded"] == (True, "succeeded")
    assert found["brewhouse_gold.iceberg is an Iceberg table"] == (True, "s3://b/m.json")
    assert found["brewhouse_gold.broken is an Iceberg table"] == (False, "")
