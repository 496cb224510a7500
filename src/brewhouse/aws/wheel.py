"""The project's wheel and the code of its Lambda functions, built from the installed package without build tools."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping
from importlib.metadata import distribution
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile, ZipInfo

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
