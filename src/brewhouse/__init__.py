"""Brewhouse: a lakehouse in a box, on the example of the world's breweries."""

__version__ = "0.1.0"
