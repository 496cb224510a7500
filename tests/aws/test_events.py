"""Events of AWS, in `documented_events.json` and `recorded/events.json`, pass from the deployed rules to the lake.

The emulator's services send no events, and events of AWS cannot be sent by others; so each is tested against the
deployed rules (TestEventPattern) and then published to their target. A second emulator, moto, accepts events of AWS,
and delivers them by the same patterns to a queue of each rule. Delivery by EventBridge, and its permission on the
topic, are covered by `template_checks.py` as text, and by `brewhouse aws verify` in a real account.
"""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.aws.cloud import DOCUMENTED_EVENTS, RECORDED_EVENTS, STACK, Cloud

from brewhouse.aws import recording
from brewhouse.aws.functions.lake_events import LakeEvents
from brewhouse.aws.functions.normalize import decode_event, normalize
from brewhouse.aws.stacks import get_stack
from brewhouse.events.event import read_events
from brewhouse.lake.lake import Lake

RULES = ("AlertRule", "CallRule", "CatalogRule", "CrawlerRule", "JobRule")


def as_text(cloud: Cloud, event: dict[str, Any]) -> str:
    text = json.dumps(event)
    names = {"stack": "brew", "account": cloud.account.number, "region": cloud.account.region}
    for name, value in names.items():
        text = text.replace(f"{{{name}}}", value)
    return text


@pytest.fixture(scope="module")
def patterns(one_cloud: Cloud) -> dict[str, str]:
    """The pattern of each deployed rule."""
    events = one_cloud.client("events")
    names = {rule: one_cloud.resource(rule).rsplit("/", 1)[-1].split("|")[-1] for rule in RULES}
    return {rule: events.describe_rule(Name=name)["EventPattern"] for rule, name in names.items()}


@pytest.mark.parametrize("recorded", RECORDED_EVENTS, ids=[each["name"] for each in RECORDED_EVENTS])
def test_an_event_matches_the_recorded_rules(
    one_cloud: Cloud, patterns: dict[str, str], recorded: dict[str, Any]
) -> None:
    text = as_text(one_cloud, recorded["event"])
    events = one_cloud.client("events")
    matched = [
        rule
        for rule, pattern in patterns.items()
        if events.test_event_pattern(Event=text, EventPattern=pattern)["Result"]
    ]
    assert matched == recorded["rules"]


def test_moto_delivers_the_recorded_events_as_their_rules_say(
    one_cloud: Cloud, patterns: dict[str, str], moto_url: str
) -> None:
    texts = {each["name"]: json.loads(as_text(one_cloud, each["event"])) for each in RECORDED_EVENTS}
    events, sqs = (one_cloud.account.session.client(name, endpoint_url=moto_url) for name in ("events", "sqs"))
    queues = {rule: sqs.create_queue(QueueName=rule)["QueueUrl"] for rule in RULES}
    for rule, url in queues.items():
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        events.put_rule(Name=rule, EventPattern=patterns[rule])
        events.put_targets(Rule=rule, Targets=[{"Id": "queue", "Arn": arn}])
    entries = [
        {"Source": e["source"], "DetailType": e["detail-type"], "Detail": json.dumps(e["detail"])}
        for e in texts.values()
    ]
    for first in range(0, len(entries), 10):  # as many as a call accepts
        assert events.put_events(Entries=entries[first : first + 10])["FailedEntryCount"] == 0
    delivered = {
        rule: [json.loads(message["Body"])["detail"] for message in _received(sqs, url)] for rule, url in queues.items()
    }
    matched = {name: [rule for rule in RULES if e["detail"] in delivered[rule]] for name, e in texts.items()}
    assert matched == {each["name"]: each["rules"] for each in RECORDED_EVENTS}


def _received(sqs: Any, url: str) -> list[Any]:  # noqa: ANN401 - boto3
    """Receive every message of a queue."""
    found: list[Any] = []
    while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        found += messages
    return found


def test_the_deployed_archiver_writes_the_published_events_under_its_role(
    cloud: Cloud,
) -> None:
    texts = [as_text(cloud, each["event"]) for each in RECORDED_EVENTS if set(each["rules"]) - {"AlertRule"}]
    cloud.archives(enabled=True)
    try:
        for text in (*texts, texts[0], "no event"):
            cloud.client("sns").publish(TopicArn=cloud.resource("EventTopic"), Message=text)
        until = time.monotonic() + 30
        while (len(cloud.events()) < len(texts) or not _reasons(cloud)) and time.monotonic() < until:
            time.sleep(0.2)
    finally:
        cloud.archives(enabled=False)
    archived = cloud.events()
    assert sorted(event["detail"]["aws"]["id"] for event in archived.values()) == sorted(
        json.loads(text)["id"] for text in texts
    )
    assert all(key.startswith(f"lake/events/date={event['time'][:10]}/") for key, event in archived.items())
    assert _reasons(cloud) == ["not valid JSON"]
    assert len(read_events(Lake.at(f"s3://{cloud.bucket}/lake"))) == len(texts)


def test_events_are_recorded_as_aws_sent_them_in_the_form_of_these_tests(
    cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "_DAYS", 3_650)
    arrived = [each for each in DOCUMENTED_EVENTS if each["rules"]]
    archive = LakeEvents(cloud.client("s3"), cloud.bucket)
    for each in (
        *arrived,
        arrived[0] | {"event": arrived[0]["event"] | {"id": "another", "time": "2026-08-03T06:03:11Z"}},
    ):
        archive.put(normalize(decode_event(as_text(cloud, each["event"])), STACK, {"costUsd": 1.5}))
    earlier = normalize(decode_event(as_text(cloud, arrived[1]["event"] | {"id": "of an earlier archiver"})), STACK, {})
    archive.put(replace(earlier, detail=earlier.detail | {"state": "EXPIRED", "aws": {"id": "earlier"}}))
    with recording.recording(cloud.account, get_stack(cloud.account, STACK), tmp_path):
        pass
    text = (tmp_path / recording.EVENTS).read_text("utf-8")
    found = json.loads(text)
    assert [(each["rules"], each["event"]) for each in found] == [(each["rules"], each["event"]) for each in arrived]
    assert found[0]["name"] == "Glue Job State Change {stack}-extract SUCCEEDED", "one of each kind"
    assert not [name for name in (STACK + "-", cloud.account.number, cloud.account.region) if name in text]


def _reasons(cloud: Cloud) -> list[str]:
    found = cloud.client("sqs").receive_message(
        QueueUrl=cloud.dead_letters, MessageAttributeNames=["All"], VisibilityTimeout=0, MaxNumberOfMessages=10
    )
    return [each["MessageAttributes"]["reason"]["StringValue"] for each in found.get("Messages", [])]
