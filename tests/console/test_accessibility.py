"""axe-core finds nothing on any page, in both themes, on a desktop and on a phone."""

from __future__ import annotations

import re
from itertools import product
from typing import TYPE_CHECKING, Literal

import pytest
from tests.console.conftest import served

from brewhouse.console.app import create_app
from brewhouse.lake.lake import Lake
from brewhouse.settings import Secret, Settings

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser, Page

    Theme = Literal["light", "dark"]

expect = pytest.importorskip("playwright.sync_api").expect

PATHS = (
    *("/", "/?country=US&type=micro", "/?type=nothing", "/breweries", "/breweries?q=brew&country=US"),
    *("/breweries?q=zz+no", "/changes", "/changes?kind=added", "/explore", "/explore?saved=breweries_by_type&run=1"),
    *("/tables", "/tables/silver.breweries", "/tables/gold.brewery_counts_over_time", "/runs", "/runs/last"),
    *("/quality", "/quality/rejected", "/quality/places", "/quality/suspects", "/events", "/events?level=ERROR"),
)
WIDTHS = (1280, 390)
THEMES: tuple[Theme, ...] = ("light", "dark")
QUICK = [("/", "dark", 390), ("/explore?saved=breweries_by_type&run=1", "light", 1280), ("/runs/last", "dark", 390)]
FULL = [each for each in product(PATHS, THEMES, WIDTHS) if each not in QUICK]


def assert_accessible(page: Page, address: str, theme: Theme, width: int) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page.emulate_media(color_scheme=theme, reduced_motion="reduce")
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(address)
    if "run=1" in address:
        expect(page.locator("#rows")).to_be_visible()
    page.evaluate("for (const each of [...document.querySelectorAll('main details')].slice(0, 4)) each.open = true")
    if page.locator("#map").count():
        expect(page.locator("#map path").first).to_be_attached()
    expect(page.locator("figure[data-chart]:visible:not([data-drawn])")).to_have_count(0)
    found = Axe().run(page).response["violations"]
    problems = [f"{each['id']}: {node['html'][:200]}" for each in found for node in each["nodes"]]
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize(("path", "theme", "width"), QUICK)
def test_axe_finds_nothing(page: Page, console_url: str, path: str, theme: Theme, width: int) -> None:
    assert_accessible(page, console_url + path, theme, width)


@pytest.mark.slow
@pytest.mark.parametrize(("path", "theme", "width"), FULL)
def test_axe_finds_nothing_on_any_page(page: Page, console_url: str, path: str, theme: Theme, width: int) -> None:
    assert_accessible(page, console_url + path, theme, width)


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/nothing", "/explore?result=none"])
def test_axe_finds_nothing_on_an_error(browser: Browser, console_url: str, path: str) -> None:
    page = browser.new_page()
    assert_accessible(page, console_url + path, "light", 390)
    page.close()


@pytest.mark.slow
@pytest.mark.parametrize("password", [Secret("a password"), None], ids=["login", "empty"])
def test_axe_finds_nothing_before_signing_in_and_before_the_first_run(
    page: Page, console_settings: Settings, tmp_path: Path, password: Secret | None
) -> None:
    with served(create_app(Lake(tmp_path / "lake"), console_settings, password=password)) as url:
        for theme, width in product(THEMES, WIDTHS):
            assert_accessible(page, url, theme, width)
            expect(page.get_by_role("button", name="Sign in" if password else "Run now")).to_be_visible()


@pytest.mark.slow
@pytest.mark.parametrize(("theme", "width"), [*product(THEMES, WIDTHS)])
def test_axe_finds_nothing_on_the_page_of_a_brewery(page: Page, console_url: str, theme: Theme, width: int) -> None:
    page.goto(f"{console_url}/breweries")
    path = page.locator("#found tbody a").first.get_attribute("href") or ""
    assert re.fullmatch(r"/breweries/[0-9a-f-]{36}", path)
    assert_accessible(page, console_url + path, theme, width)
