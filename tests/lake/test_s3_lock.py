"""The lock of a lake on S3: one at a time, renewed while its run lives, free a while after it died."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from brewhouse.errors import BrewhouseError
from brewhouse.lake.lake import Lake, Shared
from brewhouse.lake.run_lock import holder, run_lock
from brewhouse.lake.s3_lock import Lease, read


def held_by(lake: Lake) -> Lease:
    lease, _ = read(lake)
    assert lease is not None
    return lease


def test_a_second_run_is_refused_by_the_name_of_the_first(shared_lake: Lake) -> None:
    lake = shared_lake
    assert holder(lake) is None
    with run_lock(lake, "FIRST"):
        held = holder(lake)
        assert held is not None
        assert held.run == "FIRST"
        refused = pytest.raises(BrewhouseError, match=r"in use: Run FIRST .*process \d+ on .*Wait for it")
        with refused, run_lock(lake, "SECOND"):
            pass
    assert holder(lake) is None
    with run_lock(lake, "THIRD"):
        pass


def test_of_many_that_want_it_at_once_one_gets_it(shared_lake: Lake) -> None:
    lake = shared_lake

    def take(number: int) -> bool:
        try:
            with run_lock(lake, str(number)):
                time.sleep(0.3)
        except BrewhouseError:
            return False
        return True

    for _ in range(2):  # the first time the object is made, the second time it is taken over
        with ThreadPoolExecutor(8) as threads:
            assert sum(threads.map(take, range(8))) == 1


def test_it_is_renewed_while_its_run_lives(shared_lake: Lake) -> None:
    lake = Lake(shared_lake.root, Shared(lock_ttl_s=0.4))
    with run_lock(lake, "LONG"):
        first = held_by(lake)
        time.sleep(1)
        assert held_by(lake).expires_at > first.expires_at


def test_that_of_a_run_that_died_is_free_once_it_has_expired(shared_lake: Lake) -> None:
    lake = Lake(shared_lake.root, Shared(lock_ttl_s=60))
    with run_lock(lake, "DIES"):
        held = held_by(lake)
    dead = msgspec.structs.replace(held, expires_at=datetime.now(UTC) + timedelta(seconds=0.5))
    lake.store.put("run.lock", msgspec.json.encode(dead))
    with pytest.raises(BrewhouseError, match="Run DIES"), run_lock(lake, "EARLY"):
        pass
    time.sleep(0.6)
    with run_lock(lake, "LATE"):
        held_now = holder(lake)
        assert held_now is not None
        assert held_now.run == "LATE"


def test_a_run_that_could_not_renew_it_and_lost_it_says_so(shared_lake: Lake) -> None:
    lake = Lake(shared_lake.root, Shared(lock_ttl_s=60))

    def lose_it() -> None:
        with run_lock(lake, "ASLEEP"):
            other = msgspec.structs.replace(held_by(lake), run="OTHER")
            lake.store.put("run.lock", msgspec.json.encode(other))

    with pytest.raises(BrewhouseError, match="Run ASLEEP lost the lock"):
        lose_it()
    now = holder(lake)
    assert now is not None
    assert now.run == "OTHER", "it is left to who took it"
