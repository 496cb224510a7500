"""Serve the strict mock API from a shell: `python -m tests.mock_api --rows 1000 --fault reset,page=3`."""

from __future__ import annotations

import argparse
from pathlib import Path

from tests.mock_api.csv_records import read_csv
from tests.mock_api.dialects import Dialect
from tests.mock_api.server import MockApiServer

from brewhouse.mock_api.dataset import generate


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.mock_api")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--dialect", default=Dialect.CURRENT, type=Dialect)
    parser.add_argument("--throttle", action="store_true")
    parser.add_argument("--fault", action="append", default=[])
    given = parser.parse_args()
    server = MockApiServer(
        read_csv(given.data) if given.data else generate(given.rows),
        port=given.port,
        throttle=given.throttle,
        dialect=given.dialect,
        faults=given.fault,
    )
    server.start()
    print(f"{len(server)} breweries at {server.url}; stop with Ctrl-C", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
