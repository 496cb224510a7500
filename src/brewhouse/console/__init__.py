"""The web console: pages over a lake, and the same data as JSON; `brewhouse serve` opens it."""
