"""The bare minimum: fetch every page with aiohttp, and let DuckDB write them as one Parquet file. Nothing is proven.

`python bare.py URL FOLDER`
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import aiohttp
import duckdb

PAGE_ROWS = 200
CONCURRENCY = 12  # as Brewhouse by default


async def fetch(url: str, file: Path) -> None:
    """Fetch every page into one file of JSON lines."""
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{url}/breweries/meta") as response:
            total = int((await response.json())["total"])
        numbers = iter(range(1, -(-total // PAGE_ROWS) + 1))
        with file.open("wb") as lines:

            async def work() -> None:
                for number in numbers:
                    page = f"{url}/breweries?per_page={PAGE_ROWS}&page={number}&sort=id:asc"
                    async with session.get(page) as response:
                        response.raise_for_status()
                        lines.write((await response.read()).strip()[1:-1].replace(b"},{", b"}\n{") + b"\n")

            await asyncio.gather(*(work() for _ in range(CONCURRENCY)))


def main(url: str, folder: str) -> None:
    """Write `breweries.parquet`."""
    file = Path(folder, "breweries.jsonl")
    asyncio.run(fetch(url, file))
    duckdb.sql(f"COPY (FROM read_json('{file}', format = 'nd')) TO '{folder}/breweries.parquet' (COMPRESSION zstd)")


if __name__ == "__main__":
    main(*sys.argv[1:])
