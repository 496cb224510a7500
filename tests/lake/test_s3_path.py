"""Objects on S3 are listed, read and deleted like files, and created at most once."""

from __future__ import annotations

import os
import sys
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.s3_caches import forget

from brewhouse.errors import UsageError
from brewhouse.lake import object_cache, s3
from brewhouse.lake.lake import Lake, path_at
from brewhouse.lake.s3_path import S3Path

FILES = (
    "bronze/breweries/date=2026-08-02/run=B/manifest.json",
    "bronze/breweries/date=2026-08-02/run=B/page-00001.abcdef123456.jsonl.gz",
    "bronze/breweries/date=2026-08-01/run=A/started.json",
    "bronze/breweries/stray.json",
    "events/date=2026-08-02/1.json",
    "eventslike/date=2026-08-02/2.json",
)

Looks = Callable[[Path], object]


def relative(root: Path, found: list[Path]) -> list[str]:
    return sorted(str(path).removeprefix(f"{root}/") for path in found)


@pytest.mark.parametrize(
    "look",
    [
        lambda root: relative(root, list((root / "bronze" / "breweries").glob("date=*/run=*/manifest.json"))),
        lambda root: relative(root, list(root.glob("bronze/breweries/date=*/run=*/page-*"))),
        lambda root: relative(root, list((root / "events").glob("date=*/*.json"))),
        lambda root: relative(root, list((root / "events").glob("*.json"))),
        lambda root: relative(root, list(root.rglob("page-*"))),
        lambda root: [(root / "events").is_dir(), (root / "event").is_dir(), (root / FILES[0]).exists()],
        lambda root: [(root / "events").name, (root / FILES[3]).parent.name, (root / FILES[3]).stem],
        lambda root: (root / FILES[0]).read_bytes(),
        lambda root: (root / FILES[0]).stat().st_size,
        lambda root: (root / FILES[0]).relative_to(root).as_posix(),
        lambda root: min(root / file for file in FILES).relative_to(root).as_posix(),
        lambda root: [(root / FILES[4]).unlink(), (root / FILES[4]).exists()],
    ],
)
def test_a_path_on_s3_behaves_like_a_local_one(look: Looks, tmp_path: Path, shared_lake: Lake) -> None:
    there, here = shared_lake, Lake(tmp_path / "lake")
    for lake in (there, here):
        for file in FILES:
            lake.store.put(file, file.encode())
    assert look(there.root) == look(here.root)


def test_a_missing_object_raises_what_a_missing_file_does(bucket: str) -> None:
    nothing = path_at(f"{bucket}/nothing")
    for use in (nothing.read_bytes, nothing.stat):
        with pytest.raises(FileNotFoundError):
            use()
    nothing.unlink()


def test_a_path_on_s3_is_never_used_as_a_local_one(bucket: str) -> None:
    path = path_at(f"{bucket}/a")
    for use in (
        lambda: os.fspath(path),
        lambda: next(path.iterdir()),
        path.touch,
        lambda: path.rename("b"),
        path.resolve,
        path.open,
    ):
        with pytest.raises(TypeError, match="not a path on this machine"):
            use()


def test_one_of_many_concurrent_create_only_puts_wins(shared_lake: Lake) -> None:
    from obstore.exceptions import AlreadyExistsError

    lake = shared_lake

    def put(number: int) -> bool:
        try:
            lake.store.put("bronze/page", str(number).encode(), mode="create")
        except AlreadyExistsError:
            return False
        return True

    with ThreadPoolExecutor(16) as threads:
        won = [number for number, first in enumerate(threads.map(put, range(32))) if first]
    assert len(won) == 1
    assert (lake.root / "bronze/page").read_bytes() == str(won[0]).encode()


def test_a_new_object_is_uploaded_on_close_and_read_from_the_cache(bucket: str) -> None:
    url = f"{bucket}/data/a.parquet"
    files = object_cache.filesystem()
    with pytest.raises(FileNotFoundError):
        files.open(url)
    new = files.open(url, "wb")
    new.write(b"rows")
    assert not path_at(url).exists()
    new.close()
    assert path_at(url).read_bytes() == b"rows"
    path_at(url).unlink()
    with files.open(url) as again:
        assert again.read() == b"rows"


