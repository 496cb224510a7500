"""The API keeps to its OpenAPI description, whatever that allows to be asked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from brewhouse.console.app import create_app
from brewhouse.lake.lake import Lake
from brewhouse.settings import Settings

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
STARTS_SOMETHING = ("/api/v1/runs", "/api/v1/schedule")
"""What these do with a real run or the clock, `test_runs.py` shows."""


@pytest.fixture(scope="module")
def description(console_lake: Lake, console_settings: Settings) -> Iterator[BaseSchema]:
    app = create_app(console_lake, console_settings)
    with TestClient(app, base_url="http://127.0.0.1"):
        schema = schemathesis.openapi.from_dict(app.openapi())
        schema.app = app
        yield schema


def test_whatever_is_asked_the_answer_is_as_described(description: BaseSchema) -> None:
    asked = 0
    for found in description.get_all_operations():
        operation = found.ok()  # type: ignore[union-attr]
        if operation.path.startswith(STARTS_SOMETHING) and operation.method != "get":
            continue

        @settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy())
        def ask(case: schemathesis.Case[Any]) -> None:
            case.call_and_validate(base_url="http://127.0.0.1", checks=CHECKS)

        ask()
        asked += 1
    assert asked > 10
