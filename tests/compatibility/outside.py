"""Brewhouse from outside: its command line as processes, and breweries for its mock API to serve."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tests.compatibility import warm_process
from tests.mock_api.csv_records import read_csv
from tests.mock_api.server import MockApiServer

COLUMNS = (
    "id", "name", "brewery_type", "address_1", "address_2", "address_3", "city", "state_province", "postal_code",
    "country", "longitude", "latitude", "phone", "website_url",
)  # fmt: skip
Brewery = dict[str, str]

_PLACES = (
    ("Gent", "Vlaanderen", "Belgium", 3.7, 51.0),
    ("Bamberg", "Bayern", "Germany", 10.9, 49.9),
    ("Portland", "Oregon", "United States", -122.6, 45.5),
    ("Bend", "Oregon", "United States", -121.3, 44.0),
    ("Galway", "Galway", "Ireland", -9.0, 53.3),
    ("Utopolis", "Utopia", "Atlantis", -30.0, 30.0),
)
_KINDS = ("micro", "brewpub", "nano", "regional")
_TIMEOUT_S = 120
_NONE: Mapping[str, str] = MappingProxyType({})

NOBODY = "json://127.0.0.1:1"
"""An Apprise URL where nobody takes a message."""


def brewery(number: int, **differing: str) -> Brewery:
    """Invent a brewery; the same one for the same number, but for what is given."""
    city, state, country, longitude, latitude = _PLACES[number % len(_PLACES)]
    return {
        "id": f"00000000-0000-4000-8000-{number:012d}",
        "name": f"Brewery {number:02d}",
        "brewery_type": _KINDS[number % len(_KINDS)],
        "address_1": f"{number} Hop Street",
        "city": city,
        "state_province": state,
        "postal_code": f"{10_000 + number}",
        "country": country,
        "longitude": f"{longitude + number / 1000:.3f}",
        "latitude": f"{latitude + number / 1000:.3f}",
        "phone": "5035550100",
        "website_url": f"https://brewery-{number}.example",
        **differing,
    }


def breweries(version: int) -> list[Brewery]:
    """Give the breweries of the source as of a version, from 1: of each version some are new, gone or changed.

    Always one has no name, so it is rejected; one has text for coordinates, which is drift; one is far out of its
    country, which is doubtful; and those of Atlantis are in no country that ISO 3166 knows.
    """
    source = {number: brewery(number) for number in range(1, 61)}
    source[58] = brewery(58, longitude="12° E", latitude="50° N")
    source[59] = brewery(59, name="")
    source[60] = brewery(60, longitude="100.0", latitude="10.0", country="Belgium", state_province="Vlaanderen")
    for step in range(2, version + 1):
        _move_on(source, step)
    return list(source.values())


def _move_on(source: dict[int, Brewery], version: int) -> None:
    if version == 2:
        del source[1], source[2]
        source |= {number: brewery(number) for number in (61, 62, 63)}
        source[3] = brewery(3, name="Renamed 03")
        source[4] = brewery(4, brewery_type="closed")
    elif version == 3:
        del source[6]
        source[64] = brewery(64)
        source[4] = brewery(4)
        source[7] = brewery(7, phone="5035550107")
    else:
        del source[8]
        source |= {number: brewery(number) for number in (65, 66)}
        source[9] = brewery(9, brewery_type="closed")
        source[10] = brewery(10, city="Ghent", name="Renamed 10")


def environment(variables: Mapping[str, str] = _NONE) -> dict[str, str]:
    """Give a process's variables: this one's, without what would tell Brewhouse anything, and these.

    The source is one that does not answer, unless said otherwise: no test asks the real one.
    """
    own = ("BREWHOUSE_", "AWS_", "OPENLINEAGE_", "PYICEBERG_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    return {**kept, "BREWHOUSE_SOURCE_URL": "http://127.0.0.1:1/v1", **variables}


def command(*arguments: object) -> list[str]:
    """Give the command line of a `brewhouse` command."""
    return [sys.executable, "-m", "brewhouse", *map(str, arguments)]


def brewhouse(*arguments: object, variables: Mapping[str, str] = _NONE) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, in a folder without `brewhouse.toml`.

    Args:
        arguments: After `brewhouse`.
        variables: Of its environment.
    """
    with tempfile.TemporaryDirectory() as folder:
        return warm_process.run(
            [*map(str, arguments)], cwd=folder, environment=environment(variables), timeout_s=_TIMEOUT_S
        )


def output(*arguments: object, code: int = 0, variables: Mapping[str, str] = _NONE) -> str:
    """Run a command that must end with an exit code; gives its standard output."""
    done = brewhouse(*arguments, variables=variables)
    assert done.returncode == code, done.stderr
    return done.stdout


def run_json(*arguments: object, code: int = 0, variables: Mapping[str, str] = _NONE) -> Any:  # noqa: ANN401 - whatever JSON it is
    """Run a command with `--json` and return its output."""
    return json.loads(output(*arguments, "--json", code=code, variables=variables))


def rows(lake: Path, sql: str, *options: object) -> list[tuple[Any, ...]]:
    """Query a lake; gives the rows."""
    return [tuple(row.values()) for row in run_json("query", sql, "--lake", lake, *options)]


@contextmanager
def taker() -> Iterator[str]:
    """Serve what takes every message and says nothing; gives the Apprise URL of it."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the library's
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"json://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@contextmanager
def mock_api(source: Sequence[Brewery], *faults: str) -> Iterator[str]:
    """Serve breweries as the API does.

    Args:
        source: The breweries.
        faults: Faults to inject.

    Yields:
        Its base URL.
    """
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "breweries.csv"
        with data.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(source)
        with MockApiServer(read_csv(data), faults=faults) as server:
            yield server.url


def address_of(process: subprocess.Popen[str]) -> str:
    """Read the address that a command which serves says first."""
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.search(r"http://[^\s;]+", line)
    assert found, line
    return found[0].rstrip("/")


def interrupt(lake: Path, number: signal.Signals) -> int:
    """Begin a run and end it by a signal after its first page is taken; gives its exit code.

    Args:
        lake: Where it runs.
        number: The signal.
    """
    small_pages = {"BREWHOUSE_PER_PAGE_ROWS": "20"}
    with mock_api(breweries(1), "slow_s=600,page=2", "slow_s=600,page=3", "slow_s=600,page=4") as url:
        arguments = command("run", "--lake", lake, "--source-url", url, "--concurrency", "1", "--log-format", "json")
        before = set(lake.glob("bronze/breweries/*/*/page-*"))
        with subprocess.Popen(
            arguments, env=environment(small_pages), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stderr is not None
            for _ in process.stderr:  # a line for each step
                if set(lake.glob("bronze/breweries/*/*/page-*")) - before:
                    break
            process.send_signal(number)
            process.stderr.read()
        return process.returncode
