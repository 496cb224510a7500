"""The deployment package: template, script, modules and functions in a folder, each with its checksum."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from importlib.metadata import distribution
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile, ZipInfo

import msgspec

from brewhouse.aws.template import template
from brewhouse.errors import BrewhouseError, UsageError

MANIFEST = "manifest.json"
GLUE_PYTHON = {"5.1": "3.11", "6.0": "3.13"}
"""The Python of each supported Glue version; https://docs.aws.amazon.com/glue/latest/dg/release-notes.html."""
_GLIBC = 34  # of Amazon Linux 2023, which Glue runs on: wheels for it or anything older
_PLATFORMS = [f"manylinux_2_{minor}_x86_64" for minor in range(_GLIBC, 4, -1)] + ["manylinux2014_x86_64"]
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time in a zip
_FUNCTIONS = (
    "brewhouse/__init__.py",
    "brewhouse/errors.py",
    "brewhouse/ids.py",
    "brewhouse/aws/__init__.py",
    "brewhouse/aws/prices.toml",
    "brewhouse/events/__init__.py",
    "brewhouse/events/alerts.py",
    "brewhouse/events/envelope.py",
    "brewhouse/events/run_reports.py",
    "brewhouse/events/messages.py",
    "brewhouse/events/messages.toml",
)
"""Files that `brewhouse.aws.functions` imports or reads; a test runs them with the standard library and boto3 alone."""
_WHEEL = "Wheel-Version: 1.0\nGenerator: brewhouse\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


class PackageFile(msgspec.Struct, frozen=True):
    """A file of the package, with its hexadecimal checksum."""

    name: str
    sha256: str
    size_bytes: int

    @property
    def key(self) -> str:
        """Its key in the bucket, which depends on its content."""
        return f"artefacts/{self.sha256[:16]}/{self.name}"


class PackageManifest(msgspec.Struct, frozen=True, kw_only=True):
    """The files of a package, the Glue version and the checksum of the lock file that its modules are for."""

    glue_version: str
    lock_sha256: str
    script: PackageFile
    modules: PackageFile
    functions: PackageFile
    template: PackageFile

    @property
    def uploads(self) -> tuple[PackageFile, ...]:
        """The files that Glue, Lambda and CloudFormation read from the bucket."""
        return (self.script, self.modules, self.functions, self.template)

    @property
    def keys(self) -> dict[str, str]:
        """The parameters of the stack that name the uploads."""
        return {"ScriptKey": self.script.key, "ModulesKey": self.modules.key, "FunctionsKey": self.functions.key}


def make_package(folder: Path, glue_version: str, lock: Path | None = None) -> PackageManifest:
    """Write everything that the stack runs into a folder, reproducibly, and return its manifest.

    Args:
        folder: Created if missing; dependencies in it from the same lock file are kept.
        glue_version: A key of `GLUE_PYTHON`.
        lock: Requirements with hashes; None is the lock file that ships with Brewhouse.

    Raises:
        UsageError: The Glue version is not supported.
        BrewhouseError: The dependencies cannot be downloaded.
    """
    if glue_version not in GLUE_PYTHON:
        raise UsageError(f"Unsupported Glue version {glue_version}.", hint=f"Supported: {', '.join(GLUE_PYTHON)}.")
    python, stack = GLUE_PYTHON[glue_version], template()
    locked = lock.read_bytes() if lock else files(__package__).joinpath(f"python{python}.lock").read_bytes()
    folder.mkdir(parents=True, exist_ok=True)
    lock_sha256 = hashlib.sha256(locked).hexdigest()
    before = folder / f"modules-python{python}.gluewheels.zip"
    with tempfile.TemporaryDirectory(prefix=".new-", dir=folder) as name, tempfile.TemporaryDirectory() as wheels:
        new = Path(name)
        if not _unpack_dependencies(folder, before, lock_sha256, Path(wheels)):
            _download_dependencies(locked, python, Path(wheels))
        _write_modules(new / before.name, locked, Path(wheels))
        (new / "glue_job.py").write_bytes(files(__package__).joinpath("glue_job.py").read_bytes())
        write_functions(new / "functions.zip")
        (new / "stack.json").write_text(stack, "utf-8")
        names = {
            "script": "glue_job.py",
            "modules": before.name,
            "functions": "functions.zip",
            "template": "stack.json",
        }
        made = {role: _file(new / name) for role, name in names.items()}
        manifest = PackageManifest(glue_version=glue_version, lock_sha256=lock_sha256, **made)
        (new / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
        for file in new.iterdir():  # nothing was replaced before everything was written
            file.replace(folder / file.name)
    return manifest


def read_package(folder: Path) -> PackageManifest:
    """Read the manifest of a package, and verify the checksum of every file.

    Raises:
        UsageError: The manifest is missing or invalid, or a file differs from it.
    """
    try:
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=PackageManifest)
    except (OSError, msgspec.DecodeError) as error:
        raise UsageError(f"{folder} is not a package: {error}.", hint="Make one: `brewhouse aws package`.") from error
    for file in manifest.uploads:
        if not (folder / file.name).is_file() or _file(folder / file.name) != file:
            raise UsageError(f"{folder / file.name} differs from the manifest.", hint="Rebuild the package.")
    return manifest


