"""Writes to S3 whose responses are lost are recognised, and errors that S3 marks as transient are retried."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError
from tests.fault_proxy import FaultProxy, lost, refused

from brewhouse.lake.lake import Lake

RESETS = [None, 500]


@pytest.mark.parametrize("status", RESETS)
@pytest.mark.parametrize("times", [1, 3])
def test_a_create_whose_response_is_lost_succeeds(
    shared_lake: Lake, faulty_aws: FaultProxy, status: int | None, times: int
) -> None:
    fault = faulty_aws.fail(lost("PUT .*/x", status=status, times=times))
    version = shared_lake.store.put("x", b"mine", mode="create")["e_tag"]
    found = shared_lake.store.get("x")
    assert (bytes(found.bytes()), found.meta["e_tag"]) == (b"mine", version)
    assert len(fault.hits) == times


@pytest.mark.parametrize("status", RESETS)
def test_a_replacement_whose_response_is_lost_succeeds_with_the_new_version(
    shared_lake: Lake, faulty_aws: FaultProxy, status: int | None
) -> None:
    store = shared_lake.store
    first = store.put("x", b"first", mode="create")["e_tag"]
    faulty_aws.fail(lost("PUT .*/x", status=status))
    second = store.put("x", b"second", mode={"e_tag": first})["e_tag"]
    assert second not in (None, first)
    store.put("x", b"third", mode={"e_tag": second})
    with pytest.raises(PreconditionError):
        store.put("x", b"fourth", mode={"e_tag": second})


def test_an_object_of_another_writer_is_not_taken_for_our_own(shared_lake: Lake, faulty_aws: FaultProxy) -> None:
    store = shared_lake.store
    store.put("x", b"theirs")
    with pytest.raises(AlreadyExistsError):
        store.put("x", b"mine", mode="create")
    faulty_aws.before = lambda line: store.put("y", b"theirs") if line.startswith("GET") else None
    faulty_aws.fail(refused("PUT .*/y", 409, "ConditionalRequestConflict", times=2))
    with pytest.raises(AlreadyExistsError):
        store.put("y", b"mine", mode="create")


WRITES: dict[str, Callable[[Any], object]] = {
    "create": lambda store: store.put("y", b"new", mode="create"),
    "replace": lambda store: store.put("x", b"new", mode={"e_tag": store.head("x")["e_tag"]}),
    "overwrite": lambda store: store.put("x", b"new"),
}
READS: dict[str, Callable[[Any], object]] = {
    "get": lambda store: bytes(store.get("x").bytes()),
    "list": lambda store: [entry["path"] for page in store.list() for entry in page],
    "delete": lambda store: store.delete("x"),
}
CONFLICT, SLOW = (409, "ConditionalRequestConflict"), (400, "RequestTimeout")


@pytest.mark.parametrize(
    ("use", "status", "code"),
    [
        *((use, *CONFLICT) for use in WRITES),
        *((use, *SLOW) for use in (*WRITES, *READS)),
        ("create", 409, "OperationAborted"),
        ("create", 503, "SlowDown"),
        ("get", 429, "TooManyRequests"),
    ],
)
def test_a_transient_error_is_retried_whatever_its_status(
    shared_lake: Lake, faulty_aws: FaultProxy, use: str, status: int, code: str
) -> None:
    shared_lake.store.put("x", b"old")
    fault = faulty_aws.fail(refused("(GET|PUT|POST|DELETE) /bucket", status, code))
    {**WRITES, **READS}[use](shared_lake.store)
    assert len(fault.hits) == 1


def test_a_transient_error_that_stays_is_raised_after_some_attempts(shared_lake: Lake, faulty_aws: FaultProxy) -> None:
    fault = faulty_aws.fail(refused("PUT .*/x", 400, "RequestTimeout", times=99))
    with pytest.raises(BaseError, match="RequestTimeout"):
        shared_lake.store.put("x", b"new")
    assert len(fault.hits) == 3


def test_a_permanent_error_is_raised_at_once(shared_lake: Lake, faulty_aws: FaultProxy) -> None:
    fault = faulty_aws.fail(refused("PUT .*/x", 403, "RequestTimeTooSkewed", times=99))
    with pytest.raises(BaseError, match="RequestTimeTooSkewed"):
        shared_lake.store.put("x", b"new", mode="create")
    assert len(fault.hits) == 1


def test_pages_of_a_long_list_are_all_listed(shared_lake: Lake, faulty_aws: FaultProxy) -> None:
    store = shared_lake.store
    for number in range(3):
        store.put(f"list/{number}", b"")
    faulty_aws.fail(refused("GET .*list-type", 400, "RequestTimeout", times=2))
    assert [entry["path"] for page in store.list("list") for entry in page] == [f"list/{n}" for n in range(3)]
    assert [entry for page in store.list("none") for entry in page] == []
