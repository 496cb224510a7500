"""`brewhouse changes`, `diff` and `places`: rows, filters and errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from brewhouse.cli.main import main

Call = Callable[..., Any]
HEADER = (
    "id,name,brewery_type,city,state_province,country,address_1,address_2,address_3,postal_code,phone,website_url,"
    "longitude,latitude"
)
IDS = [f"0000000{number}-0000-4000-8000-000000000000" for number in range(5)]
VERSIONS = {
    "2025-01-01": [
        (IDS[0], "Ales", "micro", "York", "", "England"),
        (IDS[1], "Brew", "micro", "Gent", "Vlaanderen", "Belgium"),
        (IDS[2], "Cask", "closed", "Lyon", "", "France"),
        (IDS[3], "Dray", "micro", "Nowhere", "", "Atlantis"),
    ],
    "2026-02-02": [
        (IDS[0], "Ales & Co", "micro", "York", "", "England"),
        (IDS[2], "Cask", "micro", "Lyon", "", "France"),
        (IDS[3], "Dray", "closed", "Nowhere", "", "Atlantis"),
        (IDS[4], "Elm", "nano", "Gent", "Vlaanderen", "Belgium"),
    ],
}
KINDS = {IDS[0]: "changed", IDS[1]: "removed", IDS[2]: "reopened", IDS[3]: "closed", IDS[4]: "added"}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake with two versions of a small dataset."""
    folder = tmp_path_factory.mktemp("changes")
    for date, rows in VERSIONS.items():
        lines = [HEADER, *(",".join((*row, *[""] * 8)) for row in rows)]
        (folder / f"breweries-{date}.csv").write_text("".join(f"{line}\n" for line in lines))
    files = [str(file) for file in sorted(folder.glob("*.csv"))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["brewhouse", "backfill", *files, "--lake", str(folder / "lake")])
        with pytest.raises(SystemExit) as left:
            main()
        assert not left.value.code
    return folder / "lake"


def listed(call: Call, lake: Path, *arguments: object) -> list[dict[str, Any]]:
    done = call(*arguments, "--lake", lake, "--json")
    assert (done.code, done.err) == (0, "")
    rows: list[dict[str, Any]] = json.loads(done.out)
    return rows


def test_changes_are_listed_newest_snapshot_first(call: Call, lake: Path) -> None:
    rows = listed(call, lake, "changes")
    assert len(rows) == 9
    assert {row["id"]: row["kind"] for row in rows[:5]} == KINDS
    assert {row["kind"] for row in rows[5:]} == {"added"}


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        (("--since", "2026-02-02"), set(IDS)),
        (("--since", "2026-02-03"), set()),
        (("--since", "2025-01-02", "--country", "BE"), {IDS[1], IDS[4]}),
        (("--since", "2025-01-02", "--country", "be", "--kind", "removed"), {IDS[1]}),
        (("--kind", "closed", "--kind", "reopened"), {IDS[2], IDS[3]}),
        (("--country", "AQ"), set()),
    ],
)
def test_changes_can_be_filtered(call: Call, lake: Path, options: tuple[str, ...], ids: set[str]) -> None:
    assert {row["id"] for row in listed(call, lake, "changes", *options)} == ids


def test_changes_are_printed_with_old_and_new_values_and_the_count_of_each_kind(call: Call, lake: Path) -> None:
    done = call("changes", "--since", "2026-01-01", "--lake", lake)
    assert (done.code, done.err) == (0, "")
    assert "name: Ales -> Ales & Co" in done.out
    assert "brewery_type: closed -> micro" in done.out
    assert "York, England" in done.out
    assert done.out.endswith("1 added, 1 changed, 1 closed, 1 removed, 1 reopened\n")


def test_a_limit_reports_that_rows_are_missing(call: Call, lake: Path) -> None:
    done = call("changes", "--limit", "2", "--lake", lake)
    assert "\n… 7 more (--all)\n" in done.out
    assert sum(key in done.out for key in IDS) == 2
    assert len(listed(call, lake, "changes", "--limit", "2")) == 2
    assert len(listed(call, lake, "diff", "2025-01-01", "last", "--limit", "3")) == 3


