"""Interface texts: every text is translated, and each request gets the language that its reader prefers."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import duckdb
import jinja2
import pytest
from fastapi.testclient import TestClient
from jinja2 import nodes

import brewhouse.console
from brewhouse.api.contract import BREWERY_TYPES
from brewhouse.console.language import (
    COOKIE,
    FOLDER,
    LANGUAGES,
    Translator,
    match_language,
    negotiate_language,
    texts,
)
from brewhouse.console.overview import BreweryCount
from brewhouse.errors import BrewhouseError
from brewhouse.places.reference import countries
from brewhouse.query.saved_queries import saved_queries

PACKAGE = Path(brewhouse.console.__file__).parent
FIRST = slice(0, 1)
TRANSLATORS = {"_": FIRST, "words": FIRST, "translate": FIRST, "many": slice(0, 2), "error_response": slice(2, 4)}
"""Names of translating functions, and which of their arguments are texts."""
TEXTS_OF_DATA = (set(BREWERY_TYPES) - {"closed", "unknown"}) | {"Iran", "Laos", "Syria"}
"""Values of `silver.breweries`: types, and the countries whose short names pycountry does not translate."""
CODE = {"code", "pre", "script", "style", "textarea"}
ENGLISH = re.compile(r"\b(the|is|are|was|were|has|have|been|not|which|with|without|by|from|to|and|or|of|in the|at)\b")
"""Words of English sentences that are no Portuguese words."""
TRANSLATIONS = [language for language in LANGUAGES if language != "en"]


def texts_of_templates() -> Iterator[tuple[str, str]]:
    environment = jinja2.Environment(autoescape=True)
    for file in sorted((PACKAGE / "templates").rglob("*.html")):
        for call in environment.parse(file.read_text("utf-8")).find_all(nodes.Call):
            if isinstance(call.node, nodes.Name):
                for argument in call.args[TRANSLATORS.get(call.node.name, slice(0))]:
                    if isinstance(argument, nodes.Const):
                        yield file.name, argument.value


def texts_of_code() -> Iterator[tuple[str, str]]:
    for file in sorted(PACKAGE.rglob("*.py")):
        for call in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(call, ast.Call):
                function = call.func
                if isinstance(function, ast.Call):  # translator_of(request)("…")
                    function = function.func
                    name = "translate" if isinstance(function, ast.Name) and function.id == "translator_of" else ""
                else:
                    name = function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")
                for argument in call.args[TRANSLATORS.get(name, slice(0))]:
                    if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                        yield file.name, argument.value


class VisibleTexts(HTMLParser):
    """Collects the texts of a page, without code, and the attributes that are read out or shown."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.texts: set[str] = set()
        self._inside_code = 0
        self.feed(html)

    def handle_data(self, data: str) -> None:
        if not self._inside_code:
            self.texts.add(" ".join(data.split()))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside_code += tag in CODE
        self.texts.update(value for name, value in attrs if name in {"aria-label", "title", "placeholder"} and value)

    def handle_endtag(self, tag: str) -> None:
        self._inside_code -= tag in CODE


@pytest.mark.parametrize("language", TRANSLATIONS)
def test_every_text_is_translated(language: str) -> None:
    used = [*texts_of_templates(), *texts_of_code()]
    assert len(used) > 150
    assert not [(file, text) for file, text in used if text not in texts(language)]


@pytest.mark.parametrize("language", TRANSLATIONS)
def test_every_translation_is_used(language: str) -> None:
    used = {text for _, text in [*texts_of_templates(), *texts_of_code()]}
    used |= {text for query in saved_queries() for text in (query.title, query.question)}
    assert set(texts(language)) - used == TEXTS_OF_DATA


@pytest.mark.parametrize("language", TRANSLATIONS)
def test_a_translation_has_the_same_values_as_its_text(language: str) -> None:
    for text, translation in texts(language).items():
        assert set(re.findall(r"{\w+}", text)) == set(re.findall(r"{\w+}", translation)), text
        assert text.count("`") == translation.count("`"), text
        assert translation == translation.strip() != "", text
        assert text.endswith(".") == translation.endswith("."), text


@pytest.mark.parametrize("language", TRANSLATIONS)
def test_a_text_has_the_same_translation_in_every_file(language: str) -> None:
    seen: dict[str, str] = {}
    for file in sorted((FOLDER / language).glob("*.toml")):
        for text, translation in tomllib.loads(file.read_text("utf-8")).items():
            assert seen.setdefault(text, translation) == translation, f"{file.name}: {text}"


