"""Metadata is written completely or not at all, and never over an existing file, in a folder as on S3."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brewhouse.errors import BrewhouseError
from brewhouse.iceberg.file_io import ObjectIO, path_of, uri_of
from brewhouse.lake.lake import Lake

PATHS = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1), min_size=1)


@given(parts=PATHS)
def test_a_path_survives_as_a_uri(parts: list[str]) -> None:
    for path in (f"/{'/'.join(parts)}", f"s3://bucket/{'/'.join(parts)}"):
        assert path_of(uri_of(path)) == path
        assert "://" in uri_of(path)


@pytest.fixture(params=["local", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "local":
        return uri_of(tmp_path / "a läke")
    lake: Lake = request.getfixturevalue("shared_lake")
    return str(lake.root)


def write(location: str, content: bytes, *, overwrite: bool = False) -> None:
    with ObjectIO().new_output(location).create(overwrite) as stream:
        stream.write(content)


def test_an_object_is_written_read_measured_and_deleted(root: str) -> None:
    io, location = ObjectIO(), f"{root}/metadata/v 1.json"
    assert not io.new_input(location).exists()
    write(location, b"content")
    found = io.new_output(location).to_input_file()
    assert (found.exists(), len(found), found.open().read()) == (True, 7, b"content")
    with found.open() as stream:
        stream.seek(3)
        assert stream.read() == b"tent"
    io.delete(location)
    assert not found.exists()
    io.delete(found)  # deleting it again does not fail


def test_an_existing_object_is_only_overwritten_on_request(root: str) -> None:
    location = f"{root}/x"
    write(location, b"1")
    with pytest.raises(FileExistsError, match="x"):
        write(location, b"2")
    assert ObjectIO().new_input(location).open().read() == b"1"
    write(location, b"3", overwrite=True)
    assert ObjectIO().new_input(location).open().read() == b"3"


def test_an_error_in_the_block_writes_nothing(root: str) -> None:
    location = f"{root}/failed"
    stream = ObjectIO().new_output(location).create()

    def fail() -> None:
        with stream:
            stream.write(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not ObjectIO().new_input(location).exists()
    stream.close()  # closing it later does not write it either
    assert not ObjectIO().new_input(location).exists()


def test_one_of_many_writers_creates_an_object(root: str) -> None:
    def create(number: int) -> bool:
        try:
            write(f"{root}/raced", b"%d" % number)
        except FileExistsError:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        winners = [number for number, won in enumerate(threads.map(create, range(16))) if won]
    assert len(winners) == 1
    assert ObjectIO().new_input(f"{root}/raced").open().read() == b"%d" % winners[0]


def test_a_missing_object_is_named(root: str) -> None:
    found = ObjectIO().new_input(f"{root}/missing")
    with pytest.raises(BrewhouseError, match=r"missing cannot be used: it does not exist\."):
        found.open()
    with pytest.raises(FileNotFoundError):
        len(found)


def test_a_manifest_has_a_checksum_in_its_name_by_which_damage_is_detected(tmp_path: Path) -> None:
    written: set[Path] = set()
    io = ObjectIO({"written": written})
    output = io.new_output(f"{tmp_path}/x-m0.avro")
    with output.create() as stream:
        stream.write(b"content")
    (file,) = written
    assert output.location == str(file)
    assert file.name == "x-m0.ed7002b439e9.avro"
    file.write_bytes(b"Content")
    with pytest.raises(BrewhouseError, match="its content does not match its checksum"):
        io.new_input(output.location).open()
