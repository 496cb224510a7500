"""What reads from the console answers as its OpenAPI description says, whatever it is asked."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings

openapi = pytest.importorskip("schemathesis").openapi


def test_everything_that_reads_keeps_to_its_description(console_url: str) -> None:
    description = openapi.from_url(f"{console_url}/api/v1/openapi.json").include(method="GET")
    operations = [found.ok() for found in description.get_all_operations()]
    assert len(operations) >= 5
    for operation in operations:

        @given(case=operation.as_strategy())
        @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        def keeps(case) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001 - of schemathesis
            case.call_and_validate()

        keeps()
