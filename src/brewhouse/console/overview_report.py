"""The overview as a file: a self-contained HTML page, or its charts as PDF, PNG or SVG."""

from __future__ import annotations

import base64
import hashlib
import html
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from brewhouse.console import charts, overview
from brewhouse.console.formatting import d3_time_format
from brewhouse.console.lake_reader import LakeReader, LakeState
from brewhouse.console.language import Translator
from brewhouse.console.web import templates, text_helpers
from brewhouse.errors import UsageError, install_command
from brewhouse.lake.lake import Lake

FORMATS = (".html", ".pdf", ".png", ".svg")
_STYLE = Path(__file__).parent / "static" / "style.css"
_PNG_SCALE = 2.0


def write_report(
    lake: Lake,
    output: Path,
    filters: overview.OverviewFilters,
    *,
    at: str | None = None,
    language: str = "en",
    strict: bool = True,
) -> None:
    """Write the overview of a lake, as of a time, snapshot or run, to a file; its suffix selects one of `FORMATS`.

    Raises:
        UsageError: The suffix is not supported, or, if `strict`, no brewery of the lake has the country, state or type.
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
    if strict:
        _require_known(state, filters)
    translate = Translator(language)
    values = {**text_helpers(translate), **overview_values(state, filters, translate), "at": at}
    values["shown"] = shown = overview.with_counts(values["shown"], filters, _only)
    parts: Any = templates().get_template("overview_parts.html").make_module(values)
    values["title"] = title = html.unescape(str(parts.headline())).strip()
    locations = overview.brewery_locations(state, filters)
    if suffix == ".html":
        content = _html(values, locations).encode()
    else:
        sheet = charts.overview_sheet(shown, values["figures"], locations, title, translate)
        content = render(sheet, suffix, translate.language)
    output.write_bytes(content)


def overview_values(state: LakeState, filters: overview.OverviewFilters, translate: Translator) -> dict[str, Any]:
    """Return what the page and its report show, as variables of their templates."""
    shown = overview.with_counts(overview.overview(state, filters), filters, overview.counts_with)
    return {
        "shown": shown,
        "latest": overview.latest_changes(state, filters),
        "figures": overview.figures_over_time(state, filters),
        "chart": charts.line_chart(shown.over_time, translate),
    }


def _require_known(state: LakeState, filters: overview.OverviewFilters) -> None:
    """Refuse a country, state or type that no brewery of the lake has."""
    everything = overview.overview(state, overview.OverviewFilters())
    lists = {"country": everything.by_country, "state": everything.by_state, "type": everything.by_type}
    for name, counts in lists.items():
        known = sorted(count.key for count in counts)
        if (wanted := getattr(filters, name)) and wanted not in known:
            hint = f"Known: {', '.join(known)}."
            raise UsageError(f"No brewery of the lake has the {name} {wanted!r}.", hint=hint)


def _only(counts: list[overview.BreweryCount], key: str) -> list[overview.BreweryCount]:
    """Leave out the types or places that a filter excludes; on the page, they can be chosen instead."""
    return [count for count in counts if key in {"", count.key}]


def _html(values: dict[str, Any], locations: list[overview.BreweryLocation]) -> str:
    style = _STYLE.read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    days = values["shown"].over_time
    report = {
        **values,
        "style": style,
        "policy": f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'",
        "map": charts.map_paths(locations, values["shown"].filters),
        "line": charts.line_path(days) if days else "",
        "created_at": datetime.now(UTC),
    }
    return templates().get_template("report.html").render(report)


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
    options: dict[str, Any] = {"allowed_base_urls": []}
    if language != "en":
        options |= {"format_locale": language, "time_format_locale": d3_time_format(language)}
    if suffix == ".png":
        options["scale"] = _PNG_SCALE
    convert = getattr(vl_convert, f"vegalite_to_{suffix[1:]}")
    rendered: str | bytes = convert({**spec, "config": charts.specification("theme")}, **options)
    return rendered.encode() if isinstance(rendered, str) else rendered
