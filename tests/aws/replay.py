"""Replays responses of AWS, as `brewhouse aws verify --record` writes them or as a test makes them up."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

from botocore.model import Shape

from brewhouse.aws.session import Account


def replay(account: Account, responses: Mapping[str, Any]) -> None:
    """Answer the calls of operations, named as `glue.GetJob`; others go to AWS.

    A response is an object, a list of them for consecutive calls, of which the last one stays, or an error as a tuple
    of code and message.
    """
    rest = {name: list(each) if isinstance(each, list) else [each] for name, each in responses.items()}

    def answer(model: Any, **_: object) -> tuple[SimpleNamespace, dict[str, Any]] | None:  # noqa: ANN401 - botocore
        queue = rest.get(f"{model.service_model.service_name}.{model.name}")
        if queue is None:
            return None
        found = queue.pop(0) if len(queue) > 1 else queue[0]
        if isinstance(found, tuple):
            found = {"Error": {"Code": found[0], "Message": found[1]}}
        status = 400 if "Error" in found else 200
        return SimpleNamespace(status_code=status), _typed(found, model.output_shape)

    for service in {name.split(".")[0] for name in rest}:
        account.client(service).meta.events.register("before-call", answer)


def _typed(value: Any, shape: Shape | None) -> Any:  # noqa: ANN401 - JSON
    """Turn the times of a response, which are text in JSON, into what botocore returns."""
    if shape is None or value is None:
        return value
    if shape.type_name == "structure" and isinstance(value, dict):
        return {name: _typed(each, shape.members.get(name)) for name, each in value.items()}
    if shape.type_name == "list":
        return [_typed(each, shape.member) for each in value]
    if shape.type_name == "map" and isinstance(value, dict):
        return {name: _typed(each, shape.value) for name, each in value.items()}
    if shape.type_name == "string" and not isinstance(value, str):  # a policy, which botocore decodes
        return quote(json.dumps(value))
    is_text = shape.type_name == "timestamp" and isinstance(value, str)
    return datetime.fromisoformat(value) if is_text else value
