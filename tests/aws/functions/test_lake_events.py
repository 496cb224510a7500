"""The functions write and read the same event files as the jobs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.events.any_events import AnyEventLog

from brewhouse.aws.functions.lake_events import LakeEvents
from brewhouse.aws.session import Account
from brewhouse.events.envelope import JOB, Event
from brewhouse.events.event import read_events
from brewhouse.ids import id_at
from brewhouse.lake.lake import Lake

DAY = datetime(2026, 8, 2, 6, tzinfo=UTC)


def envelope(minutes: int, **detail: str) -> Event:
    moment = DAY + timedelta(minutes=minutes)
    event_id = id_at(moment, str(minutes).encode())
    return Event(id=event_id, detail_type=JOB, time=moment.isoformat(), detail=dict(detail))


@pytest.fixture
def bucket(account: Account) -> str:
    name = f"lake-{account.number}"
    account.client("s3").create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": account.region})
    return name


@pytest.fixture
def lake_events(account: Account, bucket: str) -> LakeEvents:
    return LakeEvents(account.client("s3"), bucket)


def test_jobs_read_the_events_of_functions_and_functions_those_of_jobs(lake_events: LakeEvents, bucket: str) -> None:
    lake = Lake.at(f"s3://{bucket}/lake")
    written = AnyEventLog(lake, "R1").write(JOB, {"jobName": "extract"})
    lake_events.put(envelope(0, jobName="transform"))
    by_jobs = [(event.id, event.time, event.detail, event.run) for event in read_events(lake)]
    by_functions = [(event.id, event.time, event.detail, event.run) for event in lake_events.read(DAY.date())]
    assert by_functions == by_jobs
    assert written.id in [event_id for event_id, *_ in by_jobs]


def test_an_event_is_written_once(lake_events: LakeEvents) -> None:
    assert lake_events.put(envelope(0, message="first"))
    assert not lake_events.put(envelope(0, message="second"))
    assert [event.detail["message"] for event in lake_events.read(DAY.date())] == ["first"]


def test_events_are_read_in_order_each_once_without_invalid_lines(
    account: Account, bucket: str, lake_events: LakeEvents
) -> None:
    events = [envelope(minutes) for minutes in (3, 1, 2)]
    for event in events:
        lake_events.put(event)
    lines = [events[1].encode(), events[2].encode(), b"{not JSON", b"[1]", b'{"id": 1}', b"\xff", b""]
    invalid = [
        b'{"id": "x", "detail-type": "y", "time": "z", "detail": []}',
        b'{"id": "x", "detail-type": "y", "time": "z"}',
    ]
    s3 = account.client("s3")
    s3.put_object(Bucket=bucket, Key="lake/events/date=2026-08-02/events.abc.json", Body=b"\n".join(lines + invalid))
    s3.put_object(Bucket=bucket, Key="lake/events/date=2026-08-02/notes.txt", Body=envelope(9).encode())
    assert lake_events.read(DAY.date()) == [envelope(1), envelope(2), envelope(3)]


def test_reading_starts_at_a_day_and_after_an_id(lake_events: LakeEvents) -> None:
    events = [envelope(minutes) for minutes in (0, 10, 24 * 60)]
    for event in events:
        lake_events.put(event)
    assert lake_events.read(DAY.date(), after=id_at(DAY + timedelta(minutes=5), b"")) == events[1:]
    assert lake_events.read(DAY.date() + timedelta(days=1)) == events[2:]
    assert lake_events.read(DAY.date() + timedelta(days=2)) == []


def test_an_event_that_is_compacted_while_it_is_read_is_skipped(
    account: Account, bucket: str, lake_events: LakeEvents, monkeypatch: pytest.MonkeyPatch
) -> None:
    lake_events.put(envelope(1))
    lake_events.put(envelope(2))
    s3 = account.client("s3")
    list_keys = LakeEvents._keys

    def compact(self: LakeEvents, since: Any, after: str) -> list[str]:  # noqa: ANN401
        keys = list(list_keys(self, since, after))
        s3.delete_object(Bucket=bucket, Key=keys[0])
        return keys

    monkeypatch.setattr(LakeEvents, "_keys", compact)
    assert lake_events.read(DAY.date()) == [envelope(2)]


def test_a_rejected_write_is_raised(account: Account) -> None:
    s3 = account.client("s3")
    with pytest.raises(s3.exceptions.ClientError, match="NoSuchBucket"):
        LakeEvents(s3, "absent").put(envelope(0))
