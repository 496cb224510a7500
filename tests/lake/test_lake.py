"""The layout of a lake is the same in a folder and on S3."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from brewhouse.errors import UsageError
from brewhouse.lake.damage import DamagedFileError
from brewhouse.lake.lake import Lake, Shared, lake_of, list_files, read_file, read_many
from brewhouse.lake.s3_path import S3Path
from brewhouse.settings import SecretUrl, Settings

PLACES: dict[str, Callable[[Lake], Path]] = {
    "bronze/breweries": lambda lake: lake.bronze,
    "warehouse": lambda lake: lake.warehouse,
    "events": lambda lake: lake.events,
    "logs": lambda lake: lake.logs,
    "catalog.db": lambda lake: lake.catalog_file,
    "brewhouse.duckdb": lambda lake: lake.views_file,
    "views": lambda lake: lake.own_views,
    "run.lock": lambda lake: lake.lock_file,
}


@pytest.mark.parametrize("root", ["/data/lake", "s3://bucket/prefix", "s3://bucket"])
@pytest.mark.parametrize("place", PLACES)
def test_every_place_is_below_the_root(root: str, place: str) -> None:
    assert str(PLACES[place](Lake.at(root))) == f"{root}/{place}"


def test_only_regular_files_are_read_and_listed_without_waiting_for_a_pipe(tmp_path: Path) -> None:
    (tmp_path / "file.json").write_bytes(b"1")
    (tmp_path / "link.json").symlink_to("file.json")
    (tmp_path / "folder.json").mkdir()
    os.mkfifo(tmp_path / "pipe.json")
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(tmp_path / "socket.json"))
    assert sorted(list_files(tmp_path, ".json")) == [tmp_path / "file.json", tmp_path / "link.json"]
    assert read_many(list_files(tmp_path, ".json")) == [b"1", b"1"]
    assert list_files(tmp_path, ".json", "g") == [tmp_path / "link.json"]
    for file in ("folder.json", "pipe.json", "socket.json"):
        with pytest.raises(DamagedFileError, match=f"{file} cannot be used: it is not a regular file"):
            read_file(tmp_path / file)
    with pytest.raises(DamagedFileError):
        read_file(Path("/dev/null"))
    with pytest.raises(FileNotFoundError):
        read_file(tmp_path / "other.json")
    assert list_files(tmp_path / "file.json", ".json") == []


@pytest.mark.parametrize(
    ("url", "root"), [("s3://b/a/", "s3://b/a"), ("s3://b//", "s3://b"), ("s3:///b/a", "s3://b/a")]
)
def test_extra_slashes_of_a_url_are_ignored(url: str, root: str) -> None:
    lake = Lake.at(url)
    assert isinstance(lake.root, S3Path)
    assert (str(lake.root), lake.is_local) == (root, False)


def test_a_folder_is_resolved_from_the_home_and_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert Lake.at("~/lake") == Lake.at("lake") == Lake.at("./x/../lake") == Lake(tmp_path / "lake")
    assert Lake.at("link/lake").root == tmp_path / "real" / "lake"
    assert Lake.at("lake").is_local


def test_the_store_creates_the_folder_and_uses_keys_relative_to_it(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "not" / "yet")
    lake.store.put("a/b.json", b"1")
    assert (lake.root / "a" / "b.json").read_bytes() == b"1"
    assert [entry["path"] for page in lake.store.list() for entry in page] == ["a/b.json"]


def test_settings_name_the_lake_and_its_catalog() -> None:
    settings = Settings(
        lake="s3://b/lake", catalog="rest", catalog_uri=SecretUrl("http://c"), catalog_database_prefix="x", lock_ttl_s=9
    )
    assert lake_of(settings) == Lake.at("s3://b/lake", Shared("rest", SecretUrl("http://c"), "x", 9))


@pytest.mark.parametrize(
    "place",
    [
        *("", " ", "lake ", " lake", "lake\n", "a\nb", "a\tb", "a\0b", "a\x1bb", "\udcff"),
        *("gs://bucket/lake", "S3://bucket/lake", "s3a://bucket/lake", "hdfs://host/lake", "file:///lake"),
        *(
            "https://joe:s3cret@host/l",
            "s3://joe:s3cret@bucket/l",
            "s3://joe:s3c/s3cret@bucket/l",
            "abfss://x@y/lake",
            "s3:/bucket/lake",
            "s3://",
            "s3:///",
            "C:/lake",
            "a?b",
            "a#b/lake",
            "a*",
            "a\\b",
        ),
        *("~nosuchuser/lake", "s3://b/a?b", "s3://b/%20", "s3://b/../a", "s3://b/[a]", "s3://b/a\nb", "x/" * 2000),
    ],
)
def test_a_place_that_cannot_be_a_lake_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError) as refused:
        Lake.at(place)
    assert "s3://bucket/prefix" in refused.value.hint
    assert refused.value.what.isprintable()
    assert "s3cret" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_a_working_folder_that_cannot_hold_a_lake_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a#b").mkdir()
    monkeypatch.chdir(tmp_path / "a#b")
    with pytest.raises(UsageError, match="'#' is not supported in its path"):
        Lake.at("lake")


@pytest.mark.parametrize(
    "place", ["beer [2026]", "country=BE", "a{b,c}", "100%", "it's", 'a"b', "a:b", "ü", "a~", "$HOME", "a b/.c", "s3:b"]
)
def test_other_names_of_folders_are_supported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    monkeypatch.chdir(tmp_path)
    lake = Lake.at(place)
    assert lake.root == tmp_path / place
    lake.store.put("a/b=c/d.json", b"1", mode="create")
    assert (tmp_path / place / "a" / "b=c" / "d.json").read_bytes() == b"1"
    assert [entry["path"] for page in lake.store.list("a") for entry in page] == ["a/b=c/d.json"]


def test_a_place_below_or_at_what_is_no_folder_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for place in (
        tmp_path / "file",
        tmp_path / "file" / "lake",
        tmp_path / ("x" * 300),
        tmp_path / "loop",
        "/dev/null",
    ):
        with pytest.raises(UsageError, match="folder") as refused:
            lake_of(Settings(lake=str(place)))
        assert "--lake" in refused.value.hint


def test_files_are_read_in_their_order_wherever_they_are(shared_lake: Lake, tmp_path: Path) -> None:
    (tmp_path / "0").write_bytes(b"local")
    for number in range(1, 50):
        shared_lake.store.put(f"files/{number}", b"%d" % number)
    files = [tmp_path / "0", *(shared_lake.root / "files" / str(number) for number in range(1, 50))]
    assert read_many(files) == [b"local", *(b"%d" % number for number in range(1, 50))]
    assert read_many(files[:1]) == [b"local"]
    assert read_many([]) == []
    with pytest.raises(FileNotFoundError):
        read_many([*files, shared_lake.root / "files" / "50"])
