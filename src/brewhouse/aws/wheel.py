"""The project's own wheel and functions, written from the package that runs: no clone and no build tool is needed."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping
from importlib.metadata import distribution
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile, ZipInfo

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest a zip knows
_FUNCTIONS = (
    "brewhouse/__init__.py",
    "brewhouse/errors.py",
    "brewhouse/ids.py",
    "brewhouse/aws/__init__.py",
    "brewhouse/aws/prices.toml",
    "brewhouse/events/__init__.py",
    "brewhouse/events/alerts.py",
    "brewhouse/events/event_types.py",
    "brewhouse/events/run_reports.py",
    "brewhouse/events/messages.py",
)
"""What `brewhouse.aws.functions` needs; a test runs it with nothing else."""
_WHEEL = "Wheel-Version: 1.0\nGenerator: brewhouse\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def write_wheel(folder: Path) -> Path:
    """Write the wheel of Brewhouse; the same package gives the same bytes.

    Args:
        folder: Where it goes; an earlier one of the same version is replaced.

    Returns:
        The wheel. https://packaging.python.org/specifications/binary-distribution-format
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
    """Write the code of the Lambda functions: them, and the few modules they share with all else.

    Args:
        file: The zip; the same package gives the same bytes.
    """
    content = {
        path: data
        for path, data in _package()
        if path in _FUNCTIONS or (path.startswith("brewhouse/aws/functions/") and path.endswith(".py"))
    }
    write_zip(file, content)


def write_zip(file: Path, content: Mapping[str, bytes | Path]) -> None:
    """Write a zip whose bytes depend on names and content alone: sorted, without times, not compressed.

    Args:
        file: Where it goes.
        content: What is in it by path, bytes or a file to read them from.
    """
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