def test_no_changes_are_reported(call: Call, lake: Path) -> None:
    for command in (("changes", "--country", "AQ"), ("diff", "last", "last")):
        done = call(*command, "--lake", lake)
        assert (done.code, done.out.splitlines()[-1]) == (0, "no changes")


def test_a_diff_compares_any_two_snapshots_either_way(call: Call, lake: Path) -> None:
    there = listed(call, lake, "diff", "2025-01-01", "last")
    assert {row["id"]: row["kind"] for row in there} == KINDS
    back = listed(call, lake, "diff", "2026-02-02", "2025-01-01")
    opposite = {"added": "removed", "removed": "added", "closed": "reopened", "reopened": "closed"}
    assert {row["id"]: row["kind"] for row in back} == {key: opposite.get(kind, kind) for key, kind in KINDS.items()}
    run = there[0]["snapshot_run"]
    assert listed(call, lake, "diff", run, "last") == []


def test_places_are_listed_with_their_codes(call: Call, lake: Path) -> None:
    rows = {row["country"]: row for row in listed(call, lake, "places")}
    assert set(rows) == {"England", "Belgium", "France", "Atlantis"}
    assert (rows["Belgium"]["country_code"], rows["Belgium"]["state_code"]) == ("BE", "BE-VLG")
    assert rows["Belgium"]["breweries"] == 1
    assert "Atlantis" in call("places", "--lake", lake).out


def test_unmatched_places_are_listed_alone(call: Call, lake: Path) -> None:
    (row,) = listed(call, lake, "places", "--unmatched")
    assert (row["country"], row["country_code"], row["place_match"]) == ("Atlantis", None, "none")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("changes", "--since", "yesterday"), 2, "'yesterday' is not a date"),
        (("changes", "--since", "2026-02-30"), 2, "'2026-02-30' is not a date"),
        (("changes", "--kind", "vanished"), 2, "(got vanished)"),
        (("changes", "--limit", "0"), 2, "--limit"),
        (("changes", "--limit", "-1"), 2, "--limit"),
        (("changes", "--country", "XX"), 2, "'XX' is not the ISO 3166 code of a country. `brewhouse places`"),
        (("changes", "--country", "United States"), 2, "is not the ISO 3166 code of a country. Write US."),
        (("changes", "--country", "USA"), 2, "is not the ISO 3166 code of a country. Write US."),
        (("diff", "last"), 2, "SECOND"),
        (("diff", "2020-01-01", "last"), 2, "no raw snapshot 2020-01-01"),
        (("diff", "last", "../.."), 2, "no raw snapshot ../.."),
    ],
)
def test_invalid_arguments_are_wrong_usage(
    call: Call, lake: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    done = call(*arguments, "--lake", lake)
    assert (done.code, done.out) == (code, "")
    assert message.lower() in done.err.lower()


@pytest.mark.parametrize(
    ("command", "code"), [(("changes",), 1), (("places",), 1), (("diff", "last", "last"), 1), (("rebuild",), 1)]
)
def test_an_empty_lake_is_an_error_with_a_hint(call: Call, tmp_path: Path, command: tuple[str, ...], code: int) -> None:
    done = call(*command, "--lake", tmp_path / "none")
    assert (done.code, done.out) == (code, "")
    assert str(tmp_path / "none") in done.err


def test_a_lake_with_events_only_has_no_tables(call: Call, tmp_path: Path) -> None:
    (tmp_path / "events" / "date=2026-08-02").mkdir(parents=True)
    for command in ("changes", "places"):
        done = call(command, "--lake", tmp_path)
        assert (done.code, done.err.count("\n")) == (1, 1)
        assert "The lake has no tables yet. Run `brewhouse run`; `brewhouse show` says how" in done.err
