"""Raw pages as files."""

from __future__ import annotations

import gzip
from pathlib import Path

from brewhouse.lake.lake import with_checksum


def write_page(folder: Path, number: int, text: str) -> str:
    """Write a raw page; return its path."""
    file = folder / with_checksum(f"page-{number:05d}.jsonl.gz", text.encode())
    file.write_bytes(gzip.compress(text.encode(), 1))
    return str(file)
