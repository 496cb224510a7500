"""What a complete raw snapshot says of itself: the parts of `manifest.json`."""

from __future__ import annotations

import msgspec

from brewhouse.source import Meta, SchemaDrift


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """Records counted in total and by what they say; nulls are left out of the groups.

    Attributes:
        total: Distinct records.
        by_type: By `brewery_type`.
        by_country: By `country`.
        by_state: By `state_province`, across countries.
    """

    total: int
    by_type: dict[str, int]
    by_country: dict[str, int]
    by_state: dict[str, int]


class Page(msgspec.Struct, frozen=True, kw_only=True, rename={"fetched_at": "taken_at"}):
    """A page as it was taken.

    Attributes:
        number: From 1.
        file: Its file's name.
        url: Where it came from.
        status: HTTP status of the answer; 5xx when its rows could only be had in smaller windows.
        fetched_at: When, ISO 8601, UTC.
        records: How many records it holds.
        sha256: Of its lines, uncompressed.
    """

    number: int
    file: str
    url: str
    status: int
    fetched_at: str
    records: int
    sha256: str


class MissingRow(msgspec.Struct, frozen=True, kw_only=True, rename={"missing_counts": "lacking"}):
    """A brewery that the source counts but cannot give.

    Attributes:
        position: In the order of ids, from 1.
        before_id: Id of the record before it; None at the start.
        after_id: Id of the record after it; None at the end.
        missing_counts: By group, what the received records lack; of all holes together when there are several.
    """

    position: int
    before_id: str | None
    after_id: str | None
    missing_counts: dict[str, dict[str, int]]


class Proof(msgspec.Struct, frozen=True, kw_only=True, rename={"attempts": "takes"}):
    """Why a snapshot is complete.

    Attributes:
        records: Records received.
        distinct_ids: How many of them there are when each id counts once.
        records_without_id: Records that have no id; each counts once by its bytes.
        groups_compared: Which of the source's groups were found equal.
        attempts: How often it was taken until it agreed with the source, the first time included.
    """

    records: int
    distinct_ids: int
    records_without_id: int
    groups_compared: list[str]
    attempts: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True, rename={"missing_rows": "holes"}):
    """Everything about a complete raw snapshot.

    Attributes:
        run: Id of the run that began it.
        date: Day it was begun, UTC.
        source_url: Base URL of the source.
        per_page_rows: Records asked for in a page.
        started_at: ISO 8601, UTC.
        finished_at: ISO 8601, UTC.
        code_version: Of Brewhouse.
        meta_before: The source's counts before.
        meta_after: The source's counts after.
        received: The same counts of what was received.
        missing: By group, what the holes leave out.
        fields_seen: By field, how often it had which JSON type.
        drift: Deviations from the contract.
        missing_rows: Breweries that the source cannot give.
        proof: Why it is complete.
        pages: In order.
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
