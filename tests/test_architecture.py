"""The architecture: packages and imports as docs/architecture.md draws them, the path of one run, unique names."""

from __future__ import annotations

import ast
import re
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import grimp
import pytest
from docs import trace as docs_trace

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "brewhouse"
PAGE = (ROOT / "docs" / "architecture.md").read_text("utf-8")

MAX_MODULES = 50
"""Modules that one `brewhouse run` may enter."""
MAX_SWITCHES = 7
"""Switches between modules in one call stack of a run."""

TAGS = {
    "Detail": "an event type is a tag: listeners and readers tell types with equal fields apart by their class",
}
"""Base classes of which two subclasses may have identical fields, and why."""


# The packages


def drawing(page: str) -> list[set[str]]:
    """Read the layers of the drawing, from the top."""
    rows = re.findall(r"^│ (.+?) │ .+ │$", page, re.MULTILINE)
    return [set(row.split()) for row in rows]


def violations(layers: list[set[str]], imports: Iterable[tuple[str, str]]) -> list[str]:
    """List what differs between a drawing and imports between packages."""
    level = {package: number for number, layer in enumerate(layers) for package in layer}
    return [
        f"{importer} imports {imported}, which is not below it"
        for importer, imported in sorted(set(imports))
        if level[importer] >= level[imported]
    ]


def package_of(module: str) -> str:
    return module.split(".")[1]


@pytest.fixture(scope="module")
def imports() -> dict[tuple[str, str], tuple[str, str]]:
    """Imports between packages, type-checking ones included, each with an example of importer and imported module."""
    graph = grimp.build_graph("brewhouse", cache_dir=None)
    return {
        (package_of(importer), package_of(imported)): (importer, imported)
        for importer in graph.modules - {"brewhouse", "brewhouse.__main__"}
        for imported in graph.find_modules_directly_imported_by(importer) - {"brewhouse"}
        if package_of(importer) != package_of(imported)
    }


def test_the_drawing_shows_every_package_once() -> None:
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    modules = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "__main__"}
    layers = drawing(PAGE)
    assert set().union(*layers) == folders | modules
    assert sum(map(len, layers)) == len(folders | modules)


def test_imports_only_point_down_the_drawing(imports: Mapping[tuple[str, str], tuple[str, str]]) -> None:
    assert not violations(drawing(PAGE), imports), imports


def test_the_drawing_has_the_layers_that_the_linter_enforces() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    (layers,) = (contract["layers"] for contract in contracts if contract["type"] == "layers")
    assert drawing(PAGE) == [{name.strip().removeprefix("brewhouse.") for name in row.split("|")} for row in layers]


def test_an_import_upwards_or_within_a_layer_is_a_violation() -> None:
    layers = drawing("│ top │ first │\n│ left  right │ second │\n│ bottom │ third │\n")
    assert layers == [{"top"}, {"left", "right"}, {"bottom"}]
    assert violations(layers, [("top", "bottom"), ("left", "bottom"), ("top", "right")]) == []
    assert len(violations(layers, [("bottom", "top"), ("left", "right")])) == 2


# The path of a run


def listed_modules() -> list[str]:
    return re.findall(r"^\d+\. `([a-z0-9_.]+)`", docs_trace.section_of_page(), re.MULTILINE)


@pytest.fixture(scope="module")
def trace() -> docs_trace.Trace:
    """Trace one `brewhouse run` over the mock API into a new local lake, with DuckDB."""
    return docs_trace.trace_run()


@pytest.mark.xdist_group("trace")
class TestPathOfARun:
    def test_the_page_lists_the_modules_that_a_run_enters(self, trace: docs_trace.Trace) -> None:
        assert sorted(listed_modules()) == sorted(trace.modules), "run `make docs`"

    def test_the_page_lists_them_in_order_of_entry(self, trace: docs_trace.Trace) -> None:
        """Except that a thread, which may be faster or slower, prepares later jobs and parses their models."""

        def in_main_thread(modules: list[str]) -> list[str]:
            return [name for name in modules if name not in trace.concurrent and not name.startswith("models.")]

        assert in_main_thread(listed_modules()) == in_main_thread(trace.modules), "run `make docs`"

    def test_a_run_enters_few_modules(self, trace: docs_trace.Trace) -> None:
        entered = len(trace.modules)
        assert entered <= MAX_MODULES

    def test_a_call_stack_switches_modules_a_few_times(self, trace: docs_trace.Trace) -> None:
        switches = len(trace.deepest) - 1
        assert switches <= MAX_SWITCHES, " > ".join(trace.deepest)

    def test_a_run_with_built_in_models_imports_no_sql_parser_and_no_arrays(self, trace: docs_trace.Trace) -> None:
        assert "duckdb" in trace.libraries
        assert not {"sqlglot", "numpy", "pyarrow"} & set(trace.libraries), "run `make docs`"

    def test_a_run_starts_at_the_command_and_goes_through_the_three_jobs(self, trace: docs_trace.Trace) -> None:
        jobs = ["pipeline.workflow", "pipeline.runner", "pipeline.extract", "pipeline.transform", "pipeline.aggregate"]
        assert trace.modules[0] == trace.deepest[0] == "cli.jobs"
        assert [module for module in trace.modules if module in jobs] == jobs


