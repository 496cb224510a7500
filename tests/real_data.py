"""The versions of the public dataset that tests read: all of it where it is at hand, else a sample of its rows.

`BREWERY_DATA` names another folder; with `BREWERY_DATA=tests/data`, tests read the sample.
"""

from __future__ import annotations

import os
from pathlib import Path

SAMPLE = Path(__file__).parent / "data"
"""Some hundred rows of three versions, which tests/data/README.md describes."""
WHOLE = Path(__file__).parents[2] / "shared" / "data"
"""Every row of these versions, next to the repository."""
DATES = ("2025-10-03", "2026-05-14", "2026-08-02")
DATA = Path(os.environ.get("BREWERY_DATA") or (WHOLE if WHOLE.is_dir() else SAMPLE)).absolute()
