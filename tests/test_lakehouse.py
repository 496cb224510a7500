"""The library: a lake with its jobs, tables and queries, and the examples of its page."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
from tests.mock_api.server import MockApiServer

import brewhouse
from brewhouse.errors import BrewhouseError, UsageError, install_command
from brewhouse.lakehouse import Rows
from brewhouse.mock_api.dataset import generate

PAGE = Path(__file__).parents[1] / "docs" / "library.md"


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> brewhouse.Lake:
    """A lake after the examples of the page; tests only read it."""
    root = tmp_path_factory.mktemp("library")
    with MockApiServer(generate(300)) as source, pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        names: dict[str, object] = {"source_url": source.url}
        for example in re.findall(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL):
            exec(compile(example, str(PAGE), "exec"), names)
    return brewhouse.Lake(root / "lake")


def test_the_jobs_run_one_at_a_time_too(tmp_path: Path) -> None:
    with MockApiServer(generate(20)) as source:
        lake = brewhouse.Lake(tmp_path / "lake", source_url=source.url)
        reports = [lake.extract(), lake.transform(), lake.aggregate()]
    assert [(r.state, [job.name for job in r.jobs]) for r in reports] == [
        ("SUCCEEDED", ["extract"]),
        ("SUCCEEDED", ["transform"]),
        ("SUCCEEDED", ["aggregate"]),
    ]
    first = lake.history("silver.breweries")[0]
    report = lake.rollback("silver.breweries", first["snapshot"])
    assert report.published[0]["snapshot"] == first["snapshot"]


def test_a_result_is_the_same_in_every_form(lake: brewhouse.Lake) -> None:
    result = lake.query("SELECT id, name FROM silver.breweries ORDER BY id LIMIT 3")
    rows = result.fetchall()
    assert (result.columns, len(rows)) == (["id", "name"], 3)
    assert list(result) == rows
    assert list(result.df().itertuples(index=False, name=None)) == rows
    assert [tuple(row.values()) for row in result.arrow().to_pylist()] == rows
    assert result.pl().rows() == rows
    assert [tuple(row.values()) for row in result.rows()] == rows
    assert "name" in repr(result)


@pytest.mark.parametrize(
    ("form", "module"), [("df", "pandas"), ("arrow", "pyarrow"), ("pl", "polars"), ("pl", "pyarrow")]
)
def test_a_form_whose_library_is_missing_names_how_to_install_it(
    lake: brewhouse.Lake, monkeypatch: pytest.MonkeyPatch, form: str, module: str
) -> None:
    result = lake.query("SELECT 1 AS n")
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UsageError, match=f"needs {module}, which is not installed") as failed:
        getattr(result, form)()
    assert install_command("dataframes") in failed.value.hint


def test_parameters_are_values(lake: brewhouse.Lake) -> None:
    sql = "SELECT count(*) FROM silver.breweries WHERE country_code = $country"
    ((number,),) = lake.query(sql, {"country": "US"}).fetchall()
    assert 0 < number < 300
    assert lake.query(sql, {"country": "' OR true --"}).fetchall() == [(0,)]


def test_a_notebook_shows_rows_and_results_as_tables_of_text(lake: brewhouse.Lake) -> None:
    html = lake.query("SELECT '<b>' AS \"a&b\", NULL AS n FROM range(60)")._repr_html_()
    assert html.startswith(
        "<table><thead><tr><th>a&amp;b</th><th>n</th></tr></thead><tbody><tr><td>&lt;b&gt;</td><td></td>"
    )
    assert (html.count("<tr>"), html.endswith("<p>… 10 more</p>")) == (51, True)
    assert lake.tables._repr_html_().count("<tr>") == 1 + len(lake.tables)
    assert Rows()._repr_html_() == "<table><thead><tr></tr></thead><tbody></tbody></table>"


def test_tables_history_and_changes_are_rows(lake: brewhouse.Lake) -> None:
    assert {row["table"]: row["rows"] for row in lake.tables}["silver.breweries"] == 300
    (snapshot,) = lake.history("silver.breweries")
    assert (snapshot["rows"], snapshot["current"]) == (300, True)
    assert {row["kind"] for row in lake.changes()} == {"added"}
    assert lake.changes(since=date(2999, 1, 1)) == lake.changes(kinds=["removed"]) == []
    assert list(lake.tables.df()["table"]) == [row["table"] for row in lake.tables]


def test_errors_are_those_of_the_command_line(tmp_path: Path, lake: brewhouse.Lake) -> None:
    with pytest.raises(UsageError, match=r"^concurrency must be 1 or more \(got 0\)"):
        brewhouse.Lake("lake", concurrency=0)
    with pytest.raises(UsageError, match="colour is not a setting"):
        brewhouse.Lake("lake", colour="red")
    with pytest.raises(BrewhouseError, match="does not exist"):
        _ = brewhouse.Lake(tmp_path / "none").tables
    with pytest.raises(UsageError, match="Only one SELECT can be run here"):
        lake.query("DROP VIEW silver.breweries")
    with pytest.raises(UsageError, match="cannot be run: Conversion Error"):
        lake.query("SELECT CAST('x' AS INT)").fetchall()
    assert not (tmp_path / "none").exists()


def test_importing_the_library_imports_nothing_else() -> None:
    code = "import sys; before = set(sys.modules); import brewhouse; print(*sorted(set(sys.modules) - before))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert {name.partition(".")[0] for name in out.split()} - set(sys.stdlib_module_names) == {"brewhouse"}
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        brewhouse.nothing  # noqa: B018


WITHOUT_DATAFRAMES = """
import asyncio, sys
from datetime import datetime
from pathlib import Path

