"""Recording of AWS's responses and events, with the data of the account replaced, in the form that the tests play."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from brewhouse.aws.deploy import resources
from brewhouse.aws.functions.lake_events import LakeEvents
from brewhouse.aws.session import Account
from brewhouse.aws.stacks import Stack, get_stack

RESPONSES, EVENTS = "responses.json", "events.json"
_DAYS = 14
_ACCOUNT, _STACK = "123456789012", "brewhouse"
_ID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
_PATTERNS = {  # what is replaced by the format, with a number
    re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]+"): "someone-{}@example.org",
    _ID: "00000000-0000-0000-0000-{:012}",
    re.compile(r"\bA[A-Z]{3}[A-Z0-9]{12,}\b"): "AIDA{:016}",  # of a key, user or role
    re.compile(r"\bjr_[0-9a-f]{32,}"): "jr_{:064}",
    re.compile(r"\bwr_[0-9a-f]{32,}"): "wr_{:064}",
}
_ARN = re.compile(r"arn:[\w-]+:(?!s3:)[\w-]+:[\w-]*:(?:\d{12})?:(?P<name>[^\s\"\\,]+)")
_NAME = re.compile(  # also in JSON within JSON
    r"arn:[\w-]+:s3:::(?P<bucket>[\w.-]+)"
    r'|\\?"(?:S3BucketName|sourceIPAddress|userName|vpcEndpointId)\\?": ?\\?"(?P<field>[^"\\]+)'
)
_OF_AWS = re.compile(r"\*|[\w.-]+\.amazonaws\.com")
_KIND = ("jobName", "crawlerName", "state", "typeOfChange", "eventName")
"""Fields of the detail by which kinds of events differ."""


@contextmanager
def recording(account: Account, stack: Stack, folder: Path) -> Iterator[None]:
    """Write the responses that arrive in the block, in order, by operation, then the events of the last two weeks.

    Of S3 only these events are recorded: its other objects are the lake.
    """
    responses: dict[str, list[dict[str, Any]]] = defaultdict(list)

    def keep(parsed: dict[str, Any], model: Any, **_: object) -> None:  # noqa: ANN401 - botocore
        service = model.service_model.service_name
        if service != "s3":
            answer = {name: value for name, value in parsed.items() if name != "ResponseMetadata"}
            responses[f"{service}.{model.name}"].append(answer)

    account.watch(keep)
    get_stack(account, stack.name)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        (folder / RESPONSES).write_text(scrubbed(_text(responses), account, stack), "utf-8")
        events = scrubbed(_text(list(_events(account, stack))), account, stack, "{account}", "{stack}")
        (folder / EVENTS).write_text(events.replace(account.region, "{region}"), "utf-8")


def _events(account: Account, stack: Stack) -> Iterator[dict[str, Any]]:
    """Yield the first event of each kind as AWS sent it, with the rules that match it, as AWS evaluates them."""
    client = account.client("events")
    rules = {
        rule: client.describe_rule(Name=name).get("EventPattern")
        for rule, name in resources(account, stack.name, "AWS::Events::Rule").items()
    }
    kinds: dict[str, dict[str, Any]] = {}
    since = datetime.now(UTC).date() - timedelta(days=_DAYS)
    for archived in LakeEvents(account.client("s3"), stack.parameters["BucketName"]).read(since):
        event = archived.detail.get("aws", {})
        if detail := event.get("detail"):
            words = (event["detail-type"], *(str(detail[name]) for name in _KIND if name in detail))
            kinds.setdefault(" ".join(words), event)
    for kind, event in kinds.items():
        matched = [
            rule
            for rule, pattern in rules.items()
            if pattern and client.test_event_pattern(Event=json.dumps(event), EventPattern=pattern)["Result"]
        ]
        yield {"name": kind, "rules": matched, "event": event}


def scrubbed(text: str, account: Account, stack: Stack, number: str = _ACCOUNT, name: str = _STACK) -> str:
    """Replace account id, principals, names of foreign resources, addresses and ids in JSON, equal ones equally.

    Names of the stack's own resources stay, with another name of the stack and the default name of the databases.
    """
    database = stack.parameters["CatalogDatabase"]
    own = re.compile(rf"(?<!\w)(?:{re.escape(stack.name)}(?!\w)|{re.escape(database)}_(?=[a-z]))")
    for pattern, form in _PATTERNS.items():
        text = _replace(text, pattern, form)
    if names := sorted(_foreign_names(text, own), key=len, reverse=True):
        anyone = "|".join(map(re.escape, names))
        text = _replace(text, re.compile(rf"(?<![\w.-])(?:{anyone})(?![\w.-])"), "name-{}")
    text = own.sub(lambda found: f"{_STACK}_" if found[0].endswith("_") else name, text)
    return text.replace(account.number, number)


def _foreign_names(text: str, own: re.Pattern[str]) -> set[str]:
    """Find the names of principals, addresses and resources that are neither the stack's nor AWS's."""
    foreign = [found["name"] for found in _ARN.finditer(text) if not own.search(found["name"])]
    paths = [re.split(r"[/:]", name, maxsplit=1)[-1] for name in foreign if name not in {"root", "catalog"}]
    others = (found["bucket"] or found["field"] for found in _NAME.finditer(text))
    named = {*paths, *(path.rpartition("/")[2] for path in paths), *(name for name in others if not own.search(name))}
    return {name for name in named if not (_OF_AWS.fullmatch(name) or _ID.fullmatch(name))}


def _replace(text: str, pattern: re.Pattern[str], form: str) -> str:
    """Replace each text that matches by the format with its number, in the order of their first places."""
    known: dict[str, str] = {}
    return pattern.sub(lambda found: known.setdefault(found[0], form.format(len(known) + 1)), text)


def _text(recorded: object) -> str:
    return json.dumps(recorded, indent=1, sort_keys=True, ensure_ascii=False, default=str) + "\n"
