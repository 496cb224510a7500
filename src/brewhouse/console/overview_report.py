"""The overview as a file: a self-contained HTML page, or its charts as PDF, PNG or SVG."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import replace
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from brewhouse.console import charts, overview
from brewhouse.console.lake_reader import LakeReader, LakeState
from brewhouse.console.language import Translator
from brewhouse.console.map_drawing import MapDrawing, draw_map
from brewhouse.console.web import templates, text_helpers
from brewhouse.errors import UsageError, install_command
from brewhouse.lake.lake import Lake

FORMATS = (".html", ".pdf", ".png", ".svg")
_STYLE = Path(__file__).parent / "static" / "style.css"
_PNG_SCALE = 2.0
_MAX_BARS = 25
_INK, _SOFT, _LINE, _ACCENT = "#211e18", "#635c50", "#e2ddd1", "#9a5808"  # as in style.css
_THEME = {
    "background": "#ffffff",
    "view": {"stroke": None},
    "axis": {
        "aria": False,
        "labelColor": _SOFT,
        "titleColor": _SOFT,
        "gridColor": _LINE,
        "domainColor": _LINE,
        "tickColor": _LINE,
    },
    "axisX": {"grid": False},
    "title": {"color": _INK, "anchor": "start", "subtitleColor": _SOFT},
    "mark": {"color": _ACCENT},
}


def write_report(
    lake: Lake, output: Path, filters: overview.OverviewFilters, *, at: str | None = None, language: str = "en"
) -> None:
    """Write the overview of a lake, as of a time, snapshot or run, to a file; its suffix selects one of `FORMATS`.

    Raises:
        UsageError: The suffix is not supported, or a filter matches nothing.
        OSError: The file cannot be written.
        BrewhouseError: No breweries are published, or none were at that time.
    """
    suffix = output.suffix.lower()
    if suffix not in FORMATS:
        raise UsageError(
            f"Cannot write a report as {suffix or 'a file without suffix'}: unknown format.",
            hint=f"Name the file with one of {', '.join(FORMATS)}.",
        )
    state = LakeReader(lake).state(at)
    overview.require_breweries(state)
    filters = _known(state, filters)
    shown = _only(overview.overview(state, filters))
    translate = Translator(language)
    title = _title(shown, translate)
    if suffix == ".html":
        content = _html(shown, draw_map(state, shown), title, translate, at).encode()
    else:
        sheet = charts.overview_sheet(shown, overview.brewery_locations(state, filters), title, translate)
        content = render(sheet, suffix, translate.language)
    output.write_bytes(content)


def _known(state: LakeState, filters: overview.OverviewFilters) -> overview.OverviewFilters:
    """Write filters as the lake does, which may be in another case.

    Raises:
        UsageError: No brewery has that country, state or type.
    """
    everything = overview.overview(state, overview.OverviewFilters())
    lists = {"country": everything.by_country, "state": everything.by_state, "type": everything.by_type}
    known = {}
    for name, counts in lists.items():
        wanted = getattr(filters, name)
        keys = {count.key.casefold(): count.key for count in counts}
        if wanted and wanted.casefold() not in keys:
            close = [count.key for count in counts if count.name.casefold() == wanted.casefold()]
            close = close or get_close_matches(wanted.casefold(), keys, n=1)
            hint = (
                f"Did you mean {keys[close[0].casefold()]}?" if close else f"Known: {', '.join(sorted(keys.values()))}."
            )
            raise UsageError(f"No brewery of the lake has the {name} {wanted!r}.", hint=hint)
        known[name] = keys.get(wanted.casefold(), "")
    return overview.OverviewFilters(**known)


def _only(shown: overview.Overview) -> overview.Overview:
    """Leave out the types and places that the filters exclude; on the page, they can be chosen instead."""
    filters = shown.filters

    def wanted(counts: list[overview.BreweryCount], key: str) -> list[overview.BreweryCount]:
        return [count for count in counts if key in {"", count.key}]

    return replace(
        shown,
        by_type=wanted(shown.by_type, filters.type),
        by_country=wanted(shown.by_country, filters.country),
        by_state=wanted(shown.by_state, filters.state),
    )


def _title(shown: overview.Overview, translate: Translator) -> str:
    """Name the filters of a report."""
    filters = shown.filters
    names = [
        next((translate.label(field, count) for count in counts if count.key == key), key)
        for field, key, counts in (
            ("state", filters.state, shown.by_state),
            ("country", filters.country, shown.by_country),
        )
        if key
    ]
    place = ", ".join(names) or translate("the world")
    types = [translate(filters.type)] if filters.type else []
    return " · ".join([translate("Breweries: {place}", place=place), *types])


def _html(shown: overview.Overview, drawing: MapDrawing, title: str, translate: Translator, at: str | None) -> str:
    style = _STYLE.read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    values = {
        **text_helpers(translate),
        "style": style,
        "policy": f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'",
        "title": title,
        "shown": shown,
        "max_bars": _MAX_BARS,
        "drawing": drawing,
        "line": charts.line_path(shown.over_time) if shown.over_time else "",
        "at": at,
        "created_at": datetime.now(UTC),
    }
    return templates().get_template("report.html").render(values)


def render(spec: dict[str, Any], suffix: str, language: str) -> bytes:
    """Render a Vega-Lite specification without a browser and without network access.

    Raises:
        UsageError: The library for it is not installed.
    """
    try:
        import vl_convert
    except ImportError as error:
        what = f"A report as {suffix[1:].upper()} needs {error.name}, which is not installed."
        hint = f"Run `{install_command('report')}`, or write it as HTML."
        raise UsageError(what, hint=hint) from error
    locale = "en-US" if language == "en" else language
    options: dict[str, Any] = {"allowed_base_urls": [], "format_locale": locale, "time_format_locale": locale}
    if suffix == ".png":
        options["scale"] = _PNG_SCALE
    convert = getattr(vl_convert, f"vegalite_to_{suffix[1:]}")
    rendered: str | bytes = convert({**spec, "config": _THEME}, **options)
    return rendered.encode() if isinstance(rendered, str) else rendered
