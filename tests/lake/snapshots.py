"""Raw snapshots for tests: started, written and completed."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from brewhouse.lake.lake import Lake
from brewhouse.lake.manifest import Counts, Manifest, Page, Proof
from brewhouse.lake.snapshot_writer import ResumeInfo, SnapshotWriter
from brewhouse.source import Meta

URL = "http://brewery.test/v1"
LINES = [b'{"id" : "a"}', '{"id":"\\u00fc \U0001f37a"}'.encode()]


def start(lake: Lake, run: str = "01A", *, age_hours: float = 0.0, url: str = URL, size: int = 200) -> SnapshotWriter:
    started_at = (datetime.now(UTC) - timedelta(hours=age_hours)).isoformat()
    started = ResumeInfo(
        source_url=url, per_page_rows=size, page_size_rows=size, started_at=started_at, meta_before=Meta(total=2)
    )
    writer = SnapshotWriter(lake, run, started)
    writer.start()
    return writer


def write(writer: SnapshotWriter, number: int = 1, lines: list[bytes] = LINES) -> Page:
    fetched_at = writer.started.started_at
    return asyncio.run(writer.write_page(number, lines, url=f"{URL}/breweries", status=200, fetched_at=fetched_at))


def finish(writer: SnapshotWriter, *pages: Page, received: Counts | None = None) -> None:
    records = sum(page.records for page in pages)
    groups = Counts(total=records, by_type={}, by_country={}, by_state={})
    writer.complete(
        Manifest(
            run=writer.run,
            date=writer.date,
            source_url=URL,
            per_page_rows=200,
            started_at=writer.started.started_at,
            finished_at=writer.started.started_at,
            code_version="0",
            meta_before=Meta(total=records),
            meta_after=Meta(total=records),
            received=received or groups,
            missing={},
            fields_seen={},
            drift=[],
            missing_rows=[],
            proof=Proof(records=records, distinct_ids=records, records_without_id=0, groups_compared=[], attempts=1),
            pages=list(pages),
        )
    )
