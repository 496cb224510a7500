"""The run lock of a lake on S3: exclusive, renewed while its holder runs, free after its TTL."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from brewhouse.errors import BrewhouseError
from brewhouse.lake.lake import Lake, Shared
from brewhouse.lake.run_lock import _Lease, _read_lease, holder, run_lock


def lease_of(lake: Lake) -> _Lease:
    lease, _ = _read_lease(lake)
    assert lease is not None
    return lease


def test_a_second_run_is_refused_and_the_error_names_the_first(shared_lake: Lake) -> None:
    lake = shared_lake
    assert holder(lake) is None
    with run_lock(lake, "FIRST"):
        held = holder(lake)
        assert held is not None
        assert held.run == "FIRST"
        refused = pytest.raises(BrewhouseError, match=r"locked by run FIRST, .*process \d+ on .*Wait for it")
        with refused, run_lock(lake, "SECOND"):
            pass
    assert holder(lake) is None
    with run_lock(lake, "THIRD"):
        pass


def test_one_of_many_concurrent_runs_acquires_it(shared_lake: Lake) -> None:
    lake = shared_lake

    def acquire(number: int) -> bool:
        try:
            with run_lock(lake, str(number)):
                time.sleep(0.3)
        except BrewhouseError:
            return False
        return True

    for _ in range(2):  # first the object is created, then it is taken over
        with ThreadPoolExecutor(8) as threads:
            assert sum(threads.map(acquire, range(8))) == 1


def test_it_is_renewed_while_its_holder_runs(shared_lake: Lake) -> None:
    lake = Lake(shared_lake.root, Shared(lock_ttl_s=0.4))
    with run_lock(lake, "LONG"):
        first = lease_of(lake)
        time.sleep(1)
        assert lease_of(lake).expires_at > first.expires_at


def test_the_lock_of_a_killed_run_is_free_after_its_ttl(shared_lake: Lake) -> None:
    lake = Lake(shared_lake.root, Shared(lock_ttl_s=60))
    with run_lock(lake, "DIES"):
        held = lease_of(lake)
    dead = msgspec.structs.replace(held, expires_at=datetime.now(UTC) + timedelta(seconds=0.5))
    lake.store.put("run.lock", msgspec.json.encode(dead))
    with pytest.raises(BrewhouseError, match="run DIES"), run_lock(lake, "EARLY"):
        pass
    time.sleep(0.6)
    with run_lock(lake, "LATE"):
        held_now = holder(lake)
        assert held_now is not None
        assert held_now.run == "LATE"


def test_a_run_that_lost_it_fails_and_leaves_it_to_the_new_holder(shared_lake: Lake) -> None:
    lake = Lake(shared_lake.root, Shared(lock_ttl_s=60))

    def lose_it() -> None:
        with run_lock(lake, "ASLEEP"):
            other = msgspec.structs.replace(lease_of(lake), run="OTHER")
            lake.store.put("run.lock", msgspec.json.encode(other))

    with pytest.raises(BrewhouseError, match="Run ASLEEP lost the lock"):
        lose_it()
    now = holder(lake)
    assert now is not None
    assert now.run == "OTHER"
