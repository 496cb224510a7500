"""Tools for assistants, called with the SDK's own client in memory, over stdio and over HTTP."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from tests.mock_api.server import MockApiServer

from brewhouse.events.details import RunStarted
from brewhouse.events.event import EventLog
from brewhouse.lake.lake import Lake
from brewhouse.lake.run_lock import new_run_id, run_lock
from brewhouse.lakehouse import Lakehouse
from brewhouse.mcp_server import create_server
from brewhouse.mock_api.dataset import generate
from brewhouse.settings import load

Use = Callable[[Client], Awaitable[Any]]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake after one run."""
    root = tmp_path_factory.mktemp("mcp") / "lake"
    with MockApiServer(generate(300)) as source:
        Lakehouse(root, source_url=source.url).run()
    return root


@pytest.fixture(scope="module")
def call(root: Path) -> Callable[..., Any]:
    """Call a tool in memory."""
    server = create_server(load({"lake": str(root)}, environ={}))

    def call_tool(name: str, **arguments: object) -> Any:  # noqa: ANN401 - of the tool
        async def use() -> Any:  # noqa: ANN401 - of the tool
            async with Client(server) as client:
                return await client.call_tool(name, arguments)

        return asyncio.run(use())

    return call_tool


def test_every_tool_is_described_and_only_reads(root: Path) -> None:
    async def use() -> list[Any]:
        async with Client(create_server(load({"lake": str(root)}, environ={}))) as client:
            return list((await client.list_tools()).tools)

    tools = {tool.name: tool for tool in asyncio.run(use())}
    assert set(tools) == {"list_tables", "describe_table", "query", "list_changes", "list_runs", "show_run"}
    assert all(tool.description and tool.annotations.read_only_hint for tool in tools.values())


def test_tables_are_listed_and_described(call: Callable[..., Any]) -> None:
    tables = call("list_tables").structured_content["result"]
    assert {row["table"]: row["rows"] for row in tables}["silver.breweries"] == 300
    described = call("describe_table", table="silver.breweries").structured_content
    assert "id" in [column["name"] for column in described["columns"]]


def test_sql_reads_at_most_1000_rows(call: Callable[..., Any]) -> None:
    counted = call("query", sql="SELECT count(*) AS n FROM silver.breweries")
    assert not counted.is_error, counted
    assert counted.structured_content == {"columns": ["n"], "rows": [[300]], "is_truncated": False}
    cut = call("query", sql="SELECT range FROM range(5000)").structured_content
    assert (len(cut["rows"]), cut["is_truncated"]) == (1000, True)


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("DROP VIEW silver.breweries", "Only one SELECT can be run here"),
        ("SELECT * FROM read_csv('/etc/passwd')", "only tables are read here"),
        ("SELECT * FROM gold.none", "does not exist"),
    ],
)
def test_sql_that_does_not_only_read_tables_is_an_error_with_its_reason(
    call: Callable[..., Any], sql: str, message: str
) -> None:
    result = call("query", sql=sql)
    assert result.is_error
    assert message in result.content[0].text


def test_runs_checks_and_changes_are_read(call: Callable[..., Any]) -> None:
    (run,) = call("list_runs").structured_content["result"]
    shown = call("show_run").structured_content
    assert (shown["run"], shown["state"]) == (run["run"], "SUCCEEDED")
    assert shown["checks"]
    changes = call("list_changes", country="US", kinds=["added"], limit=5).structured_content["result"]
    assert {(row["country_code"], row["kind"]) for row in changes} == {("US", "added")}
    assert len(changes) <= 5
    assert "has no run none" in call("show_run", run="none").content[0].text


def test_a_run_that_holds_the_lock_is_running(root: Path, call: Callable[..., Any]) -> None:
    lake = Lake(root)
    run = new_run_id(lake)
    with run_lock(lake, run):
        event = EventLog(lake, run).emit(RunStarted(workflow="breweries", jobs=["extract"]))
        try:
            assert call("show_run").structured_content["state"] == "RUNNING"
            assert call("list_runs", limit=1).structured_content["result"][0]["state"] == "RUNNING"
        finally:
            (root / event.key).unlink()


def run_count(client: Client) -> Awaitable[Any]:
    return client.call_tool("query", {"sql": "SELECT count(*) FROM monitoring.runs"})


def test_the_command_serves_over_stdio(root: Path) -> None:
    async def use() -> Any:  # noqa: ANN401 - of the tool
        command = StdioServerParameters(command=sys.executable, args=["-m", "brewhouse", "mcp", "--lake", str(root)])
        async with Client(command) as client:
            return (await run_count(client)).structured_content

    assert asyncio.run(use())["rows"] == [[1]]


@pytest.fixture
def url(root: Path) -> Iterator[str]:
    """Address of the server over HTTP, with a password."""
    command = [sys.executable, "-m", "brewhouse", "mcp", "--http", "--port", "0", "--lake", str(root)]
    environ = {**os.environ, "BREWHOUSE_CONSOLE_PASSWORD": "s3cret-password"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ) as process:
        assert process.stdout is not None
        yield process.stdout.readline().split()[-1]
        process.terminate()


def test_http_needs_the_password_of_the_console(url: str) -> None:
    async def use(password: str) -> Any:  # noqa: ANN401 - of the tool
        headers = {"Authorization": f"Bearer {password}"}
        async with (
            httpx2.AsyncClient(headers=headers) as http,
            Client(streamable_http_client(url, http_client=http)) as client,
        ):
            return (await run_count(client)).structured_content

    assert asyncio.run(use("s3cret-password"))["rows"] == [[1]]
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic czNjcmV0"}):
        assert httpx2.post(url, json={}, headers=headers).status_code == 401
