"""Messages are validated before they are archived, and each type of event gets the fields of the lake's events."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.aws.cloud import RECORDED_EVENTS

from brewhouse.aws.functions.normalize import MAX_BYTES, InvalidEventError, decode_event, normalize
from brewhouse.events.envelope import EMPTY_DETAIL, JOB, decode_events

KINDS = sorted({each["event"]["detail-type"] for each in RECORDED_EVENTS})
CRAWLER = "Glue Crawler State Change"
TABLE = "Glue Data Catalog Table State Change"
CALL = "AWS API Call via CloudTrail"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
NAMES = ("state", "jobName", "crawlerName", "changedTables", "tableName", "databaseName", "userIdentity", "errorCode")


def event(**changes: object) -> dict[str, Any]:
    return {
        "id": "00000000-0000-0000-0000-000000000001",
        "detail-type": TABLE,
        "source": "aws.glue",
        "account": "123456789012",
        "time": "2026-08-02T06:00:01Z",
        "region": "eu-central-1",
        "resources": [],
        "detail": {},
        **changes,
    }


def derived(kind: str, detail: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of the detail that normalization adds or changes."""
    made = normalize(event(**{"detail-type": kind}, detail=detail), "brew", {}).detail
    return {name: value for name, value in made.items() if value != {**EMPTY_DETAIL, **detail}.get(name)}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("no event", "not valid JSON"),
        ('{"detail": NaN}', "not valid JSON"),
        ('{"detail": -Infinity}', "not valid JSON"),
        (json.dumps(event(detail={"x": "\ud800"})), "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ('"text"', "not a JSON object"),
        ("[1]", "not a JSON object"),
        ("null", "not a JSON object"),
        ('{"Type": "Notification", "Message": "{}"}', "id is missing"),
        (json.dumps(event(id=7)), "id is missing"),
        (json.dumps(event(source="")), "source is missing"),
        (json.dumps(event(time=None)), "time is missing"),
        (json.dumps(event(detail="text")), "detail is missing"),
        (json.dumps(event(time="yesterday")), "invalid time 'yesterday'"),
        (json.dumps(event(time="1969-12-31T23:59:59Z")), "invalid time '1969-12-31T23:59:59Z'"),
        (json.dumps(event(time="0001-01-01T00:00:00+10:00")), "invalid time '0001-01-01T00:00:00+10:00'"),
        (json.dumps(event(time="9999-12-31T23:59:59-10:00")), "invalid time '9999-12-31T23:59:59-10:00'"),
        (json.dumps(event(detail={"x": "é" * MAX_BYTES}), ensure_ascii=False), "too long"),
    ],
)
def test_an_invalid_message_is_rejected_with_a_reason(body: str, reason: str) -> None:
    with pytest.raises(InvalidEventError) as rejected:
        decode_event(body)
    assert str(rejected.value).startswith(reason)


def test_a_message_of_exactly_the_limit_is_accepted() -> None:
    empty = len(json.dumps(event(detail={"x": ""})))
    body = json.dumps(event(detail={"x": "x" * (MAX_BYTES - empty)}))
    assert len(body) == MAX_BYTES
    assert decode_event(body)["id"] == event()["id"]


@pytest.mark.parametrize("time", ["2026-08-02T06:00:01Z", "2026-08-02T06:00:01", "2026-08-02T08:00:01+02:00"])
def test_a_time_is_written_in_utc(time: str) -> None:
    assert normalize(event(time=time), "brew", {}).time == "2026-08-02T06:00:01+00:00"


@pytest.mark.parametrize(
    ("kind", "detail", "expected"),
    [
        (
            JOB,
            {"jobName": "brew-extract", "state": "SUCCEEDED"},
            {"jobName": "extract", "glueJobName": "brew-extract", "workflow": "breweries"},
        ),
        (
            JOB,
            {"jobName": "brew-maintain", "state": "TIMEOUT"},
            {"jobName": "maintain", "glueJobName": "brew-maintain", "workflow": "maintain", "severity": "ERROR"},
        ),
        (
            JOB,
            {"jobName": "brew-other", "state": "STOPPED"},
            {"jobName": "other", "glueJobName": "brew-other", "workflow": ""},
        ),
        (CRAWLER, {"crawlerName": "brew-raw", "state": "Started"}, {"jobName": "raw", "state": "RUNNING"}),
        (
            CRAWLER,
            {"crawlerName": "brew-raw", "state": "Failed", "errorMessage": "no role"},
            {"jobName": "raw", "state": "FAILED", "severity": "WARN", "message": "no role"},
        ),
        (
            TABLE,
            {"databaseName": "silver", "changedTables": ["a", "b"], "typeOfChange": "CreateTable"},
            {"message": "CreateTable of silver.a, b"},
        ),
        (TABLE, {"databaseName": "silver", "tableName": "a"}, {"message": "a change of silver.a"}),
        (TABLE, {"databaseName": "silver", "changedTables": []}, {"message": "a change of silver"}),
        (TABLE, {"databaseName": "silver", "changedTables": 5}, {"message": "a change of silver"}),
        (CALL, {"eventName": "DeleteTable", "userIdentity": {"arn": "arn:u"}}, {"message": "DeleteTable by arn:u"}),
        (
            CALL,
            {"eventName": "DeleteTable", "userIdentity": {"type": "AWSService"}},
            {"message": "DeleteTable by AWSService"},
        ),
        (CALL, {"userIdentity": "ann"}, {"message": "a call by an unknown caller"}),
        (
            CALL,
            {"eventName": "DeleteTable", "errorCode": "AccessDenied"},
            {"message": "DeleteTable by an unknown caller: AccessDenied", "severity": "WARN"},
        ),
        ("Another Event", {"state": "X"}, {}),
    ],
)
def test_each_type_of_event_gets_job_state_and_message(
    kind: str, detail: dict[str, Any], expected: dict[str, Any]
) -> None:
    added = derived(kind, detail)
    assert added.pop("aws") == event(**{"detail-type": kind}, detail=detail), "as received"
    assert added == expected


def test_the_given_facts_replace_fields_of_the_event() -> None:
    made = normalize(event(**{"detail-type": JOB}, detail={"runId": "", "state": "FAILED"}), "brew", {"runId": "R1"})
    assert (made.run, made.detail["state"]) == ("R1", "FAILED")


@settings(max_examples=40)
@given(st.dictionaries(st.sampled_from(NAMES) | st.text(), JSON), st.sampled_from([*KINDS, "Another Event"]))
def test_an_event_with_any_detail_is_archived_with_the_fields_of_the_lake(detail: dict[str, Any], kind: str) -> None:
    received = decode_event(json.dumps(event(**{"detail-type": kind}, detail=detail)))
    made = normalize(received, "brew", {})
    assert decode_events(made.encode()) == [made]
    assert (made.detail_type, made.time) == (kind, "2026-08-02T06:00:01+00:00")
    assert set(EMPTY_DETAIL) <= set(made.detail)
    assert made == normalize(received, "brew", {})
