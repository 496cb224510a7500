"""The overview and the tables in a real browser."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

expect = pytest.importorskip("playwright.sync_api").expect


def width_shown(page: Page) -> float:
    return float((page.locator("#map").get_attribute("viewBox") or "").split()[2])


def test_filters_and_history_of_the_overview(page: Page, console_url: str) -> None:
    page.goto(console_url)
    expect(page.get_by_role("heading", level=1)).to_have_text("Breweries of the world")
    expect(page.locator("#total")).to_have_text("400")
    expect(page.locator("figure[data-drawn] svg").first).to_be_visible()  # Vega, without eval

    page.get_by_label("Type", exact=True).select_option("micro")
    expect(page).to_have_url(re.compile(r"[?&]type=micro"))
    expect(page.locator("#total")).not_to_have_text("400")
    micro = int(page.locator("#total").inner_text())

    page.get_by_role("list", name="By country").get_by_role("link", name="United States").click()
    expect(page).to_have_url(re.compile(r"country=US"))
    expect(page.get_by_label("Country", exact=True)).to_have_value("US")
    expect(page.locator("#total")).not_to_have_text(str(micro))
    assert width_shown(page) < 10_000
    expect(page.get_by_label("State or region")).to_be_enabled()

    page.go_back()
    expect(page.locator("#total")).to_have_text(str(micro))
    page.get_by_role("link", name="Clear filters").click()
    expect(page.locator("#total")).to_have_text("400")


def test_the_map_zooms_by_wheel_buttons_and_keys_and_filters_by_click(page: Page, console_url: str) -> None:
    page.goto(console_url)
    the_map = page.locator("#map")
    expect(the_map).to_have_attribute("data-prepared", "true")
    the_map.hover(position={"x": 300, "y": 150})
    page.mouse.wheel(0, -300)
    expect(the_map).to_have_class(re.compile("moved"))
    page.get_by_role("button", name="Reset zoom").click()
    assert width_shown(page) == 10_000
    page.get_by_role("button", name="Zoom in").click()
    assert width_shown(page) == 6_000
    the_map.focus()
    page.keyboard.press("0")
    assert width_shown(page) == 10_000
    page.keyboard.press("+")
    assert width_shown(page) == 7_000
    germany = page.locator('#map a[data-country="DE"] path')
    coarse = germany.get_attribute("d") or ""
    for _ in range(2):
        page.keyboard.press("+")
    expect(germany).not_to_have_attribute("d", coarse)  # full detail is loaded on zoom
    page.keyboard.press("0")
    page.locator('#map a[data-country="AU"] path').dispatch_event("click")
    expect(page).to_have_url(re.compile("country=AU"))
    expect(page.get_by_label("Country", exact=True)).to_have_value("AU")


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


def test_pages_fit_on_a_phone_and_start_with_a_skip_link(page: Page, console_url: str) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    for path in ("/", "/tables", "/tables/silver.breweries"):
        page.goto(console_url + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
