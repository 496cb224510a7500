"""The API conforms to its OpenAPI description for generated requests."""

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
CHANGES_STATE = ("/api/v1/runs", "/api/v1/schedule")
"""Paths of requests that start runs or switch the schedule; `test_runs.py` covers these."""


def test_every_response_conforms_to_the_description(console_url: str) -> None:
    description = schemathesis.openapi.from_url(f"{console_url}/api/v1/openapi.json")
    operations = 0
    for result in description.get_all_operations():
        operation = result.ok()  # type: ignore[union-attr]
        if operation.path.startswith(CHANGES_STATE) and operation.method != "get":
            continue

        @settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy())
        def call(case: schemathesis.Case[Any]) -> None:
            case.call_and_validate(checks=CHECKS)

        call()
        operations += 1
    assert operations > 10
