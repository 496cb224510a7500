"""Raw pages as files."""

from __future__ import annotations

import gzip
from hashlib import sha256
from pathlib import Path

from brewhouse.lake.snapshot_writer import page_name


def write_page(folder: Path, number: int, text: str) -> str:
    """Write a raw page; return its path."""
    file = folder / page_name(number, sha256(text.encode()).hexdigest())
    file.write_bytes(gzip.compress(text.encode(), 1))
    return str(file)
