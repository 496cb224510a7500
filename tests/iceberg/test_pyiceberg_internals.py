"""The private parts of PyIceberg that we call still exist with the parameters we pass.

When an update of PyIceberg breaks one of these tests, nothing is wrong with the lake: find how PyIceberg's own catalogs
now do the same (its module is in the message), and change the place that is named.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "brewhouse"


@dataclass(frozen=True)
class Internal:
    """A private function or class of PyIceberg that we use.

    Attributes:
        place: Module and qualified name in PyIceberg.
        used_in: Our module, below src/brewhouse.
        purpose: What we use it for.
        parameters: The parameters we pass, in order.
    """

    place: str
    used_in: str
    purpose: str
    parameters: tuple[str, ...]


INTERNALS = (
    Internal(
        "pyiceberg.catalog.MetastoreCatalog._create_staged_table",
        "iceberg/sqlite_catalog.py",
        "to build the first metadata of a table, as `SqlCatalog.create_table` does",
        ("self", "identifier", "schema", "location", "partition_spec", "sort_order", "properties"),
    ),
    Internal(
        "pyiceberg.catalog.MetastoreCatalog._update_and_stage_table",
        "iceberg/lake_catalog.py",
        "to apply updates without committing them, as `SqlCatalog.commit_table` does",
        ("self", "current_table", "table_identifier", "requirements", "updates"),
    ),
    Internal(
        "pyiceberg.catalog.MetastoreCatalog._parse_metadata_version",
        "iceberg/sqlite_catalog.py",
        "to number the metadata files of a table, as `MetastoreCatalog._update_and_stage_table` does",
        ("metadata_location",),
    ),
    Internal(
        "pyiceberg.catalog.glue._construct_table_input",
        "iceberg/cloud_catalog.py",
        "to build the Glue entry of a table, as `GlueCatalog.commit_table` does",
        ("table_name", "metadata_location", "properties", "metadata", "glue_table", "prev_metadata_location"),
    ),
    Internal(
        "pyiceberg.catalog.glue.GlueCatalog._get_glue_table",
        "iceberg/cloud_catalog.py",
        "to read the version of a table's Glue entry, as `GlueCatalog.commit_table` does",
        ("self", "database_name", "table_name"),
    ),
    Internal(
        "pyiceberg.catalog.glue.GlueCatalog._update_glue_table",
        "iceberg/cloud_catalog.py",
        "to swap the metadata pointer if the version is unchanged, as `GlueCatalog.commit_table` does",
        ("self", "database_name", "table_name", "table_input", "version_id"),
    ),
    Internal(
        "pyiceberg.expressions.visitors._InclusiveMetricsEvaluator",
        "iceberg/data_files.py",
        "to decide by column bounds whether a file may contain a value, as `DataScan.plan_files` does",
        ("schema", "expr"),
    ),
    Internal(
        "pyiceberg.expressions.visitors._InclusiveMetricsEvaluator.eval",
        "iceberg/data_files.py",
        "to decide by column bounds whether a file may contain a value, as `DataScan.plan_files` does",
        ("self", "file"),
    ),
)


def resolve(place: str) -> object:
    """Import what a dotted name stands for."""
    parts = place.split(".")
    for number in range(len(parts) - 1, 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:number]))
        except ModuleNotFoundError:
            continue
        for part in parts[number:]:
            found = getattr(found, part)
        return found
    raise AttributeError(place)


def problem(internal: Internal) -> str | None:
    """Describe what an update changed, None if nothing that concerns us."""
    advice = f"It is used in src/brewhouse/{internal.used_in} {internal.purpose}: see how PyIceberg does it now."
    try:
        found = resolve(internal.place)
    except AttributeError:
        return f"PyIceberg has no {internal.place} any more. {advice}"
    assert callable(found)
    parameters: Mapping[str, inspect.Parameter] = inspect.signature(found).parameters
    ours, required = internal.parameters, {n for n, p in parameters.items() if p.default is inspect.Parameter.empty}
    if tuple(parameters)[: len(ours)] != ours or not required <= set(ours):
        return f"{internal.place} now has the parameters {', '.join(parameters)}, we pass {', '.join(ours)}. {advice}"
    return None


@pytest.mark.parametrize("internal", INTERNALS, ids=lambda internal: internal.place)
def test_pyiceberg_still_has_what_we_use_of_its_internals(internal: Internal) -> None:
    message = problem(internal)
    assert message is None, message


@pytest.mark.parametrize("internal", INTERNALS, ids=lambda internal: internal.place)
def test_each_use_of_an_internal_is_explained_where_it_is(internal: Internal) -> None:
    name = internal.place.rpartition(".")[2]
    text = (SOURCE / internal.used_in).read_text("utf-8")
    if name != "eval":
        before, after = [*re.split(rf"\b{name}[(,]", text, maxsplit=1), ""][:2]
        assert after, f"{internal.used_in} does not call {name}: remove it from this list."
        nearby = "\n".join(before.splitlines()[-9:]) + after.partition("\n")[0]
        assert re.search(r"# .*private|# Private", nearby), f"Explain the use of {name} in {internal.used_in}."


def test_no_other_internal_of_pyiceberg_is_used() -> None:
    known = {internal.place.rpartition(".")[2] for internal in INTERNALS}
    for file in (SOURCE / "iceberg").glob("*.py"):
        text = file.read_text("utf-8")
        imported = {name for line in re.findall(r"from pyiceberg.* import (.*)", text) for name in line.split(", ")}
        assert {name for name in imported if name.startswith("_")} <= known, file.name
        own = set(
            re.findall(r"(?:def|class) (_\w+)|self\.(_\w+)(?:: .*)? = |^    (_\w+)(?:: | = )", text, re.MULTILINE)
        )
        defined = {name for names in own for name in names if name}
        called = set(re.findall(r"(?:self|_glue|_cloud|table|catalog)\.(_[a-z]\w+)", text))
        inherited = {"_stage", "_unsupported", "_load", "_lake", "_catalog", "_files"}  # from our own base classes
        assert called - defined - inherited <= known, file.name


@pytest.mark.parametrize(
    ("place", "parameters", "expected"),
    [
        (
            "pyiceberg.catalog.glue._removed",
            ("x",),
            "has no pyiceberg.catalog.glue._removed any more. It is used in src/",
        ),
        ("pyiceberg.gone.Thing", ("x",), "has no pyiceberg.gone.Thing any more"),
        (
            "pyiceberg.catalog.MetastoreCatalog._write_metadata",
            ("metadata", "path"),
            "parameters metadata, io, metadata",
        ),
        ("pyiceberg.catalog.MetastoreCatalog._write_metadata", ("metadata",), "we pass metadata. It is used in"),
    ],
)
def test_a_change_is_reported_with_what_is_missing_where_it_is_used_and_what_to_read(
    place: str, parameters: tuple[str, ...], expected: str
) -> None:
    message = problem(Internal(place, "iceberg/x.py", "to do something", parameters))
    assert message is not None
    assert expected in message
    assert "iceberg/x.py to do something: see how PyIceberg does it now." in message
