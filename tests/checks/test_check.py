"""Check results: what blocks a publication, and what its error says."""

from __future__ import annotations

import msgspec
import pytest

from brewhouse.checks.check import Check, raise_on_failure
from brewhouse.errors import ChecksFailed
from brewhouse.models.header import Severity


def check(severity: Severity, violations: int, name: str = "a holds") -> Check:
    return Check(name=name, table="t", severity=severity, violations=violations, example="row 7")


def test_passed_checks_and_warnings_do_not_block_the_publication() -> None:
    raise_on_failure([])
    raise_on_failure([check("error", 0), check("warning", 3)])


def test_failed_checks_block_it_and_each_is_listed_with_its_violations_and_an_example() -> None:
    with pytest.raises(ChecksFailed) as caught:
        raise_on_failure([check("error", 2), check("warning", 9, "warned"), check("error", 1, "b holds")])
    assert caught.value.exit_code == 3
    assert "2 check(s) failed" in str(caught.value)
    assert "t: a holds (2 violations, for example row 7)" in str(caught.value)
    assert "t: b holds (1 violations" in str(caught.value)
    assert "warned" not in str(caught.value)


def test_in_json_the_number_of_violations_is_found() -> None:
    encoded = msgspec.json.encode(check("error", 2))
    assert msgspec.json.decode(encoded)["found"] == 2
    assert msgspec.json.decode(encoded, type=Check) == check("error", 2)