def _unpack_dependencies(folder: Path, modules: Path, lock_sha256: str, wheels: Path) -> bool:
    """Unpack the wheels of an earlier package of this lock file, without the project's own; False if there is none."""
    try:
        before = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=PackageManifest)
        if before.lock_sha256 != lock_sha256 or before.modules != _file(modules):
            return False
    except (OSError, msgspec.DecodeError):
        return False
    with ZipFile(modules) as archive:
        for name in archive.namelist():
            if name.endswith(".whl") and not name.startswith("wheels/brewhouse-"):
                (wheels / Path(name).name).write_bytes(archive.read(name))
    return True


def _pip() -> list[str]:
    """Return the command of pip, which environments made by uv do not have; uv can run it."""
    if find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    if uv := shutil.which("uv"):
        return [uv, "tool", "run", "pip"]
    raise UsageError("The package needs pip, which is not installed.", hint="Install pip or uv.")


def _download_dependencies(locked: bytes, python: str, wheels: Path) -> None:
    """Download the wheels for Glue's Python and platform with pip."""
    with tempfile.TemporaryDirectory(prefix="brewhouse-") as folder:
        lock = Path(folder) / "requirements.txt"
        lock.write_bytes(locked)
        platforms = [word for platform in _PLATFORMS for word in ("--platform", platform)]
        command = [
            *(*_pip(), "download", "--quiet", "--disable-pip-version-check"),
            *("--no-deps", "--require-hashes", "--only-binary", ":all:", "--implementation", "cp"),
            *("--python-version", python, *platforms),
            *("--dest", str(wheels), "--requirement", str(lock)),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - a fixed command
    if done.returncode:
        raise BrewhouseError(
            f"The dependencies for Python {python} could not be downloaded: {done.stderr.strip()[-500:]}",
            hint="This needs pip and a package index (PIP_INDEX_URL) or a folder of wheels (PIP_FIND_LINKS).",
        )


def _write_modules(file: Path, locked: bytes, wheels: Path) -> None:
    """Zip the wheels with the project's own in the layout of Glue, which installs them with one call of pip.

    https://docs.aws.amazon.com/glue/latest/dg/aws-glue-programming-python-libraries.html
    """
    pins = re.findall(r"^[\w.\[\]-]+==[^\s\\;]+", locked.decode(), re.MULTILINE)
    own = write_wheel(wheels)
    requirements = "".join(f"{pin}\n" for pin in [*pins, "==".join(own.name.split("-")[:2])])
    content = {f"wheels/{wheel.name}": wheel for wheel in wheels.iterdir()}
    write_zip(file, {**content, "wheels/requirements.txt": requirements.encode()})


def _file(path: Path) -> PackageFile:
    data = path.read_bytes()
    return PackageFile(path.name, hashlib.sha256(data).hexdigest(), len(data))


def write_wheel(folder: Path) -> Path:
    """Write the wheel of Brewhouse into a folder, reproducibly, and return its path.

    https://packaging.python.org/specifications/binary-distribution-format
    """
    project = distribution("brewhouse")
    name = f"brewhouse-{project.version}"
    info = f"{name}.dist-info"
    content = dict(_package())
    content[f"{info}/METADATA"] = (project.read_text("METADATA") or "").encode()
    content[f"{info}/WHEEL"] = _WHEEL.encode()
    content[f"{info}/entry_points.txt"] = (project.read_text("entry_points.txt") or "").encode()
    record = "".join(f"{path},sha256={_digest(data)},{len(data)}\n" for path, data in sorted(content.items()))
    content[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    wheel = folder / f"{name}-py3-none-any.whl"
    write_zip(wheel, content)
    return wheel


def write_functions(file: Path) -> None:
    """Write a zip with the Lambda functions and the modules that they share with the package, reproducibly."""
    content = {
        path: data
        for path, data in _package()
        if path in _FUNCTIONS or (path.startswith("brewhouse/aws/functions/") and path.endswith(".py"))
    }
    write_zip(file, content)


def write_zip(file: Path, content: Mapping[str, bytes | Path]) -> None:
    """Write a reproducible zip of bytes or files, by path in the zip: sorted, without times, not compressed."""
    with ZipFile(file, "w", ZIP_STORED) as archive:
        for path, data in sorted(content.items()):
            entry = ZipInfo(path, _EPOCH)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, data.read_bytes() if isinstance(data, Path) else data)


def _package() -> Iterator[tuple[str, bytes]]:
    root = Path(__file__).parents[1]
    for file in root.rglob("*"):
        if file.is_file() and "__pycache__" not in file.parts:
            yield file.relative_to(root.parent).as_posix(), file.read_bytes()


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