def test_what_users_write_of_their_own_tables_is_shown_as_it_is() -> None:
    for text in ("One row per city, with its beers.", "beers: never warm; or so", "Custo por litro", "", "x" * 100_000):
        assert Translator("pt-BR").message(text) == text


def test_countries_have_portuguese_names_and_are_sorted_by_them() -> None:
    portuguese = Translator("pt-BR")
    names = {country.title: portuguese.country(country.title) for country in countries()}
    expected = ("Alemanha", "Estados Unidos", "Coreia do Sul", "África do Sul", "Irã", "Laos", "Síria", "Ilha de Man")
    shown = ("Germany", "United States", "South Korea", "South Africa", "Iran", "Laos", "Syria", "Isle of Man")
    assert [names[name] for name in shown] == [*expected]
    counts = [BreweryCount(name, name, 1) for name in ("Germany", "South Africa", "Austria", "Belgium")]
    labels = [label for _, label in portuguese.sorted_labels("country", [*counts, BreweryCount("none", "", 1)])]
    assert labels == ["África do Sul", "Alemanha", "Áustria", "Bélgica", "desconhecido"]


def test_a_message_is_translated_with_its_hint_its_values_and_the_messages_in_it() -> None:
    portuguese = Translator("pt-BR")
    stored = str(BrewhouseError("The disk is full: /x y. z.", hint="Free disk space, then run again."))
    assert portuguese.message(stored) == "O disco está cheio: /x y. z. Libere espaço em disco e execute de novo."
    checks = (
        "28 checks passed, 2 failed: silver.a: (id, run) is unique (1,250 violations); gold.b: no beer (1 violations)"
    )
    assert portuguese.message(checks) == (
        "verificações aprovadas: 28, reprovadas: 2: silver.a: (id, run) não se repete (violações: 1.250); "
        "gold.b: no beer (violações: 1)"
    )
    with pytest.raises(duckdb.Error) as failed:
        duckdb.execute("SELECT sum(nme) FROM (SELECT 'x' AS name)")
    assert portuguese.message(f"The query failed: {str(failed.value).partition(chr(10) * 2)[0]}") == (
        'A consulta falhou: a coluna "nme" não existe nas tabelas do FROM!\nNomes parecidos: "name"'
    )
    assert portuguese.message("Who knows. Run again.") == "Who knows. Execute de novo."
    assert Translator("en").message(stored) == stored


def test_a_hostile_message_is_translated_in_linear_time() -> None:
    portuguese = Translator("pt-BR")
    for part in ("The lake ", "; ", ". ", "status ", " failed: ", "Failed to send an alert (x): "):
        text = part * 5_000
        assert len(portuguese.message(text)) > 5_000


def test_every_language_but_english_has_a_folder() -> None:
    assert sorted(folder.name for folder in FOLDER.iterdir()) == sorted(TRANSLATIONS)
    assert texts("en") == {}


@pytest.mark.parametrize(
    ("cookie", "header", "language"),
    [
        (None, "pt", "pt-BR"),
        (None, "pt-PT", "pt-BR"),
        (None, "pt-BR", "pt-BR"),
        (None, "PT_br;q=0.9", "pt-BR"),
        (None, "de, fr;q=0.9, pt-AO;q=0.8, en;q=0.7", "pt-BR"),
        (None, "de, en", "en"),
        (None, "de", "en"),
        (None, "*", "en"),
        (None, ",;,", "en"),
        (None, "", "en"),
        (None, None, "en"),
        ("pt", "en", "pt-BR"),
        ("pt-BR", "en", "pt-BR"),
        ("en", "pt-BR", "en"),
        ("xx", "pt", "pt-BR"),
    ],
)
def test_the_chosen_language_precedes_the_browser_s(cookie: str | None, header: str | None, language: str) -> None:
    assert negotiate_language(cookie, header) == language


@pytest.mark.parametrize("tag", ["ptx", "pt.BR", "english", "", " ", None])
def test_only_a_whole_primary_subtag_matches(tag: str | None) -> None:
    assert match_language(tag) is None


def test_a_translator_inserts_values_and_falls_back_to_the_english_text() -> None:
    portuguese = Translator("pt")
    assert portuguese.language == "pt-BR"
    assert portuguese("Page {page} of {pages}", page=2, pages=3) == "Página 2 de 3"
    assert portuguese("not a text of the console") == "not a text of the console"
    assert Translator("xx").language == "en"
    assert [portuguese.many("{count} row", "{count} rows", n, count=n) for n in (0, 1, 2)] == [
        "0 linhas",
        "1 linha",
        "2 linhas",
    ]


