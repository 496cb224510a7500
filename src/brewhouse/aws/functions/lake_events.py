"""The events of a lake on S3, read and written by the functions as by the jobs."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from typing import Any

from brewhouse.aws.functions.clients import CONNECTIONS
from brewhouse.events.envelope import EventEnvelope, decode_events

_PRECONDITION_FAILED = 412


@dataclass(frozen=True)
class LakeEvents:
    """The events below `lake/` of a bucket."""

    client: Any
    bucket: str

    def put(self, event: EventEnvelope) -> bool:
        """Write an event unless it exists; return whether it was written."""
        try:
            self.client.put_object(
                Bucket=self.bucket,
                Key=f"lake/{event.key}",
                Body=event.encode(),
                ContentType="application/json",
                IfNoneMatch="*",
            )
        except self.client.exceptions.ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == _PRECONDITION_FAILED:
                return False
            raise
        return True

    def read(self, since: date, after: str = "") -> list[EventEnvelope]:
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
