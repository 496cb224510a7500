"""Brewhouse: a lakehouse in a box, on the example of the world's breweries.

`brewhouse.Lake("lake")` is the library; docs/library.md has examples. Nothing is imported until it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from brewhouse.lakehouse import Lakehouse as Lake

__version__ = "0.1.0"
__all__ = ["Lake", "__version__"]


def __getattr__(name: str) -> object:
    if name == "Lake":
        from brewhouse.lakehouse import Lakehouse

        return Lakehouse
    raise AttributeError(f"module 'brewhouse' has no attribute {name!r}")
