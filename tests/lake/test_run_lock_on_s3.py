"""The run lock of a lake on S3: exclusive, renewed while its holder runs, free after its TTL."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from tests.fault_proxy import FaultProxy, lost, refused

from brewhouse.errors import BrewhouseError
from brewhouse.lake.lake import Lake, Shared
from brewhouse.lake.run_lock import LockInfo, _Lease, _read_lease, holder, last_holder, run_lock


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
    for _ in range(2):  # first the object is created, then it is taken over
        refused = threading.Semaphore(0)

        def acquire(number: int, refused: threading.Semaphore = refused) -> bool:
            try:
                with run_lock(shared_lake, str(number)):
                    return all(refused.acquire(timeout=60) for _ in range(7))  # held until all others failed
            except BrewhouseError:
                refused.release()
                return False

        with ThreadPoolExecutor(8) as threads:
            assert sum(threads.map(acquire, range(8))) == 1


def test_it_is_renewed_while_its_holder_runs(shared_lake: Lake) -> None:
    lake = Lake(shared_lake.root, Shared(lock_ttl_s=0.4))
    with run_lock(lake, "LONG"):
        expiries = {lease_of(lake).expires_at}
        while len(expiries) < 4:
            time.sleep(0.05)
            expiries.add(lease_of(lake).expires_at)


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


@pytest.mark.parametrize("status", [None, 500])
def test_a_renewal_whose_response_is_lost_does_not_lose_the_lock(
    shared_lake: Lake, faulty_aws: FaultProxy, status: int | None
) -> None:
    lake = Lake(shared_lake.root, Shared(lock_ttl_s=60))
    before = None
    for run in ("FIRST", "SECOND"):  # the object is created, then it is taken over
        fault = faulty_aws.fail(lost("PUT .*run.lock", status=status), lost("PUT .*run.lock", status=status))
        with run_lock(lake, run) as previous:
            assert (previous and previous.run) == before
            held = holder(lake)
            assert held is not None
            assert held.run == run
        assert [len(fault.hits) for fault in faulty_aws.faults] == [1, 1], fault  # acquire, release
        assert holder(lake) is None
        before = run


def test_a_renewal_that_fails_once_is_repeated_before_the_ttl_ends(shared_lake: Lake, faulty_aws: FaultProxy) -> None:
    lake = Lake(shared_lake.root, Shared(lock_ttl_s=2))
    with run_lock(lake, "PATIENT"):
        first = lease_of(lake).expires_at
        fault = faulty_aws.fail(refused("PUT .*run.lock", 503, "SlowDown", times=3))  # a renewal with its retries
        while lease_of(lake).expires_at == first or len(fault.hits) < 3:
            time.sleep(0.05)
    assert last_run(lake) == "PATIENT"


def last_run(lake: Lake) -> str | None:
    last = last_holder(lake)
    return last.run if last else None


def put_lease(lake: Lake, expires_in_s: float, **fields: object) -> None:
    expires_at = datetime.now(UTC) + timedelta(seconds=expires_in_s)
    lease = {"run": "OTHER", "started_at": "2026-08-02T10:00:00+00:00", "pid": 7, "host": "elsewhere", **fields}
    lake.store.put("run.lock", msgspec.json.encode({**lease, "expires_at": expires_at}))


@pytest.mark.parametrize(("expires_in_s", "is_free"), [(-3600, True), (-0.001, True), (5, False), (86_400, False)])
def test_a_lock_is_free_from_its_expiry_on(shared_lake: Lake, expires_in_s: float, *, is_free: bool) -> None:
    put_lease(shared_lake, expires_in_s)
    other = LockInfo("OTHER", "2026-08-02T10:00:00+00:00", 7, "elsewhere")
    held, last = holder(shared_lake), last_holder(shared_lake)
    assert last is not None
    assert (last.run, last.host, last.pid) == (other.run, other.host, other.pid)
    assert (held is None) == is_free
    if is_free:
        with run_lock(shared_lake, "MINE") as before:
            assert before == last
    else:
        with pytest.raises(BrewhouseError, match=r"locked by run OTHER, .*\(process 7 on elsewhere\)"):
            run_lock(shared_lake, "MINE").__enter__()


def test_a_lock_of_a_clock_that_was_ahead_counts_as_renewed_when_s3_received_it(shared_lake: Lake) -> None:
    put_lease(shared_lake, 86_400)
    until = lease_of(shared_lake).expires_at
    assert until < datetime.now(UTC) + timedelta(minutes=3)  # its TTL and two minutes
    with pytest.raises(BrewhouseError, match=f"if it was killed until {until:%H:%M:%S} UTC"):
        run_lock(shared_lake, "MINE").__enter__()
    put_lease(shared_lake, 86_400, ttl_s=7200)  # of the holder, whatever that of this process is
    assert lease_of(shared_lake).expires_at > datetime.now(UTC) + timedelta(minutes=119)
    put_lease(shared_lake, 86_400, ttl_s=-180)  # it was received long ago
    with run_lock(shared_lake, "MINE"):
        pass
    assert last_run(shared_lake) == "MINE"


def test_a_released_lock_stays_as_an_expired_object(shared_lake: Lake) -> None:
    assert last_holder(shared_lake) is None
    with run_lock(shared_lake, "R1") as before:
        assert before is None
        assert lease_of(shared_lake).is_held
    assert not lease_of(shared_lake).is_held
    assert last_run(shared_lake) == "R1"


def test_a_lock_object_of_a_later_version_is_understood(shared_lake: Lake) -> None:
    put_lease(shared_lake, 60, later={"field": 1})
    with pytest.raises(BrewhouseError, match="locked by run OTHER"), run_lock(shared_lake, "MINE"):
        pass


def test_an_error_in_the_block_releases_it_and_is_not_hidden(shared_lake: Lake) -> None:
    with pytest.raises(ZeroDivisionError), run_lock(shared_lake, "R1"):
        raise ZeroDivisionError
    assert holder(shared_lake) is None

    def fail() -> None:
        with run_lock(shared_lake, "R2"):
            put_lease(shared_lake, 60)  # another run acquired it meanwhile
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert last_run(shared_lake) == "OTHER"


HOLD = """
import sys
from brewhouse.lake.lake import Lake, Shared
from brewhouse.lake.run_lock import LockInfo, _Lease, _read_lease, holder, last_holder, run_lock
with run_lock(Lake.at(sys.argv[1], Shared(lock_ttl_s=float(sys.argv[2]))), "KILLED"):
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_another_process_takes_over_once_a_killed_one_stops_renewing(shared_lake: Lake) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(shared_lake.root), "1.5"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.readline()
    held = holder(shared_lake)
    assert held is not None
    assert (held.run, held.pid) == ("KILLED", process.pid)
    process.kill()
    process.communicate()
    expires_at = lease_of(shared_lake).expires_at
    with pytest.raises(BrewhouseError, match="locked by run KILLED"), run_lock(shared_lake, "EARLY"):
        pass
    while holder(shared_lake) is not None:
        time.sleep(0.05)
    assert datetime.now(UTC) >= expires_at
    with run_lock(shared_lake, "NEXT") as before:
        assert before is not None
        assert before.run == "KILLED"


@pytest.mark.parametrize(
    "content", [b"", b"\xff\x00", b'{"run":"R1"}', b'{"expires_at":"2020-01-01T00:00:00Z","x":' + b"[" * 9_000]
)
def test_a_damaged_lock_object_counts_as_held_for_a_ttl_and_is_then_taken_over(
    shared_lake: Lake, content: bytes
) -> None:
    shared_lake.store.put("run.lock", content)
    lake = Lake(shared_lake.root, Shared(lock_ttl_s=3600))
    with pytest.raises(BrewhouseError, match=r"run\.lock is damaged, .*3600 s, or delete it"), run_lock(lake, "R2"):
        pass
    held, last = holder(lake), last_holder(lake)
    assert held is not None
    assert last == held
    expired = Lake(shared_lake.root, Shared(lock_ttl_s=-3600))
    assert holder(expired) is None
    with run_lock(expired, "R3") as before:
        assert before is not None
        assert before.run == ""
    after = last_holder(lake)
    assert after is not None
    assert after.run == "R3"
