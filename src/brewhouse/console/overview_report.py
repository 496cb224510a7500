"""The overview as a file to send: a page that asks nobody for anything, or its charts as PDF, PNG or SVG."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from brewhouse.console import charts, overview
from brewhouse.console.lake_reader import LakeReader
from brewhouse.console.language import Translator
from brewhouse.console.map_drawing import Drawing, draw
from brewhouse.console.web import format_helpers, templates
from brewhouse.errors import UsageError
from brewhouse.lake.lake import Lake

KINDS = (".html", ".pdf", ".png", ".svg")
_STYLE = Path(__file__).parent / "static" / "style.css"
_PNG_SCALE = 2.0
_LISTED = 25
_INK, _SOFT, _LINE, _ACCENT = "#211e18", "#635c50", "#e2ddd1", "#9a5808"  # of style.css, for what has no style sheet
_LOOK = {
    "background": "#ffffff",
    "view": {"stroke": None},
    "axis": {"labelColor": _SOFT, "titleColor": _SOFT, "gridColor": _LINE, "domainColor": _LINE, "tickColor": _LINE},
    "axisX": {"grid": False},
    "title": {"color": _INK, "anchor": "start", "subtitleColor": _SOFT},
    "mark": {"color": _ACCENT},
}
_FORMATS = {
    "en": {"decimal": ".", "thousands": ",", "grouping": [3], "currency": ["", ""]},
    "pt": {"decimal": ",", "thousands": ".", "grouping": [3], "currency": ["", ""]},
}


def write_report(
    lake: Lake, output: Path, filters: overview.OverviewFilters, *, at: str | None = None, language: str = "en"
) -> None:
    """Write the overview of a lake into a file.

    Args:
        lake: Whose.
        output: The file; its ending says what it becomes, see `KINDS`.
        filters: Which breweries.
        at: As of when, see `lake.reading.connect`.
        language: en or pt.

    Raises:
        UsageError: The ending is another one.
        BrewhouseError: Nothing is published, or not at that time.
    """
    kind = output.suffix.lower()
    if kind not in KINDS:
        raise UsageError(f"A report cannot be written as {output.name}.", hint=f"Let it end in {', '.join(KINDS)}.")
    state = LakeReader(lake).state(at)
    overview.require(state)
    shown = overview.overview(state, filters)
    words = Translator(language)
    title = _title(shown, words)
    if kind == ".html":
        content = _page(shown, draw(state, shown), title, words, at, lake).encode()
    else:
        content = _drawn(charts.report(shown, overview.spots(state, filters), title, words), kind, language)
    try:
        output.write_bytes(content)
    except OSError as error:
        raise UsageError(
            f"{output} cannot be written: {error.strerror}.", hint="Name another file with --output."
        ) from error


def _title(shown: overview.Overview, words: Translator) -> str:
    """Say which breweries a report is about."""
    filters = shown.filters
    named = [
        next((count.name for count in counts if count.key == key), key)
        for key, counts in ((filters.state, shown.by_state), (filters.country, shown.by_country))
        if key
    ]
    place = ", ".join(named) or words("the world")
    return " · ".join([words("Breweries: {place}", place=place), *([filters.type] if filters.type else [])])


def _page(shown: overview.Overview, drawing: Drawing, title: str, words: Translator, at: str | None, lake: Lake) -> str:
    style = _STYLE.read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    line = {
        **charts.over_time(shown.over_time, words("Day"), words("Breweries")),
        "width": 1000,
        "background": "transparent",
    }
    return (
        templates()
        .get_template("report.html")
        .render(
            **format_helpers(words.language),
            _=words,
            many=words.many,
            language=words.language,
            style=style,
            policy=f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'",
            title=title,
            shown=shown,
            listed=_LISTED,
            drawing=drawing,
            chart=_drawn(line, ".svg", words.language).decode() if shown.over_time else "",
            at=at,
            made_at=datetime.now(UTC),
            lake_name=str(lake.root),
        )
    )


def _drawn(spec: dict[str, Any], kind: str, language: str) -> bytes:
    """Draw a Vega-Lite specification without a browser, and without asking anybody for data."""
    import vl_convert

    told_how: dict[str, Any] = {"allowed_base_urls": [], "format_locale": _FORMATS[language[:2]]}
    spec = {**spec, "config": {**_LOOK, **spec.get("config", {})}}
    if kind == ".pdf":
        pdf: bytes = vl_convert.vegalite_to_pdf(spec, **told_how)
        return pdf
    if kind == ".png":
        png: bytes = vl_convert.vegalite_to_png(spec, scale=_PNG_SCALE, **told_how)
        return png
    svg: str = vl_convert.vegalite_to_svg(spec, **told_how)
    return svg.encode()
