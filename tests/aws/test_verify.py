"""`brewhouse aws verify` reports what has passed, failed or cannot be known yet in an account."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from tests.aws.cloud import STACK

from brewhouse.aws.session import Account
from brewhouse.aws.stacks import get_stack
from brewhouse.aws.verify import verify
from brewhouse.query.saved_queries import saved_queries

Call = Callable[..., tuple[int, str, str]]


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
    assert found["Athena counts what the run says"] == (None, "no run has published a table yet")
    assert found["events of Glue arrive in the lake"][0] is None
    assert found[f"trigger {STACK}-start is active"] == (True, "activated")


def test_queries_fail_without_tables(deployed: Account) -> None:
    found = results(deployed)
    for name in ("silver and gold count the same breweries", *(f"Athena runs {q.name}" for q in saved_queries())):
        passed, detail = found[name]
        assert passed is False
        assert "Athena could not run the query" in detail


def test_runs_crawls_and_tables_are_reported(deployed: Account) -> None:
    glue = deployed.client("glue")
    glue.start_workflow_run(Name=STACK)
    glue.start_job_run(JobName=f"{STACK}-extract")
    glue.start_crawler(Name=f"{STACK}-raw")
    for name, parameters in (("iceberg", {"metadata_location": "s3://b/m.json"}), ("broken", {})):
        glue.create_table(DatabaseName="brewhouse_gold", TableInput={"Name": name, "Parameters": parameters})
    found = results(deployed)
    assert found["the workflow has run"][0] is True
    assert found[f"job {STACK}-extract ran and succeeded"] == (True, "succeeded")
    assert found["brewhouse_gold.iceberg is an Iceberg table"] == (True, "s3://b/m.json")
    assert found["brewhouse_gold.broken is an Iceberg table"] == (False, "")


@pytest.mark.usefixtures("deployed")
def test_the_command_fails_with_the_names_of_failed_checks_or_prints_json(call: Call) -> None:
    code, out, err = call("verify", "--stack", STACK)
    assert code == 3
    assert "FAILED   Athena runs top_cities" in out
    assert "not yet  the workflow has run: no run yet" in out
    assert "Athena runs top_cities" in err
    code, out, _ = call("verify", "--stack", STACK, "--json")
    assert code == 0
    assert {"name", "passed", "detail"} == set(json.loads(out)[0])
