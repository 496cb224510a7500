"""The way of an event, from the rules to the lake: what AWS sends in its own words, recorded in `recorded_events.json`.

The emulator's services send no events, and nobody may send some in their name; so each is tried on the deployed rules
(TestEventPattern) and then published to what they send to. EventBridge's own sending, and whether the topic's policy
lets it, are looked at as text only (`brewhouse.aws.template_checks`), and by `brewhouse aws verify` in a real account.
"""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from tests.aws.cloud import RECORDED_EVENTS, Cloud

from brewhouse.events.event import read_events
from brewhouse.lake.lake import Lake

RULES = ("JobRule", "CrawlerRule", "CatalogRule", "CallRule", "AlertRule")


def as_sent(cloud: Cloud, event: dict[str, Any]) -> str:
    text = json.dumps(event)
    names = {"stack": "brew", "account": cloud.account.number, "region": cloud.account.region, "bucket": cloud.bucket}
    for name, value in names.items():
        text = text.replace(f"{{{name}}}", value)
    return text


@pytest.fixture(scope="module")
def patterns(one_cloud: Cloud) -> dict[str, str]:
    """The pattern of each rule, as it is deployed."""
    events = one_cloud.client("events")
    names = {rule: one_cloud.resource(rule).rsplit("/", 1)[-1].split("|")[-1] for rule in RULES}
    return {rule: events.describe_rule(Name=name)["EventPattern"] for rule, name in names.items()}


@pytest.mark.parametrize("recorded", RECORDED_EVENTS, ids=[each["name"] for each in RECORDED_EVENTS])
def test_the_rules_take(one_cloud: Cloud, patterns: dict[str, str], recorded: dict[str, Any]) -> None:
    text = as_sent(one_cloud, recorded["event"])
    events = one_cloud.client("events")
    matched = [
        rule
        for rule, pattern in patterns.items()
        if events.test_event_pattern(Event=text, EventPattern=pattern)["Result"]
    ]
    assert matched == recorded["rules"]


def test_what_the_rules_send_to_the_topic_is_archived_by_the_deployed_function_under_its_role(
    cloud: Cloud,
) -> None:
    taken = [as_sent(cloud, each["event"]) for each in RECORDED_EVENTS if set(each["rules"]) - {"AlertRule"}]
    cloud.archives(enabled=True)
    try:
        for text in (*taken, taken[0], "no event"):
            cloud.client("sns").publish(TopicArn=cloud.resource("EventTopic"), Message=text)
        until = time.monotonic() + 30
        while (len(cloud.events()) < len(taken) or not _reasons(cloud)) and time.monotonic() < until:
            time.sleep(0.2)
    finally:
        cloud.archives(enabled=False)
    archived = cloud.events()
    assert sorted(event["detail"]["aws"]["id"] for event in archived.values()) == sorted(
        json.loads(text)["id"] for text in taken
    )
    assert all(key.startswith(f"lake/events/date={event['time'][:10]}/") for key, event in archived.items())
    assert _reasons(cloud) == ["not valid JSON"]
    assert len(read_events(Lake.at(f"s3://{cloud.bucket}/lake"))) == len(taken)


def _reasons(cloud: Cloud) -> list[str]:
    found = cloud.client("sqs").receive_message(
        QueueUrl=cloud.dead_letters, MessageAttributeNames=["All"], VisibilityTimeout=0, MaxNumberOfMessages=10
    )
    return [each["MessageAttributes"]["reason"]["StringValue"] for each in found.get("Messages", [])]
