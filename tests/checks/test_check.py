"""What failed checks mean."""

from __future__ import annotations

import pytest

from brewhouse.checks.check import Check, Severity, raise_on_failure
from brewhouse.errors import ChecksFailed


def check(severity: Severity, found: int, name: str = "a holds") -> Check:
    return Check(name=name, table="t", severity=severity, violations=found, example="row 7")


def test_passed_checks_and_warnings_let_the_publishing_go_on() -> None:
    raise_on_failure([check("error", 0), check("warning", 3)])


def test_a_failed_error_stops_with_every_number_and_example_and_exit_code_3() -> None:
    with pytest.raises(ChecksFailed) as caught:
        raise_on_failure([check("error", 2), check("warning", 9, "warned"), check("error", 1, "b holds")])
    assert caught.value.exit_code == 3
    assert "a holds (2 found, for example row 7)" in str(caught.value)
    assert "b holds (1 found" in str(caught.value)
    assert "warned" not in str(caught.value)
