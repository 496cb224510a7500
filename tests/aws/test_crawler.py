"""Which tables the crawler would create over the raw snapshots and events of a run.

No emulator crawls. The rules are Glue's: objects of an include path form one table if they have the same format and
compression and, unless compatible schemas are combined, similar fields; others become tables of their own.
https://docs.aws.amazon.com/glue/latest/dg/crawler-grouping-policy.html
"""

from __future__ import annotations

import copy
import gzip
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.aws.resolved_template import BUCKET, resolve
from tests.mock_api.server import MockApiServer

from brewhouse.aws.template import parse, template
from brewhouse.lake.lake import Lake
from brewhouse.mock_api.dataset import generate
from brewhouse.pipeline.workflow import run_workflow
from brewhouse.settings import load


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The objects of a lake after an interrupted and a complete extract, by key."""
    lake = Lake(tmp_path_factory.mktemp("crawled"))
    with MockApiServer(generate(60)) as source:
        run_workflow(lake, load({"source_url": source.url, "extract_retry_wait_s": 0}, environ={}), ("extract",))
    [manifest] = lake.bronze.rglob("manifest.json")
    content = {f"lake/{file.relative_to(lake.root)}": file.read_bytes() for file in _files(lake.root)}
    interrupted = str(manifest.parent.relative_to(lake.root))
    again = {key.replace("run=0", "run=1"): data for key, data in content.items() if f"lake/{interrupted}/page" in key}
    return {**content, **again, f"lake/{interrupted.replace('run=0', 'run=1')}/started.json": b'{"run": "1"}'}


@pytest.fixture
def crawler() -> dict[str, Any]:
    """The properties of the crawler."""
    return copy.deepcopy(resolve(parse(template()))["Crawler"]["Properties"])


def test_the_crawler_creates_a_table_of_the_pages_and_one_of_the_events(
    crawler: dict[str, Any], objects: dict[str, bytes]
) -> None:
    assert sorted(tables(crawler, objects)) == ["crawled_breweries", "crawled_events"]


@pytest.mark.parametrize("number", [0, 1])
def test_a_file_next_to_the_pages_would_become_a_table(
    crawler: dict[str, Any], objects: dict[str, bytes], number: int
) -> None:
    crawler["Targets"]["S3Targets"][0]["Exclusions"].pop(number)
    assert len(tables(crawler, objects)) == 3


def test_events_of_different_shapes_would_become_tables_unless_they_are_combined(
    crawler: dict[str, Any], objects: dict[str, bytes]
) -> None:
    del crawler["Configuration"]
    assert len(tables(crawler, objects)) > 2


def tables(crawler: Mapping[str, Any], objects: Mapping[str, bytes]) -> list[str]:
    """Return the names of the tables that a crawler creates over objects."""
    grouping = json.loads(crawler.get("Configuration", "{}")).get("Grouping", {})
    combines = grouping.get("TableGroupingPolicy") == "CombineCompatibleSchemas"
    found = []
    for target in crawler["Targets"]["S3Targets"]:
        prefix = target["Path"].removeprefix(f"s3://{BUCKET}/")
        excluded = [_pattern(each) for each in target.get("Exclusions", [])]
        groups = {
            (Path(key).suffix, "" if combines else fields)
            for key, content in objects.items()
            if key.startswith(prefix) and not any(glob.fullmatch(key.removeprefix(prefix)) for glob in excluded)
            for fields in _fields(key, content)
        }
        name = f"{crawler['TablePrefix']}{Path(prefix).name}"
        found += [name] if len(groups) == 1 else [f"{name}_{number}" for number, _ in enumerate(sorted(groups))]
    return found


def _fields(key: str, content: bytes) -> Iterator[str]:
    """Yield the names of the fields of each record, and of the objects in them."""
    for line in (gzip.decompress(content) if key.endswith(".gz") else content).splitlines():
        record = json.loads(line)
        yield str(
            sorted((name, *sorted(value)) if isinstance(value, dict) else (name,) for name, value in record.items())
        )


def _pattern(glob: str) -> re.Pattern[str]:
    """Translate a pattern of exclusion, whose `*` does not cross folders and whose `**` does."""
    return re.compile(re.escape(glob).replace(r"\*\*", ".*").replace(r"\*", "[^/]*"))


def _files(root: Path) -> Iterator[Path]:
    yield from (file for file in sorted(root.rglob("*")) if file.is_file())
