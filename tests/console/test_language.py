"""Every text of the pages is there in every language, with the same values in it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import jinja2
import pytest
from jinja2 import nodes

import brewhouse.console
from brewhouse.console.language import FOLDER, LANGUAGES, chosen, texts

ROOM = Path(brewhouse.console.__file__).parent
TRANSLATORS = {"_": 1, "words": 1, "many": 2}


def texts_of_templates() -> Iterator[tuple[str, str]]:
    environment = jinja2.Environment(autoescape=True)
    for file in sorted((ROOM / "templates").rglob("*.html")):
        for call in environment.parse(file.read_text("utf-8")).find_all(nodes.Call):
            if isinstance(call.node, nodes.Name):
                for argument in call.args[: TRANSLATORS.get(call.node.name, 0)]:
                    if isinstance(argument, nodes.Const):
                        yield file.name, argument.value


def texts_of_code() -> Iterator[tuple[str, str]]:
    for file in sorted(ROOM.rglob("*.py")):
        for call in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(call, ast.Call):
                name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
                for argument in call.args[: TRANSLATORS.get(name, 0)]:
                    if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                        yield file.name, argument.value


@pytest.mark.parametrize("language", [language for language in LANGUAGES if language != "en"])
def test_no_text_lacks_its_translation(language: str) -> None:
    known = texts(language)
    said = [*texts_of_templates(), *texts_of_code()]
    assert len(said) > 50
    assert not [(file, text) for file, text in said if text not in known]


@pytest.mark.parametrize("language", [language for language in LANGUAGES if language != "en"])
def test_a_translation_has_the_values_of_its_text(language: str) -> None:
    for text, translation in texts(language).items():
        assert set(re.findall(r"{\w+}", text)) == set(re.findall(r"{\w+}", translation)), text
        assert translation.strip(), text


def test_a_text_is_translated_in_one_file_or_the_same_in_all() -> None:
    import tomllib

    seen: dict[str, str] = {}
    for file in sorted((FOLDER / "pt").glob("*.toml")):
        for text, translation in tomllib.loads(file.read_text("utf-8")).items():
            assert seen.setdefault(text, translation) == translation, f"{file.name}: {text}"


@pytest.mark.parametrize(
    ("cookie", "header", "language"),
    [(None, "pt-BR", "pt"), (None, "de, en", "en"), ("pt", "en", "pt"), ("xx", "pt", "pt"), (None, None, "en")],
)
def test_the_reader_s_choice_goes_before_the_browser_s(cookie: str | None, header: str | None, language: str) -> None:
    assert chosen(cookie, header) == language