@pytest.mark.parametrize(
    ("text", "translated"),
    [
        ("waiting 2.5 s", "aguardando 2,5 s"),
        ("snapshot X is complete: 11,822 records", "o snapshot X está completo: 11.822 registros"),
        ("waiting 1,234.5 s", "aguardando 1.234,5 s"),
        ("published 1.2.3", "tabelas publicadas: 1.2.3"),
    ],
)
def test_numbers_in_messages_have_the_separators_of_the_language(text: str, translated: str) -> None:
    assert Translator("pt-BR").message(text) == translated
    assert Translator("en").message(text) == text


@pytest.mark.parametrize("tag", ["pt", "pt-PT", "pt-BR"])
@pytest.mark.parametrize("path", ["/", "/explore", "/tables", "/runs", "/runs/last", "/quality", "/events", "/nowhere"])
def test_every_page_declares_the_language_it_is_written_in(client: TestClient, path: str, tag: str) -> None:
    html = client.get(path, headers={"Accept-Language": tag}).text
    assert html.lstrip().startswith('<!doctype html>\n<html lang="pt-BR">')
    assert '<html lang="en">' in client.get(path).text


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/?country=US&type=micro", "/?country=nowhere", "/?at=1999-01-01", "/?at=nonsense", "/nowhere"),
        *("/breweries", "/breweries?q=nothing", "/breweries?page=0", "/breweries/nothing", "/breweries/nearest?x=1"),
        *("/changes", "/changes?kind=closed&type=nothing", "/changes?since=yesterday", "/changes?kind=nothing"),
        *("/explore", "/explore?saved=top_cities", "/explore?result=nothing", "/explore?number=1&page=x"),
        *("/tables", "/tables/gold.breweries_by_location", "/tables/nothing"),
        *("/runs", "/runs?state=FAILED", "/runs/last", "/runs/nothing", "/runs?page=99999999", "/quality"),
        *("/quality/rejected", "/quality/places", "/quality/suspects", "/quality/suspects?page=2", "/quality/nothing"),
        *("/events", "/events?until=2000-01-01", "/events?level=nothing", "/events?page=2", "/report.html"),
    ],
)
def test_a_portuguese_page_shows_no_english_text(varied_client: TestClient, path: str) -> None:
    answer = varied_client.get(path, headers={"Accept-Language": "pt-BR"})
    assert answer.headers.get("content-language", "pt-BR") == "pt-BR"
    assert not english_in(answer.text)


def english_in(html: str) -> set[str]:
    """Return the texts of a page that the catalogue would translate, or that are English sentences."""
    portuguese = Translator("pt-BR")
    visible = VisibleTexts(html).texts - TEXTS_OF_DATA - {"breweries", "records"}  # in a lineage, tables
    return {
        text
        for text in visible
        if portuguese(text) != text or portuguese.message(text) != text or len(ENGLISH.findall(text)) > 1
    }


def test_the_language_link_sets_a_cookie_and_keeps_the_rest_of_the_address(client: TestClient) -> None:
    answer = client.get("/events?kind=job&lang=pt-BR&page=2", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/events?kind=job&page=2")
    cookie = answer.headers["set-cookie"]
    assert f"{COOKIE}=pt-BR;" in cookie
    assert {"HttpOnly", "Max-Age=31536000", "SameSite=lax", "Path=/"} <= set(cookie.split("; "))
    assert '<html lang="pt-BR">' in client.get("/events", headers={"Accept-Language": "en"}).text
    client.get("/events?lang=en")
    assert '<html lang="en">' in client.get("/events", headers={"Accept-Language": "pt-BR"}).text
    client.cookies.clear()


def test_an_unknown_language_in_the_address_is_ignored(client: TestClient) -> None:
    answer = client.get("/events?lang=xx", follow_redirects=False)
    assert answer.status_code == 200
    assert "set-cookie" not in answer.headers


def test_a_language_link_never_leads_to_another_site(client: TestClient) -> None:
    answer = client.get("http://127.0.0.1//evil.example/?lang=pt-BR", follow_redirects=False)
    assert answer.headers["location"] == "/evil.example/"
    client.cookies.clear()
    missing = client.get("http://127.0.0.1//evil.example/")
    assert missing.status_code == 404
    assert 'href="//' not in missing.text


@pytest.mark.parametrize(("tag", "error"), [("en", "Page not found."), ("pt", "Página não encontrada.")])
def test_errors_are_in_the_reader_s_language(client: TestClient, tag: str, error: str) -> None:
    headers = {"Accept-Language": tag}
    assert error in client.get("/nowhere", headers=headers).text
    assert client.get("/api/v1/nowhere", headers=headers).json()["error"] == error
