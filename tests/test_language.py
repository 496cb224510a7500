"""One vocabulary: the field's terms in source and documentation, none of the private ones they replaced."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from tests.message_texts import PACKAGES, lookup_texts, message_texts, source_texts, words_of_data

from brewhouse.console.language import Translator
from brewhouse.models.header import NoRow
from brewhouse.models.model import ZONES, Model, column_definitions
from brewhouse.models.project import models_of

ROOT = Path(__file__).parents[1]
NOT_BUT = {
    r"take[ns]? up|taking up|took up|g(o|oes|one|oing) on with|went on with": "resume, continue",
    r"tak(e|es|en|ing) (a |the |all )?pages?": "fetch",
    r"tak(e|es|en|ing) (\w+ )?(once more|again|afresh)|anew|afresh": "refetch, rebuild, restart",
    r"tell|tells|telling|told|in words": "report, notify, log, emit, message",
    r"let go|lets go|letting go|without a word": "expire, delete, drop, release",
    r"holes?": "missing row",
    r"drafts?": "snapshot writer, staged snapshot",
    r"broken promises?|look(s|ed|ing)? for drift": "check, schema drift detection",
    r"verdicts?|census": "completeness result, completeness check",
    r"doubt|doubts|doubted|doubtful|doubting": "suspect",
    r"stand-in|stand_in|misbehav\w*": "mock API, fault injection",
    r"happen|happens|happened|happening|happenings": "event, event feed, occur",
    r"wording|senders?|pings": "messages, channels, heartbeat",
    r"rehears\w*": "dry run",
    r"mend|mends|mended|mending": "fix",
    r"whoever|whosoever|what is no|who is no": "anyone who",
    r"(?<!there )is no (?!longer\b|more\b|other\b|such\b)\w+": "invalid, is not a",
    r"dearer|sooner": "more expensive, earlier",
    r"twins?|beside|besides|rooms?": "duplicate, next to, package",
    r"well again|that was not it|nobody else|somebody": "recovered, wrong, another process",
}
"""What is not written, and what is written instead."""
_SUSPECTS = ("src/brewhouse/models/silver/suspect_breweries.sql", "src/brewhouse/models/columns.toml")
EXCEPTIONS = {
    "doubt": {
        *_SUSPECTS,
        "docs/tables.md",
        "docs/places.md",
        "src/brewhouse/console/pages/quality.py",
        "src/brewhouse/console/pages/breweries.py",
    },  # a column
    "holes": {
        "src/brewhouse/lake/manifest.py",
        "src/brewhouse/pipeline/extract.py",
        "src/brewhouse/console/templates/run.html",
    },
    "hole": {  # keys on disk
        "src/brewhouse/pipeline/extract.py",
        "src/brewhouse/console/locale/pt-BR/messages/events.toml",
    },
    "tell": {"src/brewhouse/lake/object_cache.py"},  # a method of Python's files
}
"""Words allowed in some files, since what is on disk keeps its names."""
SUFFIXES = {".py", ".sql", ".html", ".js", ".css", ".md", ".toml", ".yaml"}


def texts() -> list[Path]:
    """List the files that people read, apart from bundled libraries."""
    places = [ROOT / "src", ROOT / "docs"]
    files = [file for place in places for file in place.rglob("*") if file.suffix in SUFFIXES]
    return sorted({*files, ROOT / "README.md", ROOT / "CHANGELOG.md"} - {f for f in files if ".min." in f.name})


def phrases(text: str, name: str) -> list[str]:
    """List the phrases of a text that are not to be used, with their lines."""
    found = []
    for pattern, instead in NOT_BUT.items():
        for match in re.finditer(rf"(?<![A-Za-z])({pattern})(?![A-Za-z])", text, re.IGNORECASE):
            if name not in EXCEPTIONS.get(match[1].lower(), ()):
                line = text.count("\n", 0, match.start()) + 1
                found.append(f"{name}:{line}: {match[1]!r}, instead: {instead}")
    return found


@pytest.mark.parametrize("file", texts(), ids=lambda file: str(file.relative_to(ROOT)))
def test_a_text_uses_the_terms_of_the_field(file: Path) -> None:
    found = phrases(file.read_text("utf-8"), str(file.relative_to(ROOT)))
    assert not found, "\n".join(found)


def test_a_phrase_is_found_in_prose_and_in_identifiers() -> None:
    text = "A hole is told anew.\nstand_in = Verdict()\ntold_of = 1\nThis is no longer so; whole rooms."
    assert [entry.split(":")[1] for entry in sorted(phrases(text, "x.py"))] == ["1", "1", "1", "2", "2", "3", "4"]


MESSAGES = ROOT / "src" / "brewhouse" / "console" / "locale" / "pt-BR" / "messages"
LIBRARIES = "libraries.toml"
"""Messages of libraries, which are not in the source."""
NOT_SHOWN = {
    "events/messages.py": "the texts of e-mails",
    "lake/aws_errors.py": "parts of messages of AWS",
    "lake/error_translation.py": "messages of libraries",
    "models/header.py": "keywords of headers",
}
"""Files whose lookup tables the console does not show."""


@pytest.mark.parametrize("package", PACKAGES)
def test_every_message_has_a_portuguese_text(package: str) -> None:
    portuguese = Translator("pt-BR")
    missing = {
        f"{file}: {text}"
        for file, text in message_texts(package)
        for sentence in re.split(r"(?<=[.!?]) |; ", text)
        if re.search("[a-z]{3} [a-z]", sentence)
        and sentence in portuguese.message(text)
        and sentence in portuguese.message(f"{text}: ⟨9⟩")  # with its reason
    }
    assert not missing, f"add to {MESSAGES}:\n" + "\n".join(sorted(missing))


@pytest.mark.parametrize("package", PACKAGES)
def test_every_text_of_a_lookup_table_has_a_portuguese_text(package: str) -> None:
    portuguese = Translator("pt-BR")
    texts = {(file, text) for file, text in lookup_texts(package) if file not in NOT_SHOWN and not text.startswith("<")}
    assert not [(file, text) for file, text in texts if portuguese.message(text) == text], f"add to {MESSAGES}"


def test_every_word_that_is_looked_up_by_the_data_has_a_portuguese_text() -> None:
    portuguese, words = Translator("pt-BR"), words_of_data()
    assert {"Run State Change", "requested pages", "unknown field", "id is missing", "micro"} <= words
    same = {"micro", "nano", "regional", "brewpub", "bar", "taproom"}
    assert not {word for word in words - same - {"holes"} if portuguese.message(word) == word}, f"add to {MESSAGES}"


@pytest.mark.parametrize("model", models_of(*ZONES), ids=lambda model: model.name)
def test_every_table_and_check_has_a_portuguese_text(model: Model) -> None:
    portuguese = Translator("pt-BR")
    conditions = [rule.name for rule in model.rules if isinstance(rule, NoRow)]
    for text in [*re.split(r"(?<=[.]) ", model.description), *conditions]:
        assert portuguese.message(text) != text


def test_every_column_has_a_portuguese_description() -> None:
    portuguese = Translator("pt-BR")
    assert not [
        name
        for name, column in column_definitions().items()
        if portuguese.message(column.description) == column.description
    ]


def test_every_template_of_a_message_is_of_a_text_in_the_source() -> None:
    source = source_texts().replace("_", " ")
    for file in sorted(set(MESSAGES.glob("*.toml")) - {MESSAGES / LIBRARIES}):
        for english in tomllib.loads(file.read_text("utf-8")):
            words = re.sub(r"{\w+}", "…", english).replace("_", " ").split()
            pairs = [" ".join(words[first : first + 2]) for first in range(max(len(words) - 1, 1))]
            parts = [part.strip(' .:;,()"') for pair in pairs for part in pair.split("…")]
            assert any(part in source for part in parts if part), f"{file.name}: {english}"
