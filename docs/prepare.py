"""Write models/prepared.json: what sqlglot derives from the SQL of the models and checks; `make docs` runs this.

The statements are those that two runs of two new lakes have in common. `tests/engines/test_dialect.py` fails if the
file is out of date.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from unittest import mock

import msgspec

from brewhouse.engines import dialect, duckdb
from brewhouse.lake.lake import Lake
from brewhouse.mock_api.dataset import generate
from brewhouse.mock_api.demo_server import DemoApiServer
from brewhouse.models import model
from brewhouse.models.model import ZONES, Prepared
from brewhouse.pipeline.workflow import run_workflow
from brewhouse.settings import SecretUrl, Settings

FILE = model.FOLDER / "prepared.json"
ROWS = 300


def records() -> list[dict[str, object]]:
    """Generate breweries, some of which violate each check of severity warning."""
    every = [dict(record) for record in generate(ROWS)]
    for record in every[:3]:
        record |= {"name": "One", "city": "Ghent", "address_1": "Street 1", "country": "Belgium"}
    every[3] |= {"country": "Belgium", "longitude": 51.05, "latitude": 3.72}
    every[4] |= {"country": "Belgium", "longitude": -110.5, "latitude": 3.72}
    every[5] |= {"country": "Atlantis"}
    every[6] |= {"name": None}
    return every


def statements() -> set[str]:
    """List the statements of a first and a second run that do not depend on the run."""

    def of_new_lake() -> set[str]:
        found = set()

        def record(sql: str) -> str:
            found.add(sql)
            return dialect.translate(sql)

        with (
            tempfile.TemporaryDirectory() as folder,
            DemoApiServer(records()) as server,
            mock.patch.object(duckdb, "to_duckdb", record),
        ):
            for _ in range(2):
                run_workflow(Lake(Path(folder)), Settings(source_url=SecretUrl(server.url)))
        return found

    return of_new_lake() & of_new_lake()


def prepare() -> Prepared:
    """Derive the whole content from the code."""
    files = [file for zone in ZONES for file in sorted((model.FOLDER / zone).glob("*.sql"))]
    with mock.patch.object(model, "prepared", return_value=Prepared({}, {})):
        models = [model.parse(f"{file.parent.name}.{file.stem}", file.read_text("utf-8")) for file in files]
    return Prepared(
        reads={each.version: (each.reads, each.depends_on) for each in models},
        duckdb={sql: dialect.translate(sql) for sql in sorted(statements())},
    )


if __name__ == "__main__":
    FILE.write_bytes(msgspec.json.format(msgspec.json.encode(prepare()), indent=1) + b"\n")
