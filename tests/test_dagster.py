"""Dagster's view of the workflow: loaded, materialised against the stand-in, with checks that find something."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.mock_api.server import MockApiServer

from brewhouse.mock_api.dataset import generate
from brewhouse.settings import ScheduleSettings, SecretUrl, Settings

if TYPE_CHECKING:  # importing it takes seconds, which only these tests are to wait for
    import dagster as dg


@pytest.fixture(autouse=True)
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dagster keeps what it writes below the test's folder, and tells nobody."""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    (tmp_path / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")


def key(name: str) -> dg.AssetKey:
    import dagster as dg

    return dg.AssetKey(name.split("."))


def materialize(settings: Settings) -> dg.ExecuteInProcessResult:
    import dagster as dg

    from brewhouse.dagster import definitions

    with dg.DagsterInstance.ephemeral() as instance:
        job = definitions(settings).resolve_job_def("breweries")
        return job.execute_in_process(instance=instance, raise_on_error=False)


def test_every_table_is_an_asset_that_depends_on_what_it_reads() -> None:
    from brewhouse.dagster import RAW, definitions

    graph = definitions(Settings()).resolve_asset_graph()
    assert graph.get(key("silver.breweries")).parent_keys == {RAW}
    assert key("silver.breweries") in graph.get(key("gold.breweries_by_location")).parent_keys
    together = graph.get(key("silver.breweries")).execution_set_entity_keys
    assert key("silver.brewery_changes") in together, "a job is one step"
    assert {check.asset_key for check in graph.asset_check_keys} == graph.materializable_asset_keys - {RAW}


def test_the_schedule_is_that_of_the_settings() -> None:
    from brewhouse.dagster import definitions

    settings = Settings(schedule=ScheduleSettings(cron="30 5 * * 1", time_zone="Europe/Berlin"))
    schedule = definitions(settings).resolve_schedule_def("breweries_schedule")
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("30 5 * * 1", "Europe/Berlin")


def test_the_assets_are_materialized_and_a_failed_check_stops_them(tmp_path: Path) -> None:
    import dagster as dg

    from brewhouse.dagster import RAW

    lake = str(tmp_path / "lake")
    with MockApiServer(generate(60, unusable=2)) as source:
        done = materialize(Settings(lake=lake, source_url=SecretUrl(source.url)))
    assert done.success
    rows = {
        event.asset_key: event.materialization.metadata["dagster/row_count"].value
        for event in done.get_asset_materialization_events()
        if event.asset_key is not None
    }
    assert (rows[RAW], rows[key("silver.breweries")], rows[key("silver.rejected_breweries")]) == (60, 58, 2)
    found = {check.asset_key: check for check in done.get_asset_check_evaluations()}
    assert found[key("gold.breweries_by_location")].passed
    rejected = found[key("silver.rejected_breweries")]
    assert (rejected.passed, rejected.severity) == (False, dg.AssetCheckSeverity.WARN)

    with MockApiServer(generate(20)) as source:
        failed = materialize(Settings(lake=lake, source_url=SecretUrl(source.url)))
    assert not failed.success
    fell = {check.asset_key: check for check in failed.get_asset_check_evaluations()}[key("silver.breweries")]
    assert (fell.passed, fell.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert {event.asset_key for event in failed.get_asset_materialization_events()} == {RAW}
