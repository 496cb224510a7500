"""The package is reproducible, and runs in a clean environment."""

from __future__ import annotations

import base64
import hashlib
import resource
import subprocess
import sys
import venv
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from zipfile import ZipFile

import msgspec
import pytest

from brewhouse.aws.package import (
    MANIFEST,
    PackageFile,
    PackageManifest,
    make_package,
    read_package,
    write_wheel,
    write_zip,
)
from brewhouse.errors import BrewhouseError, UsageError

VERSION = version("brewhouse")


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A lock file of one package, and a folder with builds of it for Linux and for Windows."""
    house = tmp_path / "house"
    house.mkdir()
    for tag in ("cp313-cp313-manylinux_2_28_x86_64", "cp313-cp313-win_amd64"):
        info = "small-1.0.dist-info"
        content = {
            "small.py": tag.encode(),
            f"{info}/METADATA": b"Metadata-Version: 2.1\nName: small\nVersion: 1.0\n",
            f"{info}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {tag}\n".encode(),
            f"{info}/RECORD": b"",
        }
        write_zip(house / f"small-1.0-{tag}.whl", content)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(house))
    digest = hashlib.sha256((house / "small-1.0-cp313-cp313-manylinux_2_28_x86_64.whl").read_bytes()).hexdigest()
    file = tmp_path / "one.lock"
    file.write_text(f"small==1.0 \\\n    --hash=sha256:{digest}\n")
    return file


def _content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_a_package_is_reproducible(tmp_path: Path, lock: Path) -> None:
    make_package(tmp_path / "first", "6.0", lock)
    make_package(tmp_path / "second", "6.0", lock)
    assert _content(tmp_path / "first") == _content(tmp_path / "second")


def test_the_manifest_has_the_checksum_of_every_file(tmp_path: Path, lock: Path) -> None:
    made = make_package(tmp_path / "out", "6.0", lock)
    content = _content(tmp_path / "out")
    assert msgspec.json.decode(content.pop(MANIFEST), type=PackageManifest) == made
    listed = {file.name: file.sha256 for file in (*made.uploads, made.template)}
    assert listed == {name: hashlib.sha256(data).hexdigest() for name, data in content.items()}


def test_one_zip_has_the_project_and_dependencies_for_the_python_and_platform_of_glue(
    tmp_path: Path, lock: Path
) -> None:
    made = make_package(tmp_path / "out", "6.0", lock)
    with ZipFile(tmp_path / "out" / made.modules.name) as archive:
        assert archive.namelist() == [
            f"wheels/brewhouse-{VERSION}-py3-none-any.whl",
            "wheels/requirements.txt",
            "wheels/small-1.0-cp313-cp313-manylinux_2_28_x86_64.whl",
        ]
        assert archive.read("wheels/requirements.txt").decode() == f"small==1.0\nbrewhouse=={VERSION}\n"
        assert archive.read(f"wheels/brewhouse-{VERSION}-py3-none-any.whl") == write_wheel(tmp_path).read_bytes()
    assert [file.name for file in made.uploads] == ["glue_job.py", made.modules.name, "functions.zip", "stack.json"]


def test_the_project_is_updated_without_downloading_its_dependencies(
    tmp_path: Path, lock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = make_package(tmp_path / "out", "6.0", lock)
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "nothing"))
    monkeypatch.setattr("brewhouse.aws.package.distribution", lambda _: SimpleNamespace(version="9.9", read_text=str))
    second = make_package(tmp_path / "out", "6.0", lock)
    assert second.modules.sha256 != first.modules.sha256
    with ZipFile(tmp_path / "out" / second.modules.name) as archive:
        assert archive.namelist()[0] == "wheels/brewhouse-9.9-py3-none-any.whl"
        assert len(archive.namelist()) == 3


def test_intact_dependencies_are_not_downloaded_again(
    tmp_path: Path, lock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make_package(tmp_path / "out", "6.0", lock)
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "nothing"))
    assert make_package(tmp_path / "out", "6.0", lock) == made
    (tmp_path / "out" / made.modules.name).write_bytes(b"half")
    with pytest.raises(BrewhouseError, match="could not be downloaded"):
        make_package(tmp_path / "out", "6.0", lock)


def test_a_package_that_cannot_be_written_leaves_the_earlier_one(tmp_path: Path, lock: Path) -> None:
    make_package(tmp_path / "out", "6.0", lock)
    before = _content(tmp_path / "out")
    (tmp_path / "other.lock").write_text(lock.read_text() + "# another lock file\n")
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, unlimited[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            make_package(tmp_path / "out", "6.0", tmp_path / "other.lock")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    assert _content(tmp_path / "out") == before


def test_a_wheel_with_another_hash_is_rejected(tmp_path: Path, lock: Path) -> None:
    lock.write_text(f"small==1.0 --hash=sha256:{'0' * 64}\n")
    with pytest.raises(BrewhouseError, match=r"(?i)hash"):
        make_package(tmp_path / "out", "6.0", lock)


def test_an_unsupported_glue_version_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"5\.1, 6\.0"):
        make_package(tmp_path, "4.0")


def test_the_key_of_a_file_depends_on_its_content() -> None:
    assert PackageFile("a.py", "a" * 64, 1).key != PackageFile("a.py", "b" * 64, 1).key


def test_the_wheel_installs_and_runs_in_a_clean_environment(tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path)
    venv.create(tmp_path / "clean", symlinks=True)
    python = tmp_path / "clean" / "bin" / "python"
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*install, str(wheel)], check=True)
    command = "import brewhouse.aws, importlib.metadata as m; print(brewhouse.__file__, m.version('brewhouse'))"
    output = subprocess.run([python, "-I", "-c", command], check=True, capture_output=True, text=True).stdout
    assert output.startswith(str(tmp_path / "clean"))
    with ZipFile(wheel) as archive:
        names = archive.namelist()
    data = ("aws/stack.yaml", "query/sql/near.sql", "query/monitoring/runs.sql", "models/columns.toml")
    assert {f"brewhouse/{name}" for name in data} <= set(names)
    assert not [name for name in names if "__pycache__" in name]


@pytest.mark.parametrize("manifest", [None, b"{", b'{"glue_version": "6.0"}'])
def test_a_folder_without_a_valid_manifest_is_not_a_package(tmp_path: Path, manifest: bytes | None) -> None:
    if manifest is not None:
        (tmp_path / MANIFEST).write_bytes(manifest)
    with pytest.raises(UsageError, match=r"is not a package: .*Make one: `brewhouse aws package`"):
        read_package(tmp_path)


@pytest.mark.parametrize("change", ["delete", "truncate", "replace"])
def test_a_file_that_differs_from_the_manifest_is_rejected(tmp_path: Path, lock: Path, change: str) -> None:
    made = make_package(tmp_path / "out", "6.0", lock)
    assert read_package(tmp_path / "out") == made
    file = tmp_path / "out" / made.functions.name
    content = file.read_bytes()
    if change == "delete":
        file.unlink()
    else:
        file.write_bytes(content[:-1] if change == "truncate" else bytes(len(content)))
    with pytest.raises(UsageError, match=r"functions\.zip differs from the manifest"):
        read_package(tmp_path / "out")


def test_the_wheel_records_the_hash_and_size_of_every_file(tmp_path: Path) -> None:
    with ZipFile(write_wheel(tmp_path)) as archive:
        [record] = [name for name in archive.namelist() if name.endswith(".dist-info/RECORD")]
        lines = [line.rsplit(",", 2) for line in archive.read(record).decode().splitlines()]
        for name, digest, size in lines:
            if name == record:
                assert (digest, size) == ("", "")
                continue
            content = archive.read(name)
            encoded = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            assert (digest, size) == (f"sha256={encoded}", str(len(content)))
        assert sorted(name for name, *_ in lines) == archive.namelist()


def test_an_environment_without_pip_uses_uv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pip", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match=r"needs pip, which is not installed\. Install pip or uv\."):
        make_package(tmp_path / "package", "6.0")
    (tmp_path / "uv").write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/arguments\necho no index >&2; exit 1\n')
    (tmp_path / "uv").chmod(0o755)
    with pytest.raises(BrewhouseError, match="could not be downloaded: no index"):
        make_package(tmp_path / "package", "6.0")
    assert (tmp_path / "arguments").read_text().startswith("tool run pip download --quiet")
