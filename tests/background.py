"""A reader in the background of a test."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

_Result = TypeVar("_Result")


@contextmanager
def repeating(read: Callable[[], _Result], pause_s: float = 0.01) -> Iterator[list[_Result | str]]:
    """Call a function in a thread until the block ends; collect its results, and its errors as text."""
    seen: list[_Result | str] = []
    done = threading.Event()

    def loop() -> None:
        while not done.wait(pause_s):
            try:
                seen.append(read())
            except Exception as error:  # noqa: BLE001 - whatever a reader meets is a finding
                seen.append(repr(error))

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()
