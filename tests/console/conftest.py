"""A lake of generated breweries with its console: as an application, as a server, and in a browser."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
import uvicorn
from fastapi.testclient import TestClient

from brewhouse.console.app import create_app
from brewhouse.lake.lake import Lake
from brewhouse.mock_api.dataset import generate
from brewhouse.mock_api.server import MockApiServer
from brewhouse.pipeline.workflow import run_workflow
from brewhouse.settings import Settings, load

if TYPE_CHECKING:
    from fastapi import FastAPI
    from playwright.sync_api import Browser, Page

EVIL = "<script>alert('x')</script>"
BREWERIES = 400


@pytest.fixture(scope="session")
def console_lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake after two runs, the second with a brewery more; one has a script for a name. Tests only read it."""
    lake = Lake(tmp_path_factory.mktemp("console") / "lake")
    records = [{**record, "name": EVIL} if row == 7 else record for row, record in enumerate(generate(BREWERIES))]
    for known in (records[:-1], records):
        with MockApiServer(iter(known)) as source:
            run_workflow(lake, load({"source_url": source.url}, environ={}))
    return lake


@pytest.fixture(scope="session")
def console_settings() -> Settings:
    """Settings as nobody changed them."""
    return load({}, environ={})


@pytest.fixture(scope="session")
def client(console_lake: Lake, console_settings: Settings) -> Iterator[TestClient]:
    """The console without a server."""
    with TestClient(create_app(console_lake, console_settings), base_url="http://127.0.0.1") as client:
        yield client


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """Serve an application on a free port of the loopback."""
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


@pytest.fixture(scope="session")
def console_url(console_lake: Lake, console_settings: Settings) -> Iterator[str]:
    """Where the console is served."""
    with served(create_app(console_lake, console_settings)) as url:
        yield url


@pytest.fixture(scope="module")
def browser(console_url: str) -> Iterator[Browser]:
    """Chromium, as the machine has it; made after the lake, since nothing can call `asyncio.run` while it is there."""
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
def page(browser: Browser, tmp_path: Path) -> Iterator[Page]:
    """A page of the browser; the test fails on any error in it, and on any request that leaves this machine."""
    wrong: list[str] = []
    context = browser.new_context(locale="en-GB", viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(10_000)
    page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
    page.on("console", lambda message: wrong.append(message.text) if message.type in {"error", "warning"} else None)
    page.on("request", lambda request: wrong.append(f"left: {request.url}") if not is_here(request.url) else None)
    yield page
    page.screenshot(path=tmp_path / "last.png")
    context.close()
    assert not wrong


def is_here(url: str) -> bool:
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
