"""Recording of AWS's responses, with the data of the account replaced, in the form that the tests replay."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from brewhouse.aws.session import Account
from brewhouse.aws.stacks import Stack, get_stack

FILE = "responses.json"
_ACCOUNT, _STACK = "123456789012", "brewhouse"
_ID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
_PATTERNS = {  # what is replaced by the format, with a number
    re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]+"): "someone-{}@example.org",
    _ID: "00000000-0000-0000-0000-{:012}",
    re.compile(r"\bA[A-Z]{3}[A-Z0-9]{12,}\b"): "AIDA{:016}",  # of a key, user or role
    re.compile(r"\b(?:jr|wr)_[0-9a-f]{32,}"): "jr_{:064}",
}
_ARN = re.compile(r"arn:[\w-]+:[\w-]+:[\w-]*:(?:\d{12})?:(?P<name>[^\s\"\\,]+)")
_BUCKET = re.compile(r'"S3BucketName": "(?P<name>[^"]+)"')


@contextmanager
def recording(account: Account, stack: Stack, folder: Path) -> Iterator[None]:
    """Write the responses of all services but S3 that arrive in the block, in order, by operation, into `FILE`."""
    responses: dict[str, list[dict[str, Any]]] = defaultdict(list)

    def keep(parsed: dict[str, Any], model: Any, **_: object) -> None:  # noqa: ANN401 - botocore
        service = model.service_model.service_name
        if service != "s3":  # its responses are the lake
            answer = {name: value for name, value in parsed.items() if name != "ResponseMetadata"}
            responses[f"{service}.{model.name}"].append(answer)

    account.watch(keep)
    get_stack(account, stack.name)
    try:
        yield
    finally:
        text = json.dumps(responses, indent=1, sort_keys=True, ensure_ascii=False, default=_encode)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FILE).write_text(scrubbed(text, account, stack) + "\n", "utf-8")


def scrubbed(text: str, account: Account, stack: Stack) -> str:
    """Replace account id, principals, names of foreign resources, mail addresses and ids in JSON, equal ones equally.

    Names of the stack's own resources stay, with the default names of stack and databases.
    """
    database = stack.parameters["CatalogDatabase"]
    own = re.compile(rf"(?<!\w)(?:{re.escape(stack.name)}(?!\w)|{re.escape(database)}_(?=[a-z]))")
    for pattern, form in _PATTERNS.items():
        text = _replace(text, pattern, form)
    if names := sorted(_foreign_names(text, own), key=len, reverse=True):
        anyone = "|".join(map(re.escape, names))
        text = _replace(text, re.compile(rf"(?<![\w.-])(?:{anyone})(?![\w.-])"), "name-{}")
    text = own.sub(lambda found: f"{_STACK}_" if found[0].endswith("_") else _STACK, text)
    return text.replace(account.number, _ACCOUNT)


def _foreign_names(text: str, own: re.Pattern[str]) -> set[str]:
    """Find the names of principals and resources that are not the stack's."""
    arns = [found["name"] for found in _ARN.finditer(text)]
    named = {
        re.split(r"[/:]", name, maxsplit=1)[-1] for name in arns if not own.search(name) and re.search("[/:]", name)
    }
    buckets = {found["name"] for found in _BUCKET.finditer(text) if not own.search(found["name"])}
    return {name for name in named | buckets if name != "*" and not _ID.fullmatch(name)}


def _replace(text: str, pattern: re.Pattern[str], form: str) -> str:
    """Replace each text that matches by the format with its number, in the order of their first places."""
    known: dict[str, str] = {}
    return pattern.sub(lambda found: known.setdefault(found[0], form.format(len(known) + 1)), text)


def _encode(value: Any) -> str:  # noqa: ANN401 - what JSON lacks
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
