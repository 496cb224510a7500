"""Charts as Vega-Lite: what is drawn stands in the specification, how it looks in `static/chart.js`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from brewhouse.console.overview import DayCount


def over_time(days: Sequence[DayCount], day: str, breweries: str) -> dict[str, Any]:
    """Draw counts by day as a line.

    Args:
        days: Oldest first.
        day: What the days are called.
        breweries: What the counts are called.

    Returns:
        A Vega-Lite specification.
    """
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "width": "container",
        "height": 190,
        "data": {"values": [{"day": each.day.isoformat(), "breweries": each.breweries} for each in days]},
        "layer": [
            {"mark": {"type": "area", "opacity": 0.12}},
            {"mark": {"type": "line", "point": len(days) < 60}},
        ],
        "encoding": {
            "x": {"field": "day", "type": "temporal", "timeUnit": "utcyearmonthdate", "title": None},
            "y": {"field": "breweries", "type": "quantitative", "title": None},
            "tooltip": [
                {"field": "day", "type": "temporal", "timeUnit": "utcyearmonthdate", "title": day},
                {"field": "breweries", "type": "quantitative", "format": ",", "title": breweries},
            ],
        },
    }
