"""Events of the functions and of the jobs have one encoding."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brewhouse.events import envelope
from brewhouse.events.envelope import Event, decode_events
from brewhouse.events.event import parse_events

TIME = "2026-08-02T06:00:00+00:00"
VALID = Event(id="01X", detail_type="Test", time=TIME, detail={"message": "é", "runId": "R1"})


@given(
    st.dictionaries(
        st.text(), st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text() | st.lists(st.text())
    ),
    st.text(min_size=1),
    st.sampled_from(["brewhouse", "aws.glue"]),
)
def test_a_decoded_event_is_the_one_encoded(detail: dict[str, Any], kind: str, source: str) -> None:
    event = Event(id="01X", detail_type=kind, time=TIME, detail=detail, source=source)
    line = {"id": "01X", "detail-type": kind, "time": TIME, "detail": detail, "source": source, "version": "0"}
    assert event.encode() == msgspec.json.encode(line)
    assert decode_events(event.encode()) == parse_events(event.encode()) == [event]


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{not JSON",
        b"[1]",
        b"null",
        b"\xff",
        b'{"id": "x", "detail-type": "y", "time": "z"}',
        b'{"id": "x", "detail-type": "y", "time": "z", "detail": []}',
        b'{"id": 1, "detail-type": "y", "time": "z", "detail": {}}',
        b'{"id": "x", "detail-type": "y", "time": null, "detail": {}}',
    ],
)
def test_a_line_that_is_not_an_event_is_skipped(line: bytes) -> None:
    content = b"\n".join([VALID.encode(), line, VALID.encode()])
    assert decode_events(content) == parse_events(content) == [VALID, VALID]


def test_the_source_is_optional() -> None:
    line = b'{"id": "x", "detail-type": "y", "time": "z", "detail": {}}'
    assert decode_events(line)[0].source == ""


def test_an_event_is_stored_by_day_and_id_and_belongs_to_its_run() -> None:
    assert VALID.key == "events/date=2026-08-02/01X.json"
    assert VALID.run == "R1"


def test_the_module_imports_the_standard_library_alone() -> None:
    tree = ast.parse(Path(envelope.__file__).read_text("utf-8"))
    imported = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    others = {name for name in imported if name.split(".")[0] not in sys.stdlib_module_names}
    assert others == set()
