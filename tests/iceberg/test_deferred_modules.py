"""Modules that PyIceberg imports and a run does not use are imported when something of them is used."""

from __future__ import annotations

import subprocess
import sys

import pytest


def output_of(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def test_tables_load_without_the_parser_of_filters_and_without_strictyaml() -> None:
    code = "import sys, brewhouse.iceberg.tables; print({'pyparsing', 'ruamel', 'dateutil'} & set(sys.modules))"
    assert output_of(code) == "set()"


@pytest.mark.parametrize(
    "imports",
    [
        "from pyiceberg.table import parser",
        "from pyiceberg.expressions import parser",
        "import pyiceberg.expressions.parser as parser",
        "import pyiceberg.expressions.parser; parser = pyiceberg.expressions.parser",
    ],
)
def test_a_filter_given_as_text_is_understood_however_its_parser_is_imported(imports: str) -> None:
    code = f"import brewhouse.iceberg; {imports}; print(parser.parse('a = 1'))"
    assert output_of(code) == "EqualTo(term=Reference(name='a'), literal=LongLiteral(1))"
