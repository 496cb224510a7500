"""What lies in a lake: its files, what they say of themselves, and the columns of its tables."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import duckdb
import pytest
from tests.compatibility.conftest import ONE_LAKE, Seen
from tests.compatibility.outside import rows
from tests.compatibility.shapes import Shape, mismatches

pytestmark = ONE_LAKE

META: Shape = {
    "total": "integer",
    "by_type": {"*": "integer"},
    "by_country": {"*": "integer"},
    "by_state": {"*": "integer"},
}
MANIFEST: Shape = {
    "run": "string",
    "date": "string",
    "source_url": "string",
    "per_page_rows": "integer",
    "started_at": "string",
    "finished_at": "string",
    "code_version": "string",
    "meta_before": META,
    "meta_after": META,
    "received": META,
    "missing": {"*": {"*": "integer"}},
    "fields_seen": {"*": {"*": "integer"}},
    "drift": [{"name": "string", "detail": "string", "count": "integer", "example": "string"}],
    "holes": [],
    "proof": {
        "records": "integer",
        "distinct_ids": "integer",
        "records_without_id": "integer",
        "groups_compared": ["string"],
        "takes": "integer",
        "compared_pages?": ["integer"],
    },
    "pages": [
        {
            "number": "integer",
            "file": "string",
            "url": "string",
            "status": "integer",
            "taken_at": "string",
            "records": "integer",
            "sha256": "string",
        }
    ],
    "sha256": "string",
}
STARTED: Shape = {
    "source_url": "string",
    "per_page_rows": "integer",
    "page_size_rows": "integer",
    "started_at": "string",
    "meta_before": META,
}

ULID = "[0-9A-HJKMNP-TV-Z]{26}"
UUID = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
CHECKSUM = "[0-9a-f]{12}"
DAY = r"date=\d{4}-\d\d-\d\d"
FILES = (
    rf"bronze/breweries/{DAY}/run={ULID}/page-\d{{5}}\.{CHECKSUM}\.jsonl\.gz",
    rf"bronze/breweries/{DAY}/run={ULID}/manifest\.json",
    rf"bronze/breweries/{DAY}/run={ULID}/started\.json",
    rf"warehouse/(silver|gold)/\w+/data/{UUID}\.{CHECKSUM}\.parquet",
    rf"warehouse/(silver|gold)/\w+/metadata/\d{{5}}-{UUID}\.{CHECKSUM}\.metadata\.json",
    rf"warehouse/(silver|gold)/\w+/metadata/{UUID}-m\d+\.{CHECKSUM}\.avro",
    rf"warehouse/(silver|gold)/\w+/metadata/snap-\d+-\d+-{UUID}\.{CHECKSUM}\.avro",
    r"warehouse/(silver|gold)/\w+/metadata/version-hint\.text",
    rf"events/{DAY}/{ULID}\.json",
    rf"logs/{DAY}/{ULID}\.jsonl",
    r"catalog\.db",
    r"brewhouse\.duckdb",
    r"views/[0-9a-f]{16}\.duckdb",
    r"run\.lock",
    r"alerts\.lock",
)

ADDRESS = (
    "name string", "brewery_type string", "address_1 string", "address_2 string", "address_3 string", "city string",
    "state_province string", "postal_code string", "country string",
)  # fmt: skip
PLACE = ("country_code string", "country_name string", "state_code string", "state_name string")
POINT = ("longitude double", "latitude double")
REACHED = ("phone string", "website_url string")
TAKEN = ("snapshot_run string", "snapshot_time timestamptz")
COLUMNS = {
    "silver.breweries": (
        "id string", *ADDRESS, *PLACE, "city_name string", "place_match string", *POINT, "coordinates_issue string",
        *REACHED, *TAKEN,
    ),
    "silver.rejected_breweries": (
        "reasons string", "id string", *ADDRESS, "longitude string", "latitude string", *REACHED, "state string",
        "street string", "page long", "record string", *TAKEN,
    ),
    "silver.brewery_changes": (
        "id string", "kind string", "changed_fields string", *ADDRESS, "country_code string", "state_code string",
        *POINT, *REACHED, *(column.replace(" ", "_before ") for column in (*ADDRESS, *POINT, *REACHED)), *TAKEN,
        "previous_run string",
    ),
    "silver.suspect_breweries": (
        "id string", "name string", "brewery_type string", "address_1 string", "city_name string",
        "country_code string", "country_name string", *POINT, "doubt string", "detail string", *TAKEN,
    ),
    "gold.breweries_by_location": (
        *PLACE, "city_name string", "brewery_count long", "operating_count long", "planned_count long",
        "closed_count long", "with_coordinates_count long",
    ),
    "gold.breweries_by_type_and_location": (
        *PLACE, "city_name string", "brewery_type string", "brewery_count long", "with_coordinates_count long",
        "share_of_country double",
    ),
    "gold.brewery_counts_over_time": (
        "snapshot_date date", *PLACE, "brewery_type string", "brewery_count long", "snapshot_run string",
    ),
}  # fmt: skip
ORDER: dict[str, tuple[list[str], list[str]]] = {
    "silver.breweries": (["country"], ["state_province", "city", "name"]),
    "silver.rejected_breweries": ([], ["page", "record"]),
    "silver.brewery_changes": ([], ["snapshot_run", "id"]),
    "silver.suspect_breweries": ([], ["doubt", "country_code", "id"]),
    "gold.breweries_by_location": ([], ["country_name", "state_name", "city_name"]),
    "gold.breweries_by_type_and_location": ([], ["country_name", "state_name", "city_name", "brewery_type"]),
    "gold.brewery_counts_over_time": ([], ["snapshot_date", "country_name", "state_name", "brewery_type"]),
}

VIEWED = {
    "bronze.breweries": {
        *((name, "VARCHAR") for name in (
            "id", "name", "brewery_type", "address_1", "address_2", "address_3", "city", "state_province",
            "postal_code", "country", "longitude", "latitude", "phone", "website_url", "state", "street", "record",
        )),
        ("page", "BIGINT"),
    },
    "monitoring.events": {
        *((name, "VARCHAR") for name in (
            "id", "detail_type", "source", "run", "job", "state", "level", "message",
        )),
        ("time", "TIMESTAMP WITH TIME ZONE"),
        ("detail", "JSON"),
    },
    "monitoring.runs": {
        *((name, "VARCHAR") for name in ("run", "workflow", "state", "error")),
        ("started_at", "TIMESTAMP WITH TIME ZONE"),
        ("ended_at", "TIMESTAMP WITH TIME ZONE"),
        ("seconds", "DOUBLE"),
        ("jobs", "JSON"),
    },
    "monitoring.checks": {
        *((name, "VARCHAR") for name in ("run", "job", "table", "name", "severity", "example")),
        ("time", "TIMESTAMP WITH TIME ZONE"),
        ("found", "BIGINT"),
        ("passed", "BOOLEAN"),
    },
    "monitoring.unreadable_events": {("file", "VARCHAR"), ("lines", "BIGINT")},
}  # fmt: skip


def snapshot_folder(seen: Seen, step: str) -> Path:
    """Find the raw snapshot that a step began."""
    (folder,) = seen.lake.glob(f"bronze/breweries/date=*/run={seen.run_of(step)}")
    return folder


def metadata(lake: Path) -> dict[str, Any]:
    """Read the current Iceberg metadata of each table, as its catalog knows it."""
    with closing(sqlite3.connect(lake / "catalog.db")) as connection:
        known = connection.execute(
            "SELECT table_namespace || '.' || table_name, metadata_location FROM iceberg_tables "
            "WHERE catalog_name = 'brewhouse'"
        ).fetchall()
    return {name: json.loads(Path(urlsplit(place).path).read_bytes()) for name, place in known}


def test_every_file_of_a_lake_has_a_name_of_these(seen: Seen) -> None:
    names = [file.relative_to(seen.lake).as_posix() for file in seen.lake.rglob("*") if file.is_file()]
    known = {pattern: [name for name in names if re.fullmatch(pattern, name)] for pattern in FILES}
    assert [pattern for pattern, found in known.items() if not found] == []
    assert set(names) - {name for found in known.values() for name in found} == set()


@pytest.mark.parametrize(("step", "records"), [("run", 60), ("extract", 61)])
def test_the_manifest_of_a_raw_snapshot(seen: Seen, step: str, records: int) -> None:
    folder = snapshot_folder(seen, step)
    manifest = json.loads((folder / "manifest.json").read_bytes())
    assert mismatches(manifest, MANIFEST) == []
    assert f"date={manifest['date']}" == folder.parent.name
    assert f"run={manifest['run']}" == folder.name
    assert manifest["proof"] == {
        "records": records,
        "distinct_ids": records,
        "records_without_id": 0,
        "groups_compared": ["by_type", "by_country", "by_state"],
        "takes": 1,
        "compared_pages": [1],
    }
    assert manifest["fields_seen"]["id"] == {"string": records}
    assert {(each["name"], each["detail"], each["count"]) for each in manifest["drift"]} == {
        ("coordinates_as_text", "latitude", 1),
        ("coordinates_as_text", "longitude", 1),
    }


def test_pages_hold_the_records_as_lines_under_a_name_made_of_their_checksum(seen: Seen) -> None:
    folder = snapshot_folder(seen, "run")
    (page,) = json.loads((folder / "manifest.json").read_bytes())["pages"]
    content = gzip.decompress((folder / page["file"]).read_bytes())
    sha256 = hashlib.sha256(content).hexdigest()
    assert (page["number"], page["status"], page["sha256"]) == (1, 200, sha256)
    assert page["file"] == f"page-00001.{sha256[:12]}.jsonl.gz"
    assert page["records"] == len(content.splitlines()) == 60
    assert set(json.loads(content.splitlines()[0])) == {
        "id", "name", "brewery_type", "address_1", "address_2", "address_3", "city", "state_province", "postal_code",
        "country", "longitude", "latitude", "phone", "website_url", "state", "street",
    }  # fmt: skip


@pytest.mark.parametrize("step", ["run", "stopped", "killed"])
def test_what_is_known_of_a_raw_snapshot_that_was_begun(seen: Seen, step: str) -> None:
    folder = snapshot_folder(seen, step)
    assert mismatches(json.loads((folder / "started.json").read_bytes()), STARTED) == []
    assert (folder / "manifest.json").exists() == (step == "run")


def test_the_lock_names_the_run_that_has_it_or_had_it_last(seen: Seen) -> None:
    named = json.loads((seen.lake / "run.lock").read_bytes())
    assert mismatches(named, {"run": "string", "started_at": "string", "pid": "integer", "host": "string"}) == []
    assert named["run"] == seen.run_of("maintain")


def test_the_log_of_a_run_is_a_file_of_lines(seen: Seen) -> None:
    (file,) = seen.lake.glob(f"logs/date=*/{seen.run_of('run')}.jsonl")
    line: Shape = {
        "time": "string",
        "level": "string",
        "run": "string",
        "job?": "string",
        "message": "string",
        "logger": "string",
        "traceback?": "string",
    }
    lines = [json.loads(text) for text in file.read_text("utf-8").splitlines()]
    assert mismatches(lines, [line]) == []
    assert {each["run"] for each in lines} == {seen.run_of("run")}


def test_the_catalog_knows_these_tables_with_these_columns(seen: Seen) -> None:
    found = metadata(seen.lake)
    assert set(found) == set(COLUMNS)
    for name, table in found.items():
        (schema,) = (each for each in table["schemas"] if each["schema-id"] == table["current-schema-id"])
        columns = tuple(f"{field['name']} {field['type']}" for field in schema["fields"])
        assert columns == COLUMNS[name], name
        assert [field["id"] for field in schema["fields"]] == list(range(1, len(columns) + 1))


def test_tables_are_partitioned_and_sorted_by_these(seen: Seen) -> None:
    for name, table in metadata(seen.lake).items():
        (schema,) = (each for each in table["schemas"] if each["schema-id"] == table["current-schema-id"])
        names = {field["id"]: field["name"] for field in schema["fields"]}
        (spec,) = (each for each in table["partition-specs"] if each["spec-id"] == table["default-spec-id"])
        (order,) = (each for each in table["sort-orders"] if each["order-id"] == table["default-sort-order-id"])
        found = [[names[field["source-id"]] for field in each["fields"]] for each in (spec, order)]
        assert found == list(ORDER[name]), name
        assert {field["transform"] for each in (spec, order) for field in each["fields"]} == {"identity"}


def test_tables_lie_below_their_zone(seen: Seen) -> None:
    for name, table in metadata(seen.lake).items():
        folder = seen.lake / "warehouse" / name.replace(".", "/")
        assert Path(urlsplit(table["location"]).path) == folder


def test_every_snapshot_says_what_it_was_made_of(seen: Seen) -> None:
    keys = {f"brewhouse.{key}" for key in ("run", "raw-snapshot", "snapshot-time", "models", "compared-with")}
    for name, table in metadata(seen.lake).items():
        for snapshot in table["snapshots"]:
            own = {key for key in snapshot["summary"] if key.startswith("brewhouse.")}
            assert own == keys, name


def test_snapshots_name_their_run_the_raw_snapshot_and_the_one_before(seen: Seen) -> None:
    first, second = seen.run_of("run"), seen.run_of("extract")
    named = [
        {
            key.removeprefix("brewhouse."): value
            for key, value in snapshot["summary"].items()
            if key.startswith("brewhouse.") and key not in ("brewhouse.models", "brewhouse.snapshot-time")
        }
        for snapshot in metadata(seen.lake)["silver.breweries"]["snapshots"]
    ]
    assert named == [
        {"run": first, "raw-snapshot": first, "compared-with": ""},
        {"run": seen.run_of("transform"), "raw-snapshot": second, "compared-with": first},
        {"run": seen.run_of("rebuild"), "raw-snapshot": first, "compared-with": ""},
        {"run": seen.run_of("rebuild"), "raw-snapshot": second, "compared-with": first},
    ]


@pytest.mark.parametrize("table", VIEWED)
def test_what_is_no_table_has_these_columns_too(seen: Seen, table: str) -> None:
    assert set(rows(seen.lake, f"SELECT column_name, column_type FROM (DESCRIBE {table})")) == VIEWED[table]


def test_any_client_of_duckdb_reads_the_views(seen: Seen) -> None:
    with duckdb.connect(str(seen.lake / "brewhouse.duckdb"), read_only=True) as connection:
        known = connection.execute(
            "SELECT schema_name || '.' || view_name FROM duckdb_views() WHERE NOT internal"
        ).fetchall()
        assert {name for (name,) in known} == {"bronze.breweries", *COLUMNS}
        assert connection.execute("SELECT count(*) FROM silver.breweries").fetchone() == (60,)
