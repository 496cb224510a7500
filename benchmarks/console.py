"""Measure the console: first paint and filters in a browser, and twenty concurrent readers.

`python -m benchmarks.console LAKE` serves a lake and drives the installed Chromium; medians of eleven.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from time import perf_counter

from playwright.sync_api import Page, sync_playwright

PAGES = (
    "/",
    "/breweries",
    "/changes",
    "/explore",
    "/tables",
    "/tables/silver.breweries",
    "/runs",
    "/quality",
    "/events",
)
FILTERS = (("Type", "micro"), ("Country", "US"), ("State or region", "US-CA"), ("Country", ""), ("Type", ""))
TIMES = 11
WORDS = ("brau", "portland", "são", "12 main", "co")
STARTS = 5
READERS = 20
WINDOW_MS = 1000  # a new Chromium window loads pages of its own, which readers with an open window do not wait for
PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null"
CLOCK = """
    document.addEventListener("htmx:beforeRequest", () => { window.began = performance.now(); window.took = 0; });
    document.addEventListener("htmx:afterOnLoad", () => requestAnimationFrame(() => setTimeout(
        () => { window.took = performance.now() - window.began; })));
"""
DRAWN = ".stage[data-ready][data-drawn=detailed]"  # the map moves for half a second after its breweries are shown


@contextmanager
def served(lake: str) -> Iterator[str]:
    """Serve a lake and yield the console's URL."""
    command = [sys.executable, "-m", "brewhouse", "serve", "--lake", lake, "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().rsplit(" ", 1)[1].strip()
    finally:
        process.terminate()
        process.wait()


def first_paint(page: Page, address: str) -> float:
    """Open a page and return the milliseconds to its first contentful paint."""
    page.goto(address)
    page.wait_for_function(f"() => {PAINT}")
    return float(page.evaluate(PAINT))


def first_page(lake: str) -> tuple[float, float]:
    """Start a console; return the milliseconds from its start, and from its announcement, to its first page."""
    began = perf_counter()
    with served(lake) as address:
        announced = perf_counter()
        urllib.request.urlopen(address, timeout=60).read()
        ended = perf_counter()
    return (ended - began) * 1000, (ended - announced) * 1000


def time_to_result(page: Page, act: Callable[[], object]) -> float:
    """Apply a filter or type words, and return the milliseconds from the request until the page shows its result."""
    page.evaluate("window.took = 0")
    act()
    page.wait_for_function("() => window.took > 0")
    return float(page.evaluate("window.took"))


def filter_time(page: Page, label: str, value: str) -> float:
    """Measure one filter of the overview, applied to a page at rest."""
    page.wait_for_selector(DRAWN)
    return time_to_result(page, lambda: page.get_by_label(label, exact=True).select_option(value))


def report(what: str, milliseconds: list[float]) -> None:
    """Print one row."""
    print(f"| {what} | {statistics.median(milliseconds):.0f} | {max(milliseconds):.0f} |", flush=True)


def readers(address: str) -> list[float]:
    """Request the overview by concurrent readers, with several filters; return the milliseconds of each request."""

    def read(number: int) -> float:
        began = perf_counter()
        with urllib.request.urlopen(f"{address}/?country={('US', 'DE', 'AU', '')[number % 4]}", timeout=60) as answer:
            answer.read()
        return (perf_counter() - began) * 1000

    with ThreadPoolExecutor(READERS) as pool:
        return list(pool.map(read, range(READERS * 5)))


def main(lake: str) -> None:
    """Print a table of the results, and the load of the machine before and after."""
    print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} CPUs")
    print("| what | median, ms | longest, ms |\n| --- | --- | --- |")
    starts = [first_page(lake) for _ in range(STARTS)]
    report("from start to first page", [each for each, _ in starts])
    report("from announcement to first page", [each for _, each in starts])
    with served(lake) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for path in PAGES:
            paints = []
            for _ in range(TIMES):
                context = browser.new_context()  # with an empty cache
                page = context.new_page()
                page.wait_for_timeout(WINDOW_MS)
                paints.append(first_paint(page, address + path))
                context.close()
            report(f"first paint of {path}", paints)
        page = browser.new_page()
        page.goto(address)
        page.evaluate(CLOCK)
        page.wait_for_selector("figure[data-drawn]")
        took = [[filter_time(page, *each) for each in FILTERS] for _ in range(TIMES)]
        for number, (label, value) in enumerate(FILTERS):
            report(f"{label}: {value or 'all'}", [each[number] for each in took])
        page.goto(f"{address}/breweries")
        page.evaluate(CLOCK)
        report("search", [time_to_result(page, lambda word=word: page.fill("#q", word)) for word in WORDS * 3])  # type: ignore[misc]
        browser.close()
        report(f"the overview for {READERS} readers at once", readers(address))
    print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main(sys.argv[1])
