"""Results as files: what CSV, JSON and Parquet contain for each DuckDB type, on the command line and in the console.

Values are converted in two steps, both in SQL: first to types that Parquet has, without loss, as columns c1, c2, …
(`storable`), and from these to the format of a file. The console keeps the first as a file, the command line does both
at once, so both export the same. docs/explore.md shows the table below to users.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from brewhouse.lake.duckdb_access import file_pattern, literal

if TYPE_CHECKING:
    from duckdb import DuckDBPyRelation
    from duckdb.sqltypes import DuckDBPyType

FORMATS = ("csv", "json", "parquet")
_ROWS_AT_ONCE = 10_000


class _Conversion(NamedTuple):
    """SQL for a value `{}` of a type: as it is stored, and from what is stored to each format."""

    stored: str = "{}"
    csv: str = "{}"
    json: str = "{}"
    parquet: str = "{}"


_TEXT, _JSON = "CAST({} AS VARCHAR)", "CAST({} AS JSON)"
_FINITE = "CASE WHEN isfinite({0}) THEN {0} END"  # JSON has no NaN and no infinity, Parquet no infinite date
_ISO_8601 = r"regexp_replace(regexp_replace(CAST({} AS VARCHAR), ' (\d)', 'T\1'), '\+00$', 'Z')"
# JSON of DuckDB may contain NaN and infinity, outside of its strings; such a value is exported as a string.
_VALID_JSON = (
    r"""CASE WHEN regexp_matches(regexp_replace(CAST({0} AS VARCHAR), '"([^"\\]|\\.)*"', '', 'g'), '(?i)nan|inf') """
    "THEN CAST(to_json(CAST({0} AS VARCHAR)) AS VARCHAR) ELSE CAST({0} AS VARCHAR) END"
)
_PLAIN = _Conversion()
_AS_TEXT = _Conversion(stored=_TEXT)
_AS_JSON = _Conversion(stored="{}", json=_JSON)
_TIMESTAMP = _Conversion(stored=_FINITE, csv=_ISO_8601, json=_ISO_8601)
_CONVERSIONS: dict[str, _Conversion] = {
    **dict.fromkeys(("boolean", "varchar", "decimal", "tinyint", "smallint", "integer", "bigint"), _PLAIN),
    **dict.fromkeys(("utinyint", "usmallint", "uinteger", "ubigint"), _PLAIN),
    "hugeint": _Conversion(_TEXT, "CAST({} AS HUGEINT)", _JSON, "CAST({} AS DECIMAL(38, 0))"),
    "uhugeint": _Conversion(_TEXT, "CAST({} AS UHUGEINT)", _JSON),
    "bignum": _Conversion(_TEXT, "CAST({} AS BIGNUM)", _JSON),
    "float": _Conversion(csv=_FINITE, json=_JSON.format(_TEXT.format(_FINITE))),
    "double": _Conversion(csv=_FINITE, json=_FINITE),
    "blob": _Conversion(csv="lower(hex({}))", json="lower(hex({}))"),
    "date": _Conversion(stored=_FINITE, csv=_TEXT, json=_TEXT),
    "time": _Conversion(csv=_TEXT, json=_TEXT),
    **dict.fromkeys(("timestamp", "timestamp_s", "timestamp_ms", "timestamp_ns"), _TIMESTAMP),
    "timestamp with time zone": _TIMESTAMP,
    "json": _Conversion(stored=_VALID_JSON, json=_JSON),
    "variant": _Conversion(stored=_VALID_JSON.replace("{0}", "to_json({0})"), json=_JSON),
}  # all others, such as intervals, bits, UUIDs and enums, are text


def storable(relation: DuckDBPyRelation) -> DuckDBPyRelation:
    """Convert a result to columns c1, c2, … of types that Parquet has."""
    columns = (f"{_convert(f'#{n}', kind, 'stored')} AS c{n}" for n, kind in enumerate(relation.types, start=1))
    return relation.project(", ".join(columns))


def converted(kinds: Sequence[DuckDBPyType], step: str) -> list[str]:
    """Return the SQL of each column of a `storable` relation in a format; `kinds` are the types of the result."""
    return [_convert(f"c{n}", kind, step) for n, kind in enumerate(kinds, start=1)]


def sort_key(number: int, kind: DuckDBPyType) -> str:
    """Return the SQL by which a column of a `storable` relation is sorted; numbers of 128 bits are stored as text."""
    return _convert(f"c{number}", kind, "csv") if kind.id in {"hugeint", "uhugeint", "bignum"} else f"c{number}"


def export(
    stored: DuckDBPyRelation,
    names: Sequence[str],
    kinds: Sequence[DuckDBPyType],
    step: str,
    file: Path,
    *,
    header: bool = True,
) -> None:
    """Write a `storable` relation to a CSV, JSON or Parquet file; repeated column names are numbered."""
    if step == "json":
        with file.open("w", encoding="utf-8", newline="\n") as array:
            array.writelines(array_parts(stored, names, kinds, file.with_suffix(".rows")))
        return
    values = converted(kinds, step)
    if step == "csv" and len(values) == 1:
        values = [f"coalesce(CAST({values[0]} AS VARCHAR), '')"]  # readers skip a line that is empty
    columns = [quoted(name) for name in unique_names(names)]
    rows = stored.project(", ".join(f"{value} AS {name}" for value, name in zip(values, columns, strict=True)))
    if step == "csv":
        rows.to_csv(str(file), header=header)
    else:
        rows.to_parquet(str(file), compression="zstd", row_group_size=_ROWS_AT_ONCE)


def quoted(name: str) -> str:
    """Quote a name that may contain dots."""
    return '"' + name.replace('"', '""') + '"'


def array_parts(
    stored: DuckDBPyRelation, names: Sequence[str], kinds: Sequence[DuckDBPyType], scratch: Path
) -> Iterator[str]:
    """Yield the parts of a JSON file: an array of objects, a line each.

    Not with DuckDB's CSV writer, which waits for ever in some of the exports in which a conversion fails.

    Raises:
        duckdb.Error: A value cannot be computed.
    """
    columns = zip(unique_names(names), converted(kinds, "json"), strict=True)
    fields = ", ".join(f"{quoted(name)} := {value}" for name, value in columns)
    begin = "[\n  "
    for texts in _texts(stored.project(f"CAST(to_json(struct_pack({fields})) AS VARCHAR)"), scratch):
        yield begin + ",\n  ".join(texts)
        begin = ",\n  "
    yield "[]\n" if begin.startswith("[") else "\n]\n"


def _texts(relation: DuckDBPyRelation, scratch: Path) -> Iterator[list[str]]:
    """Yield the values of a column of text, some at a time; a relation alone would be read into memory as a whole."""
    import duckdb

    try:
        relation.to_parquet(str(scratch), compression="zstd", row_group_size=_ROWS_AT_ONCE)
        with closing(duckdb.connect()) as reader:
            rows = reader.execute("FROM read_parquet(?)", [file_pattern(str(scratch))])
            while batch := rows.fetchmany(_ROWS_AT_ONCE):
                yield [text for (text,) in batch]
    finally:
        scratch.unlink(missing_ok=True)


def unique_names(names: Sequence[str]) -> list[str]:
    """Make column names unique, ignoring case.

    Example:
        >>> unique_names(["n", "N", "m", "n_2"])
        ['n', 'N_2', 'm', 'n_2_2']
    """
    unique: dict[str, str] = {}
    for name in names:
        number, candidate = 1, name or "column"
        while candidate.lower() in unique:
            number += 1
            candidate = f"{name or 'column'}_{number}"
        unique[candidate.lower()] = candidate
    return list(unique.values())


def _convert(value: str, kind: DuckDBPyType, step: str, depth: int = 0) -> str:
    """Return the SQL that converts a value; nested values are JSON in CSV, unions and tuples JSON from the start."""
    name = "json" if str(kind) == "JSON" else kind.id
    if name in {"union", "tuple"}:
        return _members(value, kind, depth) if step == "stored" else getattr(_AS_JSON, step).format(value)
    if name not in {"list", "array", "struct", "map"}:
        return str(getattr(_CONVERSIONS.get(name, _AS_TEXT), step).format(value))
    if step == "csv":
        return f"CAST(to_json({_convert(value, kind, 'json', depth)}) AS VARCHAR)"
    if name == "struct":
        return _struct(value, kind, step, depth)
    item, children = f"e{depth}", _children(kind)  # a lambda has a parameter of its own name
    if name == "map":
        plain = f"struct_pack(key := {item}.key, value := {item}.value)"
        key = _key(f"{item}.key", children["key"], step, depth + 1)
        entry = f"struct_pack(key := {key}, value := {_convert(f'{item}.value', children['value'], step, depth + 1)})"
        entries = f"list_transform(map_entries({value}), lambda {item}: {entry})"
        return value if entry == plain else f"map_from_entries({entries})"
    inner = _convert(item, children["child"], step, depth + 1)
    return value if inner == item else f"list_transform({value}, lambda {item}: {inner})"


def _children(kind: DuckDBPyType) -> dict[str, DuckDBPyType]:
    """Return the types in a nested type by name; the size of an array is not one."""
    return {name: child for name, child in kind.children if not isinstance(child, int | list)}


def _struct(value: str, kind: DuckDBPyType, step: str, depth: int) -> str:
    parts = {name: f"struct_extract({value}, {literal(name)})" for name in _children(kind)}
    fields = {name: _convert(parts[name], child, step, depth) for name, child in _children(kind).items()}
    packed = ", ".join(f"{quoted(name)} := {field}" for name, field in fields.items())
    return value if fields == parts else f"CASE WHEN {value} IS NOT NULL THEN struct_pack({packed}) END"


def _key(value: str, kind: DuckDBPyType, step: str, depth: int) -> str:
    """Convert the key of a map, which is never null; the names of a JSON object are texts."""
    if step == "json":
        return f"coalesce(CAST({_convert(value, kind, 'csv', depth)} AS VARCHAR), CAST({value} AS VARCHAR))"
    key = _convert(value, kind, step, depth)
    return value if key == _FINITE.format(value) else key


def _members(value: str, kind: DuckDBPyType, depth: int) -> str:
    """Return the JSON of a union's value, or of a tuple as an array."""

    def member(part: str, child: DuckDBPyType) -> str:
        return _convert(_convert(part, child, "stored", depth), child, "json", depth)

    kinds = [(name, child) for name, child in kind.children if not isinstance(child, int | list)]
    if kind.id == "tuple":
        array = (member(f"struct_extract({value}, {n})", child) for n, (_, child) in enumerate(kinds, start=1))
        return f"CASE WHEN {value} IS NOT NULL THEN CAST(json_array({', '.join(array)}) AS VARCHAR) END"
    cases = (
        f"WHEN {literal(tag)} THEN CAST(to_json({member(f'union_extract({value}, {literal(tag)})', child)}) AS VARCHAR)"
        for tag, child in kinds[1:]  # the first is the tag itself
    )
    return f"CASE CAST(union_tag({value}) AS VARCHAR) {' '.join(cases)} END"
