"""The pages in a real browser."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

expect = pytest.importorskip("playwright.sync_api").expect


def expect_zoom(page: Page, times: str) -> None:
    """Wait until the map is shown so many times larger than the whole world, with the borders of that view."""
    stage = page.locator(".stage[data-ready]")
    expect(stage).to_have_attribute("data-zoom", re.compile(f"^{times}$"))
    expect(stage).to_have_attribute("data-drawn", "detailed")


def saved(page: Page, region: str, kind: str) -> bytes:
    """Save what a part of the page draws, by its button."""
    with page.expect_download() as download:
        page.get_by_role("region", name=region).get_by_role("button", name=kind).click()
    return download.value.path().read_bytes()


ENLARGED = r"(?!1\.00).+"


def open_map(page: Page, address: str) -> Locator:
    page.emulate_media(reduced_motion="reduce")
    page.goto(address)
    expect_zoom(page, ".+")
    return page.locator("#map")


def test_the_overview_is_filtered_by_form_and_by_list(page: Page, console_url: str) -> None:
    page.goto(console_url)
    expect(page.get_by_role("heading", level=1)).to_have_text("Breweries of the world")
    expect(page.locator("#total")).to_have_text("400")
    expect(page.locator("figure[data-drawn] svg").first).to_be_visible()  # Vega, without eval
    colour = "each => [getComputedStyle(each).fill, each.getAttribute('fill')]"
    shown, specified = page.locator("figure[data-drawn] .role-axis-label text").first.evaluate(colour)
    assert shown == specified, "no style of the page hides the labels of a chart"

    page.locator("#map, figure svg").evaluate_all("all => all.forEach(each => each.classList.add('kept'))")
    page.get_by_label("Type", exact=True).select_option("micro")
    expect(page).to_have_url(re.compile(r"[?&]type=micro"))
    expect(page.locator("#total")).not_to_have_text("400")
    micro = int(page.locator("#total").inner_text())
    expect_zoom(page, ".+")
    expect(page.locator("#map.kept, figure[data-drawn] svg.kept")).to_have_count(2)  # not drawn anew
    files = [saved(page, name, "CSV").decode().splitlines()[1:] for name in ("Map", "Counts over time")]
    points, days = ([line.split(",") for line in file] for file in files)
    assert {kind for _, _, kind, *_ in points} == {'"micro"'}
    expect(page.locator("#map-note")).to_have_text(re.compile(f"^{len(points)} on the map"))
    assert days[-1][0] == f'"{micro}"'

    page.get_by_role("list", name="By country").get_by_role("link", name="United States").click()
    expect(page).to_have_url(re.compile(r"country=US"))
    expect(page.get_by_label("Country", exact=True)).to_have_value("US")
    expect(page.locator("#total")).not_to_have_text(str(micro))
    expect_zoom(page, ENLARGED)
    expect(page.get_by_label("State or region")).to_be_enabled()

    page.go_back()
    expect(page.locator("#total")).to_have_text(str(micro))
    for kind, start in (("CSV", b'"name","breweries"\n"United States","'), ("SVG", b"<svg"), ("PNG", b"\x89PNG")):
        assert saved(page, "By country", kind).startswith(start), kind  # a list of bars is saved as other charts are
    page.get_by_role("link", name="Clear filters").click()
    expect(page.locator("#total")).to_have_text("400")
    page.get_by_role("region", name="Latest changes").get_by_role("link").last.click()
    expect(page).to_have_url(re.compile(r"/breweries/"))
    expect(page.get_by_role("banner")).to_have_count(1)  # a page of its own, not one within the overview


def test_the_map_zooms_by_wheel_button_key_and_double_click_and_filters_by_click(page: Page, console_url: str) -> None:
    the_map = open_map(page, console_url)
    expect_zoom(page, "1.00")
    coarse = the_map.locator('[data-country="DE"]').get_attribute("d")
    the_map.hover(position={"x": 600, "y": 200})
    page.mouse.wheel(0, -300)
    expect_zoom(page, ENLARGED)
    page.get_by_role("button", name="Reset zoom").click()
    expect_zoom(page, "1.00")
    the_map.dblclick(position={"x": 645, "y": 215})
    expect_zoom(page, "2.00")
    page.get_by_role("button", name="Zoom in").click()
    expect_zoom(page, "4.00")
    assert the_map.locator('[data-country="DE"]').get_attribute("d") != coarse  # a closer view has more detail
    assert {"state", "city"} & {
        each.split()[0]
        for each in the_map.locator(".labels g").evaluate_all("all => all.map(each => each.className.baseVal)")
    }
    the_map.focus()
    page.keyboard.press("-")
    expect_zoom(page, "2.50")
    page.keyboard.press("0")
    expect_zoom(page, "1.00")
    the_map.locator('[data-country="AU"]').click()
    expect(page).to_have_url(re.compile("country=AU"))
    expect(page.get_by_label("Country", exact=True)).to_have_value("AU")


def test_a_country_is_whole_on_the_map_and_its_dots_open_breweries(page: Page, console_url: str) -> None:
    the_map = open_map(page, f"{console_url}/?country=IE")
    frame, ireland = the_map.bounding_box(), the_map.locator('[data-country="IE"]').bounding_box()
    assert frame
    assert ireland
    assert frame["height"] / 2 < ireland["height"] < frame["height"]
    assert frame["y"] <= ireland["y"] <= ireland["y"] + ireland["height"] <= frame["y"] + frame["height"]
    assert frame["x"] <= ireland["x"] <= ireland["x"] + ireland["width"] <= frame["x"] + frame["width"]
    the_map.focus()
    page.keyboard.press("Tab")
    the_map.locator("a:focus").press("ArrowRight")
    for _ in range(12):  # into circles, until a dot is left
        focused = the_map.locator("a[tabindex='0']")
        if focused.get_attribute("href"):
            break
        zoom = page.locator(".stage").get_attribute("data-zoom") or ""
        focused.focus()
        page.keyboard.press("Enter")
        expect_zoom(page, f"(?!{re.escape(zoom)}$).+")
    name = (focused.get_attribute("aria-label") or "").split(",")[0]
    focused.hover()
    expect(page.locator(".tooltip")).to_contain_text(name)
    focused.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(name)
    expect(page.locator("#map .dot")).to_have_count(1)


def test_the_map_shows_counts_by_state_and_is_saved(page: Page, console_url: str) -> None:
    the_map = open_map(page, console_url)
    page.get_by_role("button", name="By state").click()
    expect(the_map.locator("[data-state='US-CA']")).to_have_class(re.compile(r"class-\d"))
    expect(the_map.locator(".cluster, .dot")).to_have_count(0)
    expect(the_map.locator(".legend g").nth(1)).to_be_attached()
    the_map.locator("[data-state='US-CA']").hover()
    expect(page.locator(".tooltip")).to_have_text(re.compile(r"^California: \d+$"))
    for kind, start in (("PNG", b"\x89PNG"), ("SVG", b"<svg"), ("CSV", b'"state","country","breweries"')):
        assert saved(page, "Map", kind).startswith(start), kind
    the_map.locator("[data-state='US-CA']").click()
    expect(page).to_have_url(re.compile("country=US.*state=US-CA"))
    expect(page.get_by_label("State or region")).to_have_value("US-CA")


def test_without_scripts_bars_and_tables_remain(browser: Browser, console_url: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(console_url)
    expect(page.get_by_role("list", name="By country").get_by_role("link").first).to_be_visible()
    expect(page.locator("#map")).to_be_hidden()
    context.close()


def test_the_tables_are_browsed_in_portuguese(page: Page, console_url: str) -> None:
    page.goto(f"{console_url}/tables")
    page.get_by_title("Português").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Tabelas")
    expect(page).to_have_url(f"{console_url}/tables")
    page.locator(".lineage").get_by_role("link", name="silver.breweries").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("silver.breweries")
    expect(page.get_by_role("row", name="longitude").first).to_be_visible()
    page.get_by_role("region", name="Snapshots").locator("th[scope=row] a").nth(1).click()
    expect(page.locator("#sample")).to_contain_text("Linhas de exemplo · em ")


def test_the_pages_fit_a_phone_and_start_with_a_link_to_the_content(page: Page, console_url: str) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    for path in ("/", "/tables", "/tables/silver.breweries", "/runs", "/runs/last", "/events", "/quality"):
        page.goto(console_url + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path
        for each in page.locator(".scroll:has(> table.stack)").all():
            assert each.evaluate("each => each.scrollWidth - each.clientWidth") <= 0, path
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to content")).to_be_focused()


def test_events_are_filtered_as_the_form_changes(page: Page, console_url: str) -> None:
    page.goto(f"{console_url}/events")
    size = "all => all.map(each => each.getBoundingClientRect()).map(each => [each.width, each.top])"
    ((form_width, _),) = page.locator("form.filters > .row").evaluate_all(size)
    ((list_width, _),) = page.locator("#list .card").evaluate_all(size)
    assert form_width > 0.95 * list_width
    tops = {top for _, top in page.locator("form.filters .field").evaluate_all(size)}
    assert len(tops) == 1, "all fields are in one row"
    rows = page.locator("#list tbody tr")
    utc = rows.first.locator("time").get_attribute("title") or ""
    assert re.fullmatch(r"[0-9-]{10} [0-9:]{8} UTC", utc)
    expect(rows.first.locator("time")).not_to_have_text(utc)  # local, also where that is UTC
    total = int(page.locator("#list [role=status]").inner_text().split()[0].replace(",", ""))
    page.get_by_label("Kind").select_option("published")
    expect(page).to_have_url(re.compile("kind=published"))
    expect(rows.locator("td.wide > span").first).to_have_text("Tables Published")
    assert 0 < rows.count() < total
    page.get_by_label("Minimum level").select_option("ERROR")
    expect(page.get_by_role("heading", name="No events")).to_be_visible()
    page.go_back()
    expect(rows).not_to_have_count(0)
    rows.first.locator("summary").click()
    expect(rows.first.locator("pre")).to_contain_text('"tables"')


def test_an_error_of_a_filter_is_shown_until_the_filter_is_corrected(browser: Browser, console_url: str) -> None:
    page = browser.new_page(locale="en-GB")
    page.goto(f"{console_url}/events")
    page.get_by_label("Run", exact=True).fill("x" * 201)
    page.get_by_label("Run", exact=True).blur()
    expect(page.locator(".notice.bad")).to_contain_text("Invalid request: run:")
    page.get_by_label("Run", exact=True).fill("")
    page.get_by_label("Run", exact=True).blur()
    expect(page.locator("#list tbody tr")).not_to_have_count(0)
    expect(page.locator(".notice.bad")).to_have_count(0)
    page.close()


def test_an_analyst_finds_a_brewery_by_typing_and_what_was_added_in_a_country(page: Page, console_url: str) -> None:
    page.goto(console_url)
    page.get_by_role("link", name="Breweries", exact=True).click()  # 1
    first = page.locator("#found tbody a").first.inner_text()
    page.get_by_label("Search by name").fill("zz no such brewery")
    expect(page.get_by_role("heading", name="No breweries.")).to_be_visible()
    page.get_by_label("Search by name").fill(first.upper())
    expect(page.locator("#found tbody a").first).to_have_text(first)
    page.locator("#found tbody a").first.click()  # 2
    expect(page.get_by_role("heading", level=1)).to_have_text(first)

    page.get_by_role("link", name="Changes", exact=True).click()  # 1
    page.get_by_label("Kind", exact=True).select_option("added")  # 2
    expect(page).to_have_url(re.compile("kind=added"))
    expect(page.get_by_role("status").filter(has_text="change")).to_have_text(re.compile("1 change"))


def test_on_call_sees_the_health_on_the_first_page_and_the_theme_is_kept(page: Page, console_url: str) -> None:
    page.goto(console_url)
    expect(page.locator("#health")).to_contain_text("Last success")
    expect(page.locator("#health time").first).to_have_attribute("title", re.compile("UTC"))
    background = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(background)
    for theme in ("Light theme", "Dark theme"):
        page.get_by_label("Switch the theme").click()
        expect(page.get_by_title(theme)).to_be_visible()
    assert page.evaluate(background) != light
    page.locator("#health a").first.click()
    expect(page.get_by_text("succeeded").first).to_be_visible()
    assert page.evaluate(background) != light


def test_an_engineer_finds_the_sql_of_a_table_and_shares_a_chart(page: Page, console_url: str) -> None:
    page.goto(console_url)
    page.get_by_role("link", name="Tables", exact=True).click()  # 1
    page.get_by_role("row").get_by_role("link", name="silver.breweries", exact=True).click()  # 2
    expect(page.locator("dl.facts").get_by_text("Data as of")).to_be_visible()
    page.get_by_text("SQL of the model").click()  # 3
    expect(page.get_by_text("FROM staging.records AS record")).to_be_visible()

    page.goto(f"{console_url}/explore?sql=FROM+(VALUES+('a',1),('b',2))+t(x,y)&run=1&chart=horizontal.0.1.")
    expect(page.locator("figure[data-drawn] svg")).to_be_visible()
    expect(page.locator("#history li").first).to_contain_text("VALUES")
    expect(page.get_by_label("Chart of the result")).to_be_visible()  # its name, not Vega's
    with page.expect_download() as download:
        page.get_by_role("button", name="PNG").click()
    assert download.value.suggested_filename == "chart.png"
    expect(page.locator("#share")).to_have_attribute("href", re.compile(r"run=1.*&chart=horizontal\.0\.1\."))


def test_every_series_of_a_chart_has_its_colour_and_its_labels_fit_a_phone(page: Page, console_url: str) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    sql = "SELECT 'A country with a long name ' || n % 4 AS x, n AS y, n % 9 AS z FROM range(36) t(n)"
    page.goto(f"{console_url}/explore?sql={quote(sql)}&run=1&chart=stacked.0.1.2")
    expect(page.locator("figure[data-drawn] svg")).to_be_visible()
    symbols = page.locator("figure .mark-symbol.role-legend-symbol path")
    expect(symbols).to_have_count(9)
    assert len(set(symbols.evaluate_all("all => all.map(each => each.getAttribute('fill'))"))) == 9
    labels = page.locator("figure .role-axis-label text", has_text="A country").evaluate_all(
        "all => all.map(each => each.getBoundingClientRect()).map(each => [each.left, each.right])"
    )
    assert labels
    assert all(left >= 0 and right <= 390 for left, right in labels)


def test_a_printed_overview_has_its_whole_lists(page: Page, console_url: str) -> None:
    page.emulate_media(media="print")
    page.goto(console_url)
    states = page.locator("section", has=page.locator("#state-title")).locator("details li")
    expect(states.last).to_be_visible()
    assert states.count() > 10


def test_control_k_goes_to_a_page_or_a_brewery(page: Page, console_url: str) -> None:
    page.goto(f"{console_url}/events")
    page.keyboard.press("Control+k")
    page.locator(".palette input").fill("qual")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Quality")
