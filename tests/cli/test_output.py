"""Tables for people and JSON for programs; the report of a run."""

from __future__ import annotations

import io
import json
import logging
import os
import pty
import subprocess
import sys
import unicodedata
import uuid
from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.cli.conftest import Call, read_terminal

from brewhouse.cli.output import (
    PIPED_WIDTH,
    SafeStream,
    os_reason,
    print_json,
    print_report,
    print_result,
    print_rows,
    progress_listeners,
    shorten,
    table_text,
    visible,
)
from brewhouse.events.run_reports import RunReport

Capture = pytest.CaptureFixture[str]


def lines_of(capsys: Capture) -> list[str]:
    return [line.rstrip() for line in capsys.readouterr().out.splitlines() if line.strip()]


def test_rows_are_a_table_with_the_columns_of_the_first_row(capsys: Capture) -> None:
    print_rows([{"name": "Ales", "rows": 7}, {"name": "Brew", "rows": 12345}])
    header, rule, *rows = lines_of(capsys)
    assert header.split() == ["name", "rows"]
    assert set(rule.strip()) == {"─"}
    assert [row.split() for row in rows] == [["Ales", "7"], ["Brew", "12345"]]


def test_numbers_are_aligned_to_the_right_and_texts_to_the_left() -> None:
    _, _, first, second, third = table_text(["text", "number"], [["a", 1], ["bcd", 1000], ["ef", None]]).splitlines()
    assert first.index("a") == second.index("b") == third.index("e")
    assert len(first) == len(second)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, ""),
        (0, "0"),
        (0.1 + 0.2, "0.3"),
        (1234567.891, "1.23457e+06"),
        (True, "true"),
        (date(2026, 8, 2), "2026-08-02"),
        ("[red]x[/red]", "[red]x[/red]"),
        ("Brøndvåk 李鸟酿 🍺", "Brøndvåk 李鸟酿 🍺"),
        ("\\[bold]", "\\[bold]"),
        (["a", 1], "['a', 1]"),
    ],
)
def test_a_value_is_shown_without_markup_and_null_as_blank(value: object, shown: str) -> None:
    assert table_text(["key", "value"], [["id", value]]).splitlines()[2].split(maxsplit=1)[1:] == (
        [shown] if shown else []
    )


def test_no_rows_are_reported(capsys: Capture) -> None:
    print_rows([])
    assert capsys.readouterr().out == "(no rows)\n"


