"""Everything the stack runs, in a folder: template, script, wheel, dependencies, functions, each with its checksum."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

import msgspec

from brewhouse.aws.template import template
from brewhouse.aws.template_checks import GLUE_PYTHON
from brewhouse.aws.wheel import write_functions, write_wheel, write_zip
from brewhouse.errors import BrewhouseError, UsageError

MANIFEST = "manifest.json"
_GLIBC = 34  # of Amazon Linux 2023, which Glue runs on: wheels for it or anything older
_PLATFORMS = [f"manylinux_2_{minor}_x86_64" for minor in range(_GLIBC, 4, -1)] + ["manylinux2014_x86_64"]


class PackageFile(msgspec.Struct, frozen=True):
    """A file of the package.

    Attributes:
        name: In the folder.
        sha256: Of its bytes, hexadecimal.
        size_bytes: How many there are.
    """

    name: str
    sha256: str
    size_bytes: int

    @property
    def key(self) -> str:
        """Where it goes in the bucket; another content has another key."""
        return f"artefacts/{self.sha256[:16]}/{self.name}"


class PackageManifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a package holds.

    Attributes:
        glue_version: Which Glue the dependencies are for.
        lock_sha256: Checksum of the lock file they were taken by.
        script: What a job starts with.
        wheel: The project.
        dependencies: What it needs, as a zip of wheels.
        functions: The code of the Lambda functions, as a zip.
        template: The stack.
    """

    glue_version: str
    lock_sha256: str
    script: PackageFile
    wheel: PackageFile
    dependencies: PackageFile
    functions: PackageFile
    template: PackageFile

    @property
    def uploads(self) -> tuple[PackageFile, ...]:
        """What the jobs, Lambda and CloudFormation read from the bucket."""
        return (self.script, self.wheel, self.dependencies, self.functions, self.template)


def make_package(folder: Path, glue_version: str, lock: Path | None = None) -> PackageManifest:
    """Put everything the stack runs into a folder; twice the same gives the same bytes.

    Args:
        folder: Made if need be. Dependencies that are there already by the same lock file are not taken again.
        glue_version: One of `GLUE_PYTHON`.
        lock: Requirements with hashes; the ones that ship with Brewhouse by default.

    Returns:
        What is in the folder, as its `manifest.json` says too.

    Raises:
        UsageError: No such Glue version.
        BrewhouseError: The dependencies cannot be taken from the package index.
    """
    if glue_version not in GLUE_PYTHON:
        raise UsageError(f"There is no Glue version {glue_version} here.", hint=f"There are: {', '.join(GLUE_PYTHON)}.")
    python = GLUE_PYTHON[glue_version]
    locked = lock.read_bytes() if lock else files(__package__).joinpath(f"python{python}.lock").read_bytes()
    folder.mkdir(parents=True, exist_ok=True)
    lock_sha256 = hashlib.sha256(locked).hexdigest()
    dependencies = folder / f"dependencies-python{python}.gluewheels.zip"
    if not _has(folder, dependencies, lock_sha256):
        _write_dependencies(dependencies, locked, python)
    script = folder / "glue_job.py"
    script.write_bytes(files(__package__).joinpath("glue_job.py").read_bytes())
    functions = folder / "functions.zip"
    write_functions(functions)
    stack = folder / "stack.json"
    stack.write_text(template(), "utf-8")
    manifest = PackageManifest(
        glue_version=glue_version,
        lock_sha256=lock_sha256,
        script=_file(script),
        wheel=_file(write_wheel(folder)),
        dependencies=_file(dependencies),
        functions=_file(functions),
        template=_file(stack),
    )
    (folder / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
    return manifest


def read_package(folder: Path) -> PackageManifest:
    """Read a package that was made before, and prove that it is whole.

    Raises:
        UsageError: It is no package, or a file is not the one its manifest names.
    """
    try:
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=PackageManifest)
    except (OSError, msgspec.DecodeError) as error:
        raise UsageError(f"{folder} is no package: {error}.", hint="`brewhouse aws package` makes one.") from error
    for file in manifest.uploads:
        if not (folder / file.name).is_file() or _file(folder / file.name) != file:
            raise UsageError(f"{folder / file.name} is not what the manifest says.", hint="Make the package anew.")
    return manifest


def _has(folder: Path, dependencies: Path, lock_sha256: str) -> bool:
    """Say whether the folder has these dependencies, whole."""
    try:
        before = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=PackageManifest)
        return before.lock_sha256 == lock_sha256 and before.dependencies == _file(dependencies)
    except (OSError, msgspec.DecodeError):
        return False


def _write_dependencies(file: Path, locked: bytes, python: str) -> None:
    """Have pip take the wheels for Glue's Python and platform, whatever runs here, and zip them as Glue wants them.

    https://docs.aws.amazon.com/glue/latest/dg/aws-glue-programming-python-libraries.html
    """
    with tempfile.TemporaryDirectory(prefix="brewhouse-") as name:
        wheels = Path(name) / "wheels"
        lock = Path(name) / "requirements.lock"
        lock.write_bytes(locked)
        platforms = [word for platform in _PLATFORMS for word in ("--platform", platform)]
        command = [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
            *("--no-deps", "--require-hashes", "--only-binary", ":all:", "--implementation", "cp"),
            *("--python-version", python, *platforms),
            *("--dest", str(wheels), "--requirement", str(lock)),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own words
        if done.returncode:
            raise BrewhouseError(
                f"The dependencies for Python {python} could not be taken: {done.stderr.strip()[-500:]}",
                hint="It needs pip here and a package index (PIP_INDEX_URL) or a folder of wheels (PIP_FIND_LINKS).",
            )
        pins = re.findall(r"^[\w.\[\]-]+==[^\s\\;]+", locked.decode(), re.MULTILINE)
        taken = {f"wheels/{wheel.name}": wheel for wheel in wheels.iterdir()}
        write_zip(file, {**taken, "wheels/requirements.txt": "".join(f"{pin}\n" for pin in pins).encode()})


def _file(path: Path) -> PackageFile:
    data = path.read_bytes()
    return PackageFile(path.name, hashlib.sha256(data).hexdigest(), len(data))
