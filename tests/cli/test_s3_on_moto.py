"""A lake on another emulator of S3 and Glue, moto, which others wrote: the tables equal those of a local lake."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest
from tests.cli.test_jobs import HEADER, KEY
from tests.conftest import REGION, EnterAccount
from tests.mock_api.server import MockApiServer
from tests.s3_caches import forget

from brewhouse.lake.lake import Lake
from brewhouse.mock_api.dataset import generate

if TYPE_CHECKING:
    from tests.cli.conftest import Call

Content = Callable[..., dict[str, list[tuple[object, ...]]]]


@pytest.fixture
def shared(
    moto_url: str, enter_account: EnterAccount, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """An empty lake in a bucket of moto."""
    name = f"moto-{enter_account(monkeypatch, moto_url, tmp_path)}"
    place = {"LocationConstraint": REGION}
    boto3.Session().client("s3", region_name=REGION).create_bucket(Bucket=name, CreateBucketConfiguration=place)
    yield f"s3://{name}/lake"
    monkeypatch.undo()
    forget()


def test_run_query_maintain_and_backfill_give_the_tables_of_a_local_lake(
    call: Call, shared: str, tmp_path: Path, content: Content
) -> None:
    local = str(tmp_path / "lake")
    versions = [tmp_path / f"breweries-{date}.csv" for date in ("2018-01-01", "2024-01-01")]
    for version, key in zip(versions, ("ales-york", KEY), strict=True):
        version.write_text(f"{HEADER}{key},Ales,micro,1 Main St,,,York,,,,,,,\n")
    with MockApiServer(generate(60, unusable=2)) as source:
        commands = (("run", "--source-url", source.url), ("backfill", *versions), ("maintain",))
        for command in commands:
            for lake in (local, shared):
                done = call(*command, "--lake", lake)
                assert done.code == 0, done.err
            tables = content(Lake.at(local), "bronze.breweries")
            assert content(Lake.at(shared), "bronze.breweries") == tables
            assert len(tables) == 8
    sql = "SELECT country_code, sum(brewery_count) AS n FROM gold.breweries_by_location GROUP BY ALL ORDER BY ALL"
    for question in ((sql, "--json"), (sql, "--json", "--at", "2018-06-01"), ("--saved", "counts_over_time")):
        answers = [call("query", *question, "--lake", lake) for lake in (local, shared)]
        assert [answer.code for answer in answers] == [0, 0], answers[1].err
        assert answers[0].out == answers[1].out
