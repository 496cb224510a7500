"""Objects on S3 behave as files do: for listing, reading, deleting, and for puts that only create."""

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
def test_a_path_on_s3_answers_as_a_local_one_does(look: Looks, tmp_path: Path, shared_lake: Lake) -> None:
    there, here = shared_lake, Lake(tmp_path / "lake")
    for lake in (there, here):
        for file in FILES:
            lake.store.put(file, file.encode())
    assert look(there.root) == look(here.root)


def test_an_object_that_is_not_there_is_a_file_that_is_not_there(bucket: str) -> None:
    nothing = path_at(f"{bucket}/nothing")
    for use in (nothing.read_bytes, nothing.stat, lambda: nothing.open("rb")):
        with pytest.raises(FileNotFoundError):
            use()
    nothing.unlink()


def test_a_path_on_s3_is_never_taken_for_one_of_this_machine(bucket: str) -> None:
    path = path_at(f"{bucket}/a")
    for use in (lambda: os.fspath(path), path.iterdir().__next__, path.touch, lambda: path.rename("b"), path.resolve):
        with pytest.raises(TypeError, match="no path of this machine"):
            use()
    with pytest.raises(OSError, match="only be opened for reading"):
        path.write_text("x")


def test_of_many_puts_that_only_create_one_wins(shared_lake: Lake) -> None:
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


def test_a_file_is_fetched_once_and_a_new_one_put_when_it_is_closed(bucket: str) -> None:
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
        assert again.read() == b"rows", "what was written here is fetched again"


def test_an_object_is_opened_without_fetching_all_of_it(shared_lake: Lake) -> None:
    lake = shared_lake
    content = bytes(range(256)) * 1024
    lake.store.put("x", content)
    with (lake.root / "x").open("rb") as opened:
        size = opened.seek(0, os.SEEK_END)
        opened.seek(-70_000, os.SEEK_END)
        assert (size, opened.read()) == (len(content), content[-70_000:])
        opened.seek(5)
        assert (opened.read(3), opened.tell()) == (content[5:8], 8)
    assert object_cache.filesystem().copy_of(str(lake.root / "x")) is None


def test_a_profile_of_the_aws_configuration_says_where_and_who(
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
    with pytest.raises(UsageError, match="no AWS credentials"):
        s3.session()


def test_a_url_without_a_bucket_is_refused() -> None:
    with pytest.raises(UsageError, match="names no bucket"):
        Lake.at("s3://")
