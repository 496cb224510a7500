"""Objects on S3 are listed, read and deleted like files, and created at most once."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.s3_caches import forget

from brewhouse.errors import UsageError
from brewhouse.lake import object_cache, s3
from brewhouse.lake.lake import Lake
from brewhouse.lake.s3_path import path_at

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
        path.iterdir().__next__,
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
