"""A stack that is deployed in an account of the emulator."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brewhouse.aws.recording import EVENTS
from brewhouse.aws.session import Account

STACK = "brew"
RECORDED = Path(__file__).with_name("recorded")
"""What `brewhouse aws verify --record` wrote in a real account; missing until somebody has done so."""
DOCUMENTED_EVENTS = json.loads(Path(__file__).with_name("documented_events.json").read_text("utf-8"))
"""Events as AWS documents them, each with the rules that match it."""
RECORDED_EVENTS = [
    *DOCUMENTED_EVENTS,
    *(json.loads((RECORDED / EVENTS).read_text("utf-8")) if (RECORDED / EVENTS).exists() else []),
]


@dataclass
class Cloud:
    """A deployed stack; its archiver does not read the queue unless `archives` enables it.

    Attributes:
        queue: URL of the queue of events.
        dead_letters: URL of the dead-letter queue.
        alerts: ARN of the topic of alerts.
        url: Address of the emulator.
    """

    account: Account
    bucket: str
    queue: str
    dead_letters: str
    alerts: str
    url: str

    def client(self, service: str) -> Any:  # noqa: ANN401 - boto3
        """Return the client of a service."""
        return self.account.client(service)

    def resource(self, name: str) -> str:
        """Return the physical id of a resource of the template."""
        found = self.client("cloudformation").describe_stack_resource(StackName=STACK, LogicalResourceId=name)
        return str(found["StackResourceDetail"]["PhysicalResourceId"])

    def archives(self, *, enabled: bool) -> None:
        """Enable or disable the event source mapping of the deployed archiver."""
        self.client("lambda").update_event_source_mapping(UUID=self.resource("ArchiverMapping"), Enabled=enabled)

    def events(self) -> dict[str, dict[str, Any]]:
        """Read the archived events by their keys."""
        s3 = self.client("s3")
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix="lake/events/")
        keys = [each["Key"] for page in pages for each in page.get("Contents", [])]
        return {key: json.loads(s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()) for key in keys}

    def event(self, source: str = "aws.glue") -> dict[str, Any]:
        """Return the detail of the only archived event of a source."""
        [found] = [each["detail"] for each in self.events().values() if each["source"] == source]
        assert isinstance(found, dict)
        return found

    def clear(self) -> None:
        """Delete all events and messages."""
        s3, sqs = self.client("s3"), self.client("sqs")
        for page in s3.get_paginator("list_object_versions").paginate(Bucket=self.bucket, Prefix="lake/"):
            found = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
            if found:
                objects = [{"Key": each["Key"], "VersionId": each["VersionId"]} for each in found]
                s3.delete_objects(Bucket=self.bucket, Delete={"Objects": objects})
        for queue in (self.queue, self.dead_letters):
            sqs.purge_queue(QueueUrl=queue)