def test_an_aws_profile_sets_region_endpoint_and_credentials(
    bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    url, account = os.environ["AWS_ENDPOINT_URL"], os.environ["AWS_ACCESS_KEY_ID"]
    for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"):
        monkeypatch.delenv(name)
    (tmp_path / "config").write_text(f"[profile beer]\nregion = eu-central-1\nendpoint_url = {url}\n")
    (tmp_path / "credentials").write_text(f"[beer]\naws_access_key_id = {account}\naws_secret_access_key = x\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_PROFILE", "beer")
    forget()
    Lake.at(f"{bucket}/lake").store.put("x", b"1")
    assert path_at(f"{bucket}/lake/x").read_bytes() == b"1"
    assert s3.endpoint("glue") == url

    monkeypatch.setenv("AWS_PROFILE", "wine")
    forget()
    with pytest.raises(UsageError, match=r"profile \(wine\) could not be found"):
        s3.session()
    monkeypatch.delenv("AWS_PROFILE")
    forget()
    with pytest.raises(UsageError, match="No AWS credentials"):
        s3.session()


def test_a_url_without_a_bucket_is_rejected() -> None:
    with pytest.raises(UsageError, match="has no bucket"):
        Lake.at("s3://")


PARTS = st.lists(st.sampled_from(["a", "b", "ab", "date=1", "x.json"]), min_size=1, max_size=4)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    keys=st.lists(PARTS.map("/".join), min_size=1, max_size=5, unique=True),
    patterns=st.lists(
        st.lists(st.sampled_from(["*", "a", "a*", "*=*", "*.json"]), min_size=1, max_size=3).map("/".join), min_size=3
    ),
)
def test_any_glob_finds_what_it_finds_locally(
    bucket: str, tmp_path_factory: pytest.TempPathFactory, keys: list[str], patterns: list[str]
) -> None:
    files = {key for key in keys if not any(other.startswith(f"{key}/") for other in keys)}
    here = Lake(tmp_path_factory.mktemp("lake"))
    there = Lake.at(f"{bucket}/{here.root.name}-{uuid.uuid4()}")
    for key in files:
        for lake in (here, there):
            lake.store.put(key, b"")
    for pattern in patterns:
        found = [path for path in here.root.glob(pattern) if path.is_file() or "/" not in pattern]
        assert relative(there.root, list(there.root.glob(pattern))) == relative(here.root, found)


def test_many_objects_are_listed_over_several_pages(shared_lake: Lake) -> None:
    names = [f"many/{number:05}" for number in range(1_100)]  # S3 lists 1,000 at once
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(lambda name: shared_lake.store.put(name, b""), names))
    assert relative(shared_lake.root, list(shared_lake.root.glob("many/*"))) == names
    assert len(list((shared_lake.root / "many").glob("*"))) == 1_100


def test_an_object_has_the_time_it_was_written(shared_lake: Lake) -> None:
    before = int(time.time())
    shared_lake.store.put("timed", b"12345")
    stat = (shared_lake.root / "timed").stat()
    assert (stat.st_size, before - 1 <= stat.st_mtime <= time.time() + 1) == (5, True)


def test_the_uri_of_a_path_is_its_text() -> None:
    assert S3Path("/bucket/lake").as_uri() == "s3://bucket/lake"


def test_paths_of_s3_are_compared_and_hashed_by_bucket_and_key() -> None:
    paths = [path_at(url) for url in ("s3://b/a", "s3://b/a/", "s3://b//a", "s3://c/a", "s3://b/a/b")]
    assert len(set(paths)) == 3
    assert sorted(map(str, set(paths))) == ["s3://b/a", "s3://b/a/b", "s3://c/a"]
    assert {type(path.parent) for path in paths} == {S3Path}
    assert str(path_at("s3://b/a/b").with_suffix(".x")) == "s3://b/a/b.x"


def test_boto3_is_named_when_it_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    forget()
    with pytest.raises(UsageError, match=r"needs boto3, which is not installed\. Run `.*pip install .*\[aws\].*`"):
        Lake.at("s3://bucket/lake").store.list()
    forget()