def test_the_page_describes_modules_by_their_docstrings() -> None:
    assert docs_trace.section_of_page() == docs_trace.section(listed_modules()), "run `make docs`"


# Unique names


def sources() -> Iterator[tuple[str, ast.Module]]:
    """Parse the modules of the package; names are relative to the package, such as `cli/jobs.py`."""
    for file in sorted(PACKAGE.rglob("*.py")):
        yield str(file.relative_to(PACKAGE)), ast.parse(file.read_text("utf-8"))


def repeated(names: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Group places by name, and keep the names with several places."""
    places = defaultdict(list)
    for name, place in names:
        places[name].append(place)
    return {name: found for name, found in places.items() if len(found) > 1}


def test_no_two_modules_have_the_same_name() -> None:
    """Except that a page of the console may have the name of what it shows."""
    files = [file for file in PACKAGE.rglob("*.py") if file.stem not in {"__init__", "__main__"}]
    pages = [file for file in files if file.parent == PACKAGE / "console" / "pages"]
    others = set(files) - set(pages)
    assert not repeated((file.stem, str(file.relative_to(PACKAGE))) for file in others)


def test_no_two_public_classes_have_the_same_name() -> None:
    classes = [
        (node.name, file)
        for file, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    ]
    assert not repeated(classes)


Fields = frozenset[tuple[str, str]]


def records(trees: Iterable[tuple[str, ast.Module]]) -> Iterator[tuple[str, str, Fields, set[str]]]:
    """Find dataclasses and msgspec structs: name, file, fields with the inherited ones, names of all base classes.

    A subclass without fields of its own is left out: it repeats nothing.
    """
    nodes = [(file, node) for file, tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    by_name = {node.name: node for _, node in nodes}

    def lineage(node: ast.ClassDef) -> Iterator[ast.ClassDef]:
        yield node
        for base in bases(node):
            if base in by_name and base != node.name:
                yield from lineage(by_name[base])

    for file, node in nodes:
        if not list(fields(node)):
            continue
        family = list(lineage(node))
        names = {base for each in family for base in bases(each)}
        if "Struct" in names or any("dataclass" in ast.unparse(each) for one in family for each in one.decorator_list):
            yield node.name, file, frozenset(field for each in family for field in fields(each)), names


def bases(node: ast.ClassDef) -> list[str]:
    return [ast.unparse(base).rpartition(".")[2] for base in node.bases]


def fields(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for statement in node.body:
        if isinstance(statement, ast.AnnAssign) and not ast.unparse(statement.annotation).startswith("ClassVar"):
            yield ast.unparse(statement.target), ast.unparse(statement.annotation)


def identical(trees: Iterable[tuple[str, ast.Module]]) -> list[list[str]]:
    """List the groups of records with identical fields."""
    same = defaultdict(list)
    for name, file, its_fields, names in records(trees):
        if not names & TAGS.keys():
            same[its_fields].append(f"{file}: {name}")
    return [group for group in same.values() if len(group) > 1]


def test_no_two_records_have_identical_fields() -> None:
    assert not identical(sources())


def test_records_are_compared_with_their_inherited_fields() -> None:
    code = """
class Base(msgspec.Struct): a: int
class Left(Base, frozen=True): b: str
@dataclass(frozen=True)
class Right:
    tag: ClassVar[str] = ""
    b: str = ""
    a: int = 0
class Plain: a: int
class Tag(Left): pass
class Detail(Struct): x: int
class Started(Detail): y: int
class Ended(Detail): y: int
"""
    assert identical([("m.py", ast.parse(code))]) == [["m.py: Left", "m.py: Right"]]
