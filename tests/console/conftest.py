"""A lake of generated breweries with its console: in process, served over HTTP, and in a browser."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
import uvicorn
from fastapi.testclient import TestClient
from tests.events.any_events import AnyEventLog
from tests.mock_api.server import MockApiServer

from brewhouse.console.app import create_app
from brewhouse.events.envelope import JOB, RUN
from brewhouse.events.run_reports import ENDED
from brewhouse.lake.lake import Lake
from brewhouse.mock_api.dataset import generate
from brewhouse.pipeline.workflow import run_workflow
from brewhouse.settings import Settings, load

if TYPE_CHECKING:
    from fastapi import FastAPI
    from playwright.sync_api import Browser, Page

EVIL = "<script>alert('x')</script>"
BREWERIES = 400


@pytest.fixture(scope="session")
def console_lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A read-only lake after two runs, the second with one more brewery; the name of one brewery is a script."""
    lake = Lake(tmp_path_factory.mktemp("console") / "lake")
    records = [{**record, "name": EVIL} if row == 7 else record for row, record in enumerate(generate(BREWERIES))]
    for served_records in (records[:-1], records):
        with MockApiServer(iter(served_records)) as source:
            run_workflow(lake, load({"source_url": source.url}, environ={}))
    return lake


@pytest.fixture(scope="session")
def console_settings() -> Settings:
    """The default settings."""
    return load({}, environ={})


@pytest.fixture(scope="session")
def client(console_lake: Lake, console_settings: Settings) -> Iterator[TestClient]:
    """A client of the console, in process."""
    with TestClient(create_app(console_lake, console_settings), base_url="http://127.0.0.1") as client:
        yield client


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """Serve an application on a free loopback port."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


@dataclass
class RecordedRuns:
    """A lake with a run in every state, recorded as events; no process wrote them.

    Attributes:
        states: State of each run, by its id.
    """

    lake: Lake
    states: dict[str, str] = field(default_factory=dict)

    def record(self, run: str, state: str, *jobs: tuple[str, str], **facts: object) -> None:
        """Record a run; only a state in `ENDED` ends the run or the job.

        Args:
            jobs: Name and state of each job that started.
            facts: Further details of the run's events.
        """
        self.states[run] = state
        log = AnyEventLog(self.lake, run)
        details = {"workflow": "breweries", "jobs": ["extract", "transform", "aggregate"], **facts}
        log.write(RUN, {**details, "message": f"run {run} starts"})
        for name, job_state in jobs:
            log.write(JOB, {"jobName": name, "message": f"{name} starts"})
            if job_state in ENDED:
                end = {"state": job_state, "seconds": 1.5, "message": f"{name} {job_state}", "counts": {"records": 9}}
                log.write(JOB, {"jobName": name, **end})
        if state in ENDED:
            message = "" if state == "SUCCEEDED" else f"{run} ended with <b>{state}</b>"
            log.write(RUN, {**details, "state": state, "seconds": 4.0, "message": message})


@pytest.fixture
def recorded_runs(tmp_path: Path) -> RecordedRuns:
    """Runs that succeeded, failed, timed out, were stopped and interrupted, and one between two jobs of AWS Glue."""
    runs = RecordedRuns(Lake(tmp_path / "recorded"))
    done = [("extract", "SUCCEEDED"), ("transform", "SUCCEEDED"), ("aggregate", "SUCCEEDED")]
    runs.record("succeeded-run", "SUCCEEDED", *done)
    runs.record("failed-run", "FAILED", ("extract", "SUCCEEDED"), ("transform", "FAILED"))
    runs.record("timed-out-run", "TIMEOUT", ("extract", "TIMEOUT"))
    runs.record("stopped-run", "STOPPED", ("extract", "STOPPED"))
    runs.record("interrupted-run", "INTERRUPTED", ("extract", "RUNNING"))
    runs.record("external-run", "RUNNING", ("extract", "SUCCEEDED"), workflowRunId="wr_1")
    return runs


@pytest.fixture(scope="session")
def console_url(console_lake: Lake, console_settings: Settings) -> Iterator[str]:
    """The address of a served console."""
    with served(create_app(console_lake, console_settings)) as url:
        yield url


@pytest.fixture(scope="module")
def browser(console_url: str) -> Iterator[Browser]:
    """The Chromium of this machine; started after the lake is built, since `asyncio.run` fails while it is open."""
    del console_url
    sync_api = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("needs a browser: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A browser page; the test fails on any error in it, and on any request to another machine."""
    problems: list[str] = []
    failed_before = request.session.testsfailed
    context = browser.new_context(locale="en-GB", viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(10_000)
    page.on("pageerror", lambda error: problems.append(f"error: {error}"))
    page.on("console", lambda message: problems.append(message.text) if message.type in {"error", "warning"} else None)
    page.on(
        "request", lambda request: problems.append(f"request: {request.url}") if not is_local(request.url) else None
    )
    yield page
    if problems or request.session.testsfailed > failed_before:
        page.screenshot(path=tmp_path / "last.png")
    context.close()
    assert not problems


def is_local(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme in {"data", "blob"} or parts.hostname == "127.0.0.1"


HOSTILE_NAME = 'O\'Brien "&" <b onclick=x>{{ 7*7 }}</b>'


@pytest.fixture(scope="session")
def varied_lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A read-only lake after two runs whose records have every irregularity that the console shows."""
    lake = Lake(tmp_path_factory.mktemp("varied") / "lake")
    before = list(generate(120))
    before[3] |= {"name": HOSTILE_NAME}
    before[4] |= {"country": "Atlantis", "state": "Deep", "state_province": "Deep"}
    before[5] |= {"latitude": 85.0, "longitude": 10.0}  # north of the map
    before[6] |= {"name": None}
    before[7] |= {"brewery_type": "micro"}
    before[8] |= {"brewery_type": "closed"}
    before[9] |= {"latitude": None, "longitude": None}
    before[11] |= {key: value for key, value in before[12].items() if key != "id"}  # a duplicate
    after = [{**record} for record in before[:-1]]  # one was removed
    after[7] |= {"brewery_type": "closed"}
    after[8] |= {"brewery_type": "micro"}
    after[13] |= {"phone": "5035550100"}
    after.append(next(iter(generate(1, seed=2))))
    for records in (before, after):
        with MockApiServer(iter(records)) as source:
            run_workflow(lake, load({"source_url": source.url}, environ={}))
    return lake


@pytest.fixture(scope="session")
def varied_client(varied_lake: Lake, console_settings: Settings) -> Iterator[TestClient]:
    """The console of the varied lake."""
    with TestClient(create_app(varied_lake, console_settings), base_url="http://127.0.0.1") as client:
        yield client


@pytest.fixture(scope="session")
def empty_client(tmp_path_factory: pytest.TempPathFactory, console_settings: Settings) -> Iterator[TestClient]:
    """The console of a lake without any run."""
    lake = Lake(tmp_path_factory.mktemp("empty") / "lake")
    (lake.events / "date=2026-08-02").mkdir(parents=True)
    with TestClient(create_app(lake, console_settings), base_url="http://127.0.0.1") as client:
        yield client
