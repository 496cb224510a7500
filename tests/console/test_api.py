"""The API keeps to its OpenAPI description, whatever that allows to be asked."""

from __future__ import annotations

from typing import Any

import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
STARTS_SOMETHING = ("/api/v1/runs", "/api/v1/schedule")
"""What these do with a real run or the clock, `test_runs.py` shows."""


def test_whatever_is_asked_the_answer_is_as_described(console_url: str) -> None:
    description = schemathesis.openapi.from_url(f"{console_url}/api/v1/openapi.json")
    asked = 0
    for found in description.get_all_operations():
        operation = found.ok()  # type: ignore[union-attr]
        if operation.path.startswith(STARTS_SOMETHING) and operation.method != "get":
            continue

        @settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy())
        def ask(case: schemathesis.Case[Any]) -> None:
            case.call_and_validate(checks=CHECKS)

        ask()
        asked += 1
    assert asked > 10
