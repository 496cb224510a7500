"""Texts of errors, events, checks and log lines in the source, with `⟨1⟩`, `⟨2⟩`, … for values of the run time."""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

from brewhouse.api.contract import BREWERY_TYPES
from brewhouse.events import envelope

SOURCE = Path(__file__).parents[1] / "src" / "brewhouse"
PACKAGES = (
    "api",
    "backfill",
    "checks",
    "console",
    "engines",
    "events",
    "iceberg",
    "lake",
    "models",
    "pipeline",
    "query",
)
"""What the console shows; other packages only print theirs."""
_REASONS = ("staging/received_records.sql", "staging/records.sql", "silver/suspect_breweries.sql")
_REASON = r"(?:THEN '(?=\w+ is )|doubt = ')([^']+)"
_VALUE = "⟨⟩"
_ERROR = re.compile(r"\w*(Error|Failed|Incomplete|Unavailable)")
_PROGRAMMING_ERRORS = {*vars(builtins), "NoSuchTableError"}
_POSITIONS = {
    **dict.fromkeys(("warn", "JobResult", "_guarded", "info", "warning", "error"), (0,)),
    **dict.fromkeys(("problem", "_problem", "_FieldError", "query_check", "_query_measure", "rows_where"), (0, 1)),
    "check_result": (0, 3),
}
"""Functions, and which of their arguments are messages or tables, which have no spaces."""
_KEYWORDS = {"message", "hint", "what"}


def message_texts(package: str) -> Iterator[tuple[str, str]]:
    """Yield each text of a package with its file."""
    for file in sorted((SOURCE / package).rglob("*.py")):
        module = ast.parse(file.read_text("utf-8"))
        for node, scopes in _nodes(module, [module]):
            arguments = _messages(node) if isinstance(node, ast.Call) else []
            for text in (text for argument in arguments for text in _texts(argument, scopes)):
                if re.search("[a-z]{3} [a-z]", text):
                    yield f"{package}/{file.name}", _numbered(text)


def lookup_texts(package: str) -> Iterator[tuple[str, str]]:
    """Yield each text in a dictionary, tuple or list of a package with its file."""
    for file in sorted((SOURCE / package).rglob("*.py")):
        module = ast.parse(file.read_text("utf-8"))
        for node, scopes in _nodes(module, [module]):
            values = node.values if isinstance(node, ast.Dict) else getattr(node, "elts", [])
            written = [value for value in values if isinstance(value, ast.Constant | ast.JoinedStr)]
            for text in (text for value in written for text in _texts(value, scopes)):
                if re.search("[a-z]{3} [a-z]", text):
                    yield f"{package}/{file.name}", _numbered(text)


def words_of_data() -> set[str]:
    """Return what pages look up by a value in the data: event types, counts of jobs, schema drift, reasons, types."""
    types = {value for name, value in vars(envelope).items() if name.isupper() and isinstance(value, str)}
    words = {re.sub("^(Brewhouse|Glue) ", "", name) for name in types} | BREWERY_TYPES
    for file in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            found: list[ast.expr | None] = []
            if isinstance(node, ast.Call):
                keywords = {keyword.arg: keyword.value for keyword in node.keywords}
                if isinstance(counts := keywords.get("counts"), ast.Dict):
                    found = counts.keys
                elif ast.unparse(node.func) == "SchemaDrift":
                    found = [keywords.get("name") or node.args[0]]
            elif isinstance(node, ast.Tuple) and file.name == "schema_drift.py":
                found = [each for each in node.elts[:1] if "_" in ast.unparse(each)]
            words |= {str(each.value) for each in found if isinstance(each, ast.Constant)}
    sql = [(SOURCE / "models" / file).read_text("utf-8") for file in _REASONS]
    return {word.replace("_", " ") for word in words} | {text for each in sql for text in re.findall(_REASON, each)}


def source_texts() -> str:
    """Return all strings of the source, the files of the models, and what errors of AWS mean."""
    nodes = [node for file in SOURCE.rglob("*.py") for node in ast.walk(ast.parse(file.read_text("utf-8")))]
    strings = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    models = [file.read_text("utf-8") for file in (SOURCE / "models").rglob("*") if file.suffix in {".sql", ".toml"}]
    models.append((SOURCE / "lake" / "aws_errors.toml").read_text("utf-8"))
    return "\n".join([*strings, *(text.replace("\n--", "") for text in models)])


def _numbered(text: str) -> str:
    first, *others = re.split(rf"{_VALUE}|%(?:\.\d)?[sdgf]", text)
    return first + "".join(f"⟨{number}⟩{other}" for number, other in enumerate(others, start=1))


def _nodes(node: ast.AST, scopes: list[ast.AST]) -> Iterator[tuple[ast.AST, list[ast.AST]]]:
    """Yield the nodes in a node, each with its scopes, the innermost first."""
    for child in ast.iter_child_nodes(node):
        inner = [child, *scopes] if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) else scopes
        yield child, inner
        yield from _nodes(child, inner)


def _messages(call: ast.Call) -> list[ast.expr]:
    function = call.func
    name = function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")
    is_error = _ERROR.fullmatch(name) and name not in _PROGRAMMING_ERRORS
    positions = _POSITIONS.get(name, (0, 1) if is_error else ())
    keywords = _KEYWORDS | ({"name", "example"} if name == "Check" else set())
    named = [keyword.value for keyword in call.keywords if keyword.arg in keywords]
    return [argument for position, argument in enumerate(call.args) if position in positions] + named


def _texts(node: ast.expr, scopes: Sequence[ast.AST], depth: int = 0) -> list[str]:  # noqa: C901, PLR0911 - kinds of nodes
    """List the texts that an expression may have, as far as its module shows."""
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.JoinedStr(values=parts):
            return list(map("".join, product(*(_texts(part, scopes, depth + 1) for part in parts))))
        case ast.FormattedValue(value=value):
            return _texts(value, scopes, depth)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return list(map("".join, product(_texts(left, scopes, depth), _texts(right, scopes, depth))))
        case ast.IfExp(body=one, orelse=other):
            return _texts(one, scopes, depth) + _texts(other, scopes, depth)
        case ast.BoolOp(values=values):
            return [text for value in values for text in _texts(value, scopes, depth)]
        case ast.Call(func=ast.Name(id="suggestion")):
            return [f"Did you mean {_VALUE}?"]
        case ast.Name(id=name) if depth < 4:
            for scope in scopes:
                texts = [text for value in _assigned(name, scope) for text in _texts(value, scopes, depth + 1)]
                if set(texts) - {_VALUE}:
                    return texts
    return [_VALUE]


def _assigned(name: str, scope: ast.AST) -> list[ast.expr]:
    nodes = scope.body if isinstance(scope, ast.Module) else ast.walk(scope)
    assignments = [node for node in nodes if isinstance(node, ast.Assign)]
    values = [each.value for each in assignments if [name] == [ast.unparse(target) for target in each.targets]]
    return [value for value in values if name not in {ast.unparse(node) for node in ast.walk(value)}]
