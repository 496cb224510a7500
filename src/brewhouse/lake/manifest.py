"""The manifest of a complete raw snapshot, `manifest.json`."""

from __future__ import annotations

import msgspec

from brewhouse.source import Meta, SchemaDrift


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of distinct records, in total and by group, states across countries; groups do not count nulls."""

    total: int
    by_type: dict[str, int]
    by_country: dict[str, int]
    by_state: dict[str, int]


class Page(msgspec.Struct, frozen=True, kw_only=True, rename={"fetched_at": "taken_at"}):
    """A page as it was fetched; its number counts from 1, its time is ISO 8601, UTC.

    Attributes:
        status: HTTP status of the response; 5xx if its rows could only be fetched in smaller windows.
        sha256: Checksum of the uncompressed lines.
    """

    number: int
    file: str
    url: str
    status: int
    fetched_at: str
    records: int
    sha256: str


class MissingRow(msgspec.Struct, frozen=True, kw_only=True, rename={"missing_counts": "lacking"}):
    """A brewery that the source counts but fails to return.

    Attributes:
        position: In the order of ids, from 1.
        before_id: Id of the preceding record; None at the start, as `after_id` at the end.
        missing_counts: By group, how many records were not received; of all missing rows together if there are several.
    """

    position: int
    before_id: str | None
    after_id: str | None
    missing_counts: dict[str, dict[str, int]]


class Proof(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename={"attempts": "takes"}):
    """Evidence that a snapshot is complete.

    Attributes:
        records_without_id: Distinct records, byte for byte, without an id.
        attempts: Extractions until the counts matched the source, the first one included.
        compared_pages: Numbers of the pages that were fetched again at the end and had the same records.
    """

    records: int
    distinct_ids: int
    records_without_id: int
    groups_compared: list[str]
    attempts: int
    compared_pages: list[int] = []


class Manifest(msgspec.Struct, frozen=True, kw_only=True, rename={"missing_rows": "holes"}):
    """Description of a complete raw snapshot.

    Attributes:
        started_at: ISO 8601, UTC, like `finished_at`.
        missing: By group, how many records the missing rows leave out.
        fields_seen: By field, how often it had each JSON type.
    """

    run: str
    date: str
    source_url: str
    per_page_rows: int
    started_at: str
    finished_at: str
    code_version: str
    meta_before: Meta
    meta_after: Meta
    received: Counts
    missing: dict[str, dict[str, int]]
    fields_seen: dict[str, dict[str, int]]
    drift: list[SchemaDrift]
    missing_rows: list[MissingRow]
    proof: Proof
    pages: list[Page]