@pytest.fixture(params=[80, 160])
def columns(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Width of the terminal."""
    monkeypatch.setenv("COLUMNS", str(request.param))
    return int(request.param)


SCREENS = {
    "help": ("--help",),
    "tables": ("tables",),
    "runs": ("runs",),
    "query": ("query", "SELECT * FROM silver.breweries ORDER BY id LIMIT 3"),
    "one-row": ("query", "SELECT * FROM silver.breweries ORDER BY id LIMIT 1"),
    "more-rows": ("query", "SELECT id, city, record FROM bronze.breweries ORDER BY id"),
}


@pytest.mark.parametrize("screen", SCREENS)
def test_a_screen_is_as_recorded(call: Call, old_lake: Path, columns: int, screen: str) -> None:
    place = () if screen == "help" else ("--lake", old_lake)
    shown = call(*SCREENS[screen], *place).out
    recorded = Path(__file__).parent / "screens" / f"{screen}-{columns}.txt"
    assert shown == recorded.read_text("utf-8")
    assert max(map(len, shown.splitlines())) <= columns


UUID = "0a6e8a2f-92b5-4a43-8f0e-19d9b7a1f5d3"


def test_ids_and_names_stay_whole_and_columns_that_do_not_fit_are_counted(columns: int) -> None:
    names = [f"c{number}" for number in range(20)]
    lines = table_text(names, [[UUID, "Ferrowberg Craft Beer Company", *range(100_000, 100_018)]]).splitlines()
    assert max(map(len, lines)) <= columns
    assert lines[2].split()[:5] == [UUID, "Ferrowberg", "Craft", "Beer", "Company"]
    hidden = 20 - len(lines[0].split())
    assert lines[3].startswith(f"… {hidden} more columns (--format lines): c{20 - hidden}, ")


def test_a_long_text_is_cut_before_columns_are_dropped(columns: int) -> None:
    header, _, row = table_text(["id", "text"], [[UUID, "word " * 100]]).splitlines()
    assert header.split() == ["id", "text"]
    assert row.startswith(f"{UUID}  word word")
    assert row.endswith("…")
    assert len(row) == columns


def test_a_cell_is_one_line_and_as_wide_as_it_is_shown() -> None:
    text = table_text(["a", "b"], [["x\ny\tz", 1], ["日本", 2], ["e", 3]])
    assert [line.rstrip() for line in text.splitlines()[2:]] == ["x\\ny\\tz  1", "日本     2", "e        3"]


def test_the_last_column_of_a_list_wraps_between_words(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    print_rows([{"id": UUID, "description": "one row per brewery and issue " * 3}])
    _, _, *rows = capsys.readouterr().out.splitlines()
    assert rows[0] == f"{UUID}  one row per brewery and issue one row per"
    assert [row[:38].strip() for row in rows[1:]] == [""] * 2
    assert " ".join(row[38:] for row in rows) == ("one row per brewery and issue " * 3).strip()


def test_a_list_without_room_for_its_last_column_counts_it(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    print_rows([{"id": UUID, "description": "one row per brewery and issue"}])
    assert capsys.readouterr().out.splitlines()[2:] == [UUID, "… 1 more column (--json): description"]


def test_a_piped_table_is_200_characters_wide() -> None:
    environ = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    code = "from brewhouse.cli.output import table_text; print(table_text(['text'], [['word ' * 60]]), end='')"
    out = subprocess.run([sys.executable, "-c", code], env=environ, stdout=subprocess.PIPE, check=True).stdout.decode()
    assert len(out.splitlines()[2]) == PIPED_WIDTH


def test_a_list_is_limited_as_a_table_and_as_json(capsys: Capture) -> None:
    rows = [{"n": number} for number in range(1200)]
    print_result(rows, as_json=False, limit=2)
    assert [line.strip() for line in lines_of(capsys)[2:]] == ["0", "1", "… 1,198 more (--all)"]
    print_result(rows, as_json=True, limit=2)
    assert json.loads(capsys.readouterr().out) == rows[:2]


@pytest.mark.parametrize(("lines", "shown"), [(9, 9), (60, 3)])
def test_what_is_longer_than_the_terminal_goes_to_the_pager(lines: int, shown: int) -> None:
    code = f"from brewhouse.cli.output import print_rows; print_rows([{{'n': n}} for n in range({lines - 2})])"
    ours, theirs = pty.openpty()
    environ = {**os.environ, "COLUMNS": "40", "LINES": "20", "TERM": "xterm", "PAGER": "head -n 3"}
    subprocess.run([sys.executable, "-c", code], stdin=theirs, stdout=theirs, env=environ, check=True)
    os.close(theirs)
    assert len(read_terminal(ours).splitlines()) == shown


def test_json_has_times_decimals_and_ids_as_text(capsys: Capture) -> None:
    key = uuid.UUID("cd613e30-d8f1-4adf-81b7-584a2265b1f5")
    print_json({"at": datetime(2026, 8, 2, tzinfo=UTC), "n": Decimal("1.50"), "id": key, "name": "Bräu 🍺", "no": None})
    output = capsys.readouterr().out
    assert json.loads(output) == {
        "at": "2026-08-02T00:00:00Z",
        "n": "1.50",
        "id": str(key),
        "name": "Bräu 🍺",
        "no": None,
    }
    assert output.startswith('{\n  "at"')
    assert "Bräu 🍺" in output


@pytest.mark.parametrize("rows", [[], [{"a": 1, "b": None}], [{"a": 1}, {"a": 2}]])
def test_a_result_is_the_same_rows_as_json_or_as_a_table(capsys: Capture, rows: list[dict[str, Any]]) -> None:
    print_result(rows, as_json=True)
    assert json.loads(capsys.readouterr().out) == rows
    print_result(rows, as_json=False)
    assert len(lines_of(capsys)) == (2 + len(rows) if rows else 1)


@given(st.text(max_size=20), st.integers(0, 25))
def test_a_shortened_text_is_the_start_and_shows_that_it_is_cut(text: str, characters: int) -> None:
    short = shorten(text, characters)
    assert short == text if len(text) <= characters else short == text[:characters] + "…"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(13, "could not open the file 'x'"), "Permission denied"),
        (FileNotFoundError(2, "No such file or directory", "x"), "No such file or directory"),
        (OSError("the device is unplugged"), "the device is unplugged"),
        (OSError(-2, "Name or service not known"), "[Errno -2] Name or service not known"),
    ],
)
def test_the_reason_of_an_error_is_the_operating_systems(error: OSError, reason: str) -> None:
    assert os_reason(error) == reason


def check(name: str = "id is unique", **changes: object) -> dict[str, object]:
    return {
        "name": name,
        "table": "silver.breweries",
        "severity": "error",
        "passed": True,
        "found": 0,
        "example": None,
        **changes,
    }


def report(**changes: object) -> RunReport:
    made = RunReport(run="R1", state="SUCCEEDED", started_at="2026-08-02T10:11:12.345+00:00")
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def printed(capsys: Capture, run: RunReport) -> list[str]:
    print_report(run, as_json=False)
    return capsys.readouterr().out.splitlines()


def test_the_first_line_has_state_duration_and_start(capsys: Capture) -> None:
    assert printed(capsys, report(seconds=1.239))[0] == "run R1 succeeded in 1.24 s, started 2026-08-02T10:11:12Z"
    assert printed(capsys, report(state="RUNNING"))[0] == "run R1 running, started 2026-08-02T10:11:12Z"


@pytest.mark.parametrize(
    ("checks", "summary"),
    [
        ([check()], "1 checks passed"),
        ([check(), check(passed=False, severity="warning", found=3)], "1 checks passed, 1 warning"),
        ([check(passed=False, found=1)] * 2, "0 checks passed, 2 errors"),
        (
            [check()] * 3 + [check(passed=False, found=1), *[check(passed=False, severity="warning", found=1)] * 2],
            "3 checks passed, 1 error, 2 warnings",
        ),
    ],
)
def test_checks_are_counted_by_severity(capsys: Capture, checks: list[dict[str, object]], summary: str) -> None:
    assert summary in printed(capsys, report(checks=checks))


def test_no_checks_print_no_summary(capsys: Capture) -> None:
    assert not [line for line in printed(capsys, report()) if "check" in line]


@pytest.mark.parametrize(("found", "violations"), [(1, "1 violation"), (3, "3 violations")])
def test_a_failed_check_has_severity_table_name_and_example(capsys: Capture, found: int, violations: str) -> None:
    failed = check("id is unique", passed=False, found=found, example="id a")
    assert printed(capsys, report(checks=[failed]))[-1] == (
        f"error: silver.breweries: id is unique: {violations}; id a"
    )


def test_a_long_example_is_shortened_in_text_and_complete_in_json(capsys: Capture) -> None:
    run = report(checks=[check(passed=False, found=1, example="x" * 500)])
    assert printed(capsys, run)[-1].endswith("; " + "x" * 160 + "…")
    print_report(run, as_json=True)
    assert json.loads(capsys.readouterr().out)["checks"][0]["example"] == "x" * 500


def test_schema_drift_is_printed_with_count_and_example(capsys: Capture) -> None:
    drift = {"name": "unknown_field", "detail": "rating", "count": 4, "example": "5 in id a"}
    line = printed(capsys, report(drift=[drift]))[-1]
    assert line == "schema drift: unknown_field rating, 4 times; example: 5 in id a"


def test_published_tables_are_listed(capsys: Capture) -> None:
    lines = printed(capsys, report(published=[{"table": "silver.breweries", "snapshot": 12, "rows": 7}]))
    assert [line.split() for line in lines if "silver" in line] == [["silver.breweries", "12", "7"]]


@given(st.text())
def test_a_visible_text_has_no_control_characters_and_means_the_same(text: str) -> None:
    shown = visible(text)
    assert not any(unicodedata.category(letter) == "Cc" and letter not in "\t\n" for letter in shown)
    assert not set(shown) & set("\u061c\u200e\u200f\u202a\u202e\u2028\u2066\u2069")
    assert json.loads(visible(json.dumps(text, ensure_ascii=False))) == text


EVIL = "Ale \x1b]0;pwned\x07\x1b[2J\x9b31m\x7f\u202e\rred"


def test_a_table_shows_control_characters() -> None:
    shown = table_text([EVIL], [[EVIL], [{"name": EVIL}]])
    assert "\\u001b]0;pwned\\u0007\\u001b[2J\\u009b31m\\u007f\\u202e\\u000dred" in shown
    assert visible(shown) == shown


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1", "utf-8"])
def test_text_and_json_are_printed_in_any_encoding(encoding: str) -> None:
    buffer = io.BytesIO()
    stream = SafeStream(io.TextIOWrapper(buffer, encoding=encoding), is_optional=False)
    json_text = json.dumps({"name": f"Öl 日本 🍺 {EVIL}"}, ensure_ascii=False)
    stream.write(json_text)
    stream.flush()
    assert json.loads(buffer.getvalue().decode(encoding)) == json.loads(json_text)


def unread_pipe() -> int:
    ours, theirs = os.pipe()
    os.close(ours)
    return theirs


@pytest.mark.parametrize("is_optional", [True, False])
@pytest.mark.parametrize("descriptor", [unread_pipe, lambda: os.open("/dev/full", os.O_WRONLY)])
def test_only_required_output_fails_when_it_cannot_be_written(
    descriptor: Callable[[], int],
    is_optional: bool,
) -> None:
    with os.fdopen(descriptor(), "w") as stream:
        safe = SafeStream(stream, is_optional=is_optional)
        safe.write("text\n")
        with nullcontext() if is_optional else pytest.raises(OSError, match=r"Broken pipe|No space left"):
            safe.flush()
        safe.write("discarded\n")
        safe.flush()


def test_a_file_is_printed_exactly_and_in_a_terminal_visibly(tmp_path: Path) -> None:
    content = f"{EVIL}\n".encode()
    (tmp_path / "r").write_bytes(content)
    code = (
        "import sys, pathlib\nfrom brewhouse.cli.output import print_file, safe_streams\n"
        "with safe_streams():\n    print_file(pathlib.Path(sys.argv[1]))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "r")]
    assert subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout == content
    ours, theirs = pty.openpty()
    subprocess.run(command, stdout=theirs, check=True)
    os.close(theirs)
    assert read_terminal(ours) == f"{visible(EVIL)}\r\n"


def test_a_wait_for_the_rate_limit_is_shown_with_its_duration(capsys: Capture) -> None:
    with progress_listeners("text"):
        logging.getLogger("brewhouse.api.rate_limit").warning("the rate limit is used up; waiting %.0f s", 42)
    assert capsys.readouterr().err == "extract: the rate limit is used up; waiting 42 s\n"
    with progress_listeners("json"):
        logging.getLogger("brewhouse.api.rate_limit").info("nothing")
    assert capsys.readouterr().err == ""
