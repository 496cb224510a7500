"""The lake's events as the functions read and write them: the same objects that the jobs write."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from typing import Any

from brewhouse.events.event_types import run_of_detail

_READERS = 16
_PRECONDITION_FAILED = 412


@dataclass(frozen=True, kw_only=True)
class Event:
    """One event, in the envelope of `brewhouse.events.event.Event`."""

    id: str
    detail_type: str
    time: str
    detail: dict[str, Any]
    source: str = "brewhouse"

    @property
    def run(self) -> str:
        """The run it belongs to."""
        return run_of_detail(self.detail)

    def encoded(self) -> bytes:
        """Give its one line of JSON."""
        envelope = {"id": self.id, "detail-type": self.detail_type, "time": self.time, "detail": self.detail}
        line = {**envelope, "source": self.source, "version": "0"}
        return json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode()


class Archive:
    """The events of a lake on S3.

    Args:
        client: boto3's for S3.
        bucket: Whose `lake/` it is.
    """

    def __init__(self, client: Any, bucket: str) -> None:  # noqa: ANN401 - boto3 makes its clients' classes when asked
        self._client = client
        self._bucket = bucket

    def put(self, event: Event) -> bool:
        """Write an event, unless it is there.

        Returns:
            Whether it was not there.
        """
        try:
            self._client.put_object(
                Bucket=self._bucket,
                Key=f"lake/events/date={event.time[:10]}/{event.id}.json",
                Body=event.encoded(),
                ContentType="application/json",
                IfNoneMatch="*",
            )
        except self._client.exceptions.ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == _PRECONDITION_FAILED:
                return False
            raise
        return True

    def read(self, since: date, after: str = "") -> list[Event]:
        """Read events, each once, oldest first; what cannot be read as an event is passed over.

        Args:
            since: The first day.
            after: Ids up to this one are left out on the first day.
        """
        keys = list(self._keys(since, after))
        with ThreadPoolExecutor(_READERS) as pool:
            events = {event.id: event for found in pool.map(self._events, keys) for event in found}
        return sorted(events.values(), key=lambda event: event.id)

    def _keys(self, since: date, after: str) -> Iterator[str]:
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix="lake/events/date=", StartAfter=f"lake/events/date={since}/{after}"
        )
        for page in pages:
            yield from (each["Key"] for each in page.get("Contents", []) if each["Key"].endswith(".json"))

    def _events(self, key: str) -> list[Event]:
        try:
            content: bytes = self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        except self._client.exceptions.NoSuchKey:  # put into its day's archive this very moment
            return []
        return [event for line in content.splitlines() if (event := _event(line)) is not None]


def _event(line: bytes) -> Event | None:
    with suppress(ValueError, KeyError, TypeError):
        found = json.loads(line)
        facts = {"id": found["id"], "detail_type": found["detail-type"], "time": found["time"]}
        if all(isinstance(fact, str) for fact in facts.values()) and isinstance(found["detail"], dict):
            return Event(**facts, detail=found["detail"], source=str(found.get("source", "")))
    return None