sys.modules["numpy"] = None
from mcp import Client

import brewhouse
from brewhouse.backfill.backfill_job import run_backfill
from brewhouse.backfill.version_sources import list_versions
from brewhouse.console.sandbox import QueryRequest, Sandbox
from brewhouse.engines.duckdb import DuckDBEngine
from brewhouse.lake.lake import Lake
from brewhouse.mcp_server import create_server
from brewhouse.settings import load

root = Path.cwd() / "lake"
lake = brewhouse.Lake(root, source_url=sys.argv[1])
assert lake.run().state == "SUCCEEDED"
sql = "SELECT max(snapshot_time), count(*) FROM silver.brewery_changes WHERE snapshot_time < $now"
((time, number),) = lake.query(sql, {"now": datetime.now().astimezone()}).fetchall()
assert (type(time), number) == (datetime, 50), (time, number)
engine = DuckDBEngine()
(row,) = engine.rows("SELECT lower('ΟΔΟΣ İ') AS a, upper('straße') AS b, CAST(CAST('1e-9' AS DOUBLE) AS STRING) AS c")
assert list(row.values()) == ["οδος i̇", "STRASSE", "1.0E-9"], row
run_backfill(Lake(root), load({}, environ={}), list_versions([Path("version.csv")], "2024-01-01"))
assert lake.query("FROM silver.brewery_changes").rows(), "rebuilt"
result = Sandbox().run(QueryRequest(lake=str(root), sql="FROM silver.breweries", folder=str(root.parent)))
assert (result.error, result.rows) == (None, 50)


async def count():
    async with Client(create_server(load({"lake": str(root)}, environ={}))) as client:
        return await client.call_tool("query", {"sql": "SELECT count(*) FROM silver.breweries"})


assert asyncio.run(count()).structured_content["rows"] == [[50]]
"""


def test_only_data_frames_need_numpy(tmp_path: Path) -> None:
    (tmp_path / "numpy.py").write_text("raise ModuleNotFoundError('No module named numpy', name='numpy')")
    fields = (
        "id,name,brewery_type,address_1,city,state_province,postal_code,country,longitude,latitude,phone,website_url"
    )
    (tmp_path / "version.csv").write_text(f"{fields}\nb-york,B,micro,1 High St,York,,,England,-1.08,53.9,,\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}  # of the sandbox's process too
    with MockApiServer(generate(50)) as source:
        command = [sys.executable, "-c", WITHOUT_DATAFRAMES, source.url]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
