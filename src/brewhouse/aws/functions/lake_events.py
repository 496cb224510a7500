"""The events of a lake on S3, read and written by the functions as by the jobs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from brewhouse.aws.functions.clients import CONNECTIONS, unless
from brewhouse.events.envelope import Event, decode_events

LINE_CHARACTERS = 2_000
_PRECONDITION_FAILED = 412


@dataclass(frozen=True)
class LakeEvents:
    """The events below `lake/` of a bucket."""

    client: Any
    bucket: str

    def put(self, event: Event) -> bool:
        """Write an event unless it exists; return whether it was written."""
        place = {"Bucket": self.bucket, "Key": f"lake/{event.key}", "ContentType": "application/json"}
        put = self.client.put_object
        return unless([_PRECONDITION_FAILED], put, **place, Body=event.encode(), IfNoneMatch="*") is not None

    def put_log(self, event: Event, lines: Sequence[tuple[datetime, str]]) -> None:
        """Write the log lines of a job run under the id of the event of its end, shortened; replaces them."""
        about = {
            "job": event.detail["jobName"],
            "job_run_id": event.detail["jobRunId"],
            "run": event.detail.get("runId", ""),
        }
        rows = (
            {"time": moment.isoformat(), **about, "line": number, "message": line[:LINE_CHARACTERS]}
            for number, (moment, line) in enumerate(lines, start=1)
        )
        body = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows).encode(errors="replace")
        key = f"lake/{event.key.replace('events/', 'job_logs/', 1)}l"
        self.client.put_object(Bucket=self.bucket, Key=key, Body=body, ContentType="application/jsonl")

    def read(self, since: date, after: str = "") -> list[Event]:
        """Read each event since a day (on it, after an id) once, oldest first; skip lines that are not events."""
        keys = list(self._keys(since, after))
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            events = {event.id: event for content in pool.map(self._content, keys) for event in decode_events(content)}
        return sorted(events.values(), key=lambda event: event.id)

    def _keys(self, since: date, after: str) -> Iterator[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix="lake/events/date=", StartAfter=f"lake/events/date={since}/{after}"
        )
        for page in pages:
            yield from (each["Key"] for each in page.get("Contents", []) if each["Key"].endswith(".json"))

    def _content(self, key: str) -> bytes:
        try:
            return bytes(self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read())
        except self.client.exceptions.NoSuchKey:  # compacted into the day's archive since it was listed
            return b""
