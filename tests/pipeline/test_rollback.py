"""Rollback: all tables of a run together, and a history that continues from the state they return to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.lake.snapshots import finish, start, write
from tests.lake_template import LakeTemplate

from brewhouse.errors import BrewhouseError, UsageError
from brewhouse.events.event import read_events
from brewhouse.events.run_reports import run_reports
from brewhouse.iceberg.tables import Tables
from brewhouse.ids import id_at
from brewhouse.lake.lake import Lake
from brewhouse.lake.manifest import Counts
from brewhouse.pipeline.maintenance import run_maintenance
from brewhouse.pipeline.rebuild import run_rebuild
from brewhouse.pipeline.rollback import run_rollback
from brewhouse.pipeline.workflow import run_workflow
from brewhouse.query.connection import connect
from brewhouse.settings import load

Step = tuple[str, int]
SETTINGS = load({"max_count_drop_percent": 100}, environ={})


@dataclass(frozen=True)
class State:
    """What the tables are expected to show.

    Attributes:
        shown: The raw snapshot in silver.
        logged: The raw snapshots in the change log, in order.
        counted: The raw snapshot of each day in the counts over time.
    """

    shown: str
    logged: tuple[str, ...]
    counted: dict[str, str]

    def publish(self, raw: str, day: str) -> State:
        """Publish a raw snapshot; the log does not change if it leads past it already."""
        logged = self.logged if self.logged and raw <= self.logged[-1] else (*self.logged, raw)
        return State(raw, logged, {**self.counted, day: raw})


@dataclass
class History:
    """A lake and the expected state as of each run."""

    lake: Lake
    names: dict[str, dict[str, str]] = field(default_factory=dict)
    days: dict[str, str] = field(default_factory=dict)
    states: dict[str, State] = field(default_factory=dict)
    state: State = field(default_factory=lambda: State("", (), {}))

    def add(self, names: dict[str, str], *, days_ago: int = 0) -> str:
        """Publish a new raw snapshot of breweries, by the last digit of their ids; return its run id."""
        raw = self.write(names, days_ago)
        self.publish(raw)
        return raw

    def write(self, names: dict[str, str], days_ago: int) -> str:
        started = datetime.now(UTC) - timedelta(days=days_ago)
        raw = id_at(started, b"")
        writer = start(self.lake, raw, age_hours=24.0 * days_ago)
        record = {"brewery_type": "micro", "country": "Ireland", "state_province": "Kerry"}
        lines = [
            json.dumps({"id": f"00000000-0000-4000-8000-00000000000{key}", "name": name, **record}).encode()
            for key, name in sorted(names.items())
        ]
        groups = [{value: len(names)} for value in record.values()]
        received = Counts(total=len(names), by_type=groups[0], by_country=groups[1], by_state=groups[2])
        finish(writer, write(writer, 1, lines), received=received)
        self.names[raw], self.days[raw] = names, writer.date
        return raw

    def publish(self, raw: str) -> str:
        return self._done(run_workflow(self.lake, SETTINGS, ("transform", "aggregate"), raw),
                          self.state.publish(raw, self.days[raw]))  # fmt: skip

    def rollback(self, run: str) -> str:
        return self._done(run_rollback(self.lake, SETTINGS, run), self.states[run])

    def rebuild(self) -> str:
        state = State("", (), {})
        for raw in sorted(self.names):
            state = state.publish(raw, self.days[raw])
        return self._done(run_rebuild(self.lake, SETTINGS), state)

    def take(self, steps: Sequence[Step]) -> None:
        """Take steps, each with a number that selects what it is about, and check the state after each."""
        for number, (step, choice) in enumerate(steps):
            if step == "new":
                names = {str(key): f"{key} {choice}" for key in range(1, 8) if (number + choice) % key}
                self.add({**names, "9": "Always"}, days_ago=len(steps) - number - choice % 2)
            elif step == "rebuild":
                self.rebuild()
            elif step == "publish":
                self.publish(sorted(self.names)[choice % len(self.names)])
            else:
                runs = published(self.lake)
                self.rollback(runs[choice % len(runs)])
            self.check()

    def check(self) -> None:
        """Compare the tables with the expected state, and the log's replay with each snapshot in it."""
        with closing(connect(self.lake)) as connection:

            def names(sql: str) -> dict[str, str]:
                return {str(key)[-1]: name for key, name in connection.execute(sql).fetchall()}

            assert names("SELECT id, name FROM silver.breweries") == self.names[self.state.shown]
            for raw in self.state.logged:
                replayed = names(
                    f"SELECT id, name FROM (FROM silver.brewery_changes WHERE snapshot_run <= '{raw}') "
                    "QUALIFY row_number() OVER (PARTITION BY id ORDER BY snapshot_run DESC) = 1 AND kind <> 'removed'"
                )
                assert replayed == self.names[raw]
            repeated = "SELECT id FROM silver.brewery_changes GROUP BY id, snapshot_run HAVING count(*) > 1"
            assert connection.execute(repeated).fetchall() == []
            counts = connection.execute(
                "SELECT snapshot_date, snapshot_run, sum(brewery_count) FROM gold.brewery_counts_over_time GROUP BY ALL"
            ).fetchall()
        assert sorted((str(day), run, int(count)) for day, run, count in counts) == sorted(
            (day, raw, len(self.names[raw])) for day, raw in self.state.counted.items()
        )

    def _done(self, run: str, state: State) -> str:
        self.state = self.states[run] = state
        return run


def rows(lake: Lake, sql: str, at: str | None = None) -> list[tuple[Any, ...]]:
    with closing(connect(lake, at)) as connection:
        return connection.execute(sql).fetchall()


def published(lake: Lake) -> list[str]:
    """The runs whose events say that they published tables."""
    return [report.run for report in run_reports(read_events(lake)) if report.published]


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(Lake(tmp_path / "lake"))


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> tuple[LakeTemplate, History]:
    template = LakeTemplate(tmp_path_factory.mktemp("history"))
    history = History(template.lake)
    history.add({"1": "One", "2": "Two"}, days_ago=3)
    template.keep()
    return template, history


@pytest.fixture
def begun(template: tuple[LakeTemplate, History]) -> History:
    """A history of one run, which published two breweries three days ago."""
    lake, history = template[0].restore(), template[1]
    return History(lake, dict(history.names), dict(history.days), dict(history.states), history.state)


def test_history_continues_from_the_state_that_a_rollback_returns_to(history: History) -> None:
    """A snapshot is rolled back, published again, left out by what follows, and included by a rebuild."""
    history.take([("new", 0), ("new", 3), ("rollback", 0), ("new", 5), ("publish", 1), ("rollback", 3), ("rebuild", 0)])


@pytest.mark.slow
@settings(max_examples=25)
@given(st.lists(st.tuples(st.sampled_from(["new", "new", "rollback", "publish", "rebuild"]), st.integers(0, 9)),
                max_size=9))  # fmt: skip
def test_any_sequence_of_publications_rollbacks_and_rebuilds_keeps_one_history(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Step]
) -> None:
    History(Lake(tmp_path_factory.mktemp("lake"))).take([("new", 1), *steps])


def test_a_rollback_is_a_run_that_returns_all_tables_to_the_state_as_of_a_run(begun: History) -> None:
    (first,) = begun.names
    before = {name: Tables(begun.lake).current(name) for name in Tables(begun.lake).names()}
    run_of_first = next(iter(begun.states))
    bad = begun.add({"1": "One"}, days_ago=1)
    rolled_back = begun.rollback(run_of_first)
    tables = Tables(begun.lake)
    assert {name: tables.current(name) for name in tables.names()} == before
    report = run_reports(read_events(begun.lake))[-1]
    assert (report.run, report.workflow, report.state) == (rolled_back, "rollback", "SUCCEEDED")
    assert {entry["table"] for entry in report.published} == set(tables.names())
    states = [(s.raw_snapshot, s.current, s.rolled_back) for s in tables.history("silver.brewery_changes")]
    assert states == [(first, True, False), (bad, False, True)]
    begun.rollback(list(begun.states)[1])  # forth again
    begun.check()
    begun.rollback(rolled_back)
    begun.check()


def test_tables_that_a_run_did_not_publish_return_to_their_state_at_that_time(begun: History) -> None:
    gold = Tables(begun.lake).current("gold.breweries_by_location")
    raw = begun.write({"1": "Two"}, 2)
    silver_only = run_workflow(begun.lake, SETTINGS, ("transform",), raw)
    begun.add({"1": "New"}, days_ago=1)
    run_rollback(begun.lake, SETTINGS, silver_only)
    assert Tables(begun.lake).current("gold.breweries_by_location") == gold
    assert rows(begun.lake, "SELECT name FROM silver.breweries") == [("Two",)]


@pytest.mark.parametrize("table", ["silver.brewery_changes", "silver.breweries"])
def test_the_log_continues_after_one_table_was_rolled_back_alone(begun: History, table: str) -> None:
    begun.add({"1": "One"}, days_ago=2)
    first = Tables(begun.lake).history(table)[0]
    run_rollback(begun.lake, SETTINGS, table, first.snapshot_id)
    last = begun.add({"1": "One", "2": "Two"}, days_ago=1)
    kinds = [kind for (kind,) in rows(
        begun.lake, "SELECT kind FROM silver.brewery_changes WHERE id LIKE '%2' ORDER BY snapshot_run")]  # fmt: skip
    assert kinds == (["added"] if table == "silver.brewery_changes" else ["added", "removed", "added"])
    assert rows(begun.lake, "SELECT DISTINCT snapshot_run FROM silver.breweries") == [(last,)]


def test_an_unknown_run_or_snapshot_is_rejected_before_anything_is_recorded(begun: History) -> None:
    events = read_events(begun.lake)
    for target, snapshot, why in (
        (id_at(datetime.now(UTC), b"x"), None, "has no run"),
        ("silver.breweries", 7, "no snapshot 7"),
    ):
        with pytest.raises(UsageError, match=why):
            run_rollback(begun.lake, SETTINGS, target, snapshot)
    assert read_events(begun.lake) == events


def test_an_expired_run_is_named_as_such(begun: History) -> None:
    (first,) = begun.names
    run_of_first = next(iter(begun.states))
    begun.add({"1": "Two"}, days_ago=1)
    kept = list(begun.states)[1]
    run_maintenance(begun.lake, load({"snapshot_retention_days": 0, "min_snapshots_to_keep": 1}, environ={}))
    for key in (first, run_of_first):
        expired = rf"Run {key} was expired by `brewhouse maintain` on \d{{4}}-\d\d-\d\d\. Kept are .*{kept}"
        with pytest.raises(BrewhouseError, match=expired):
            run_rollback(begun.lake, SETTINGS, key)
        with pytest.raises(BrewhouseError, match=expired):
            connect(begun.lake, key)


def test_a_run_that_published_nothing_is_named_as_such(begun: History) -> None:
    with pytest.raises(BrewhouseError):
        run_workflow(begun.lake, load({"source_url": "http://127.0.0.1:1/v1", "max_attempts": 1}, environ={}))
    failed = run_reports(read_events(begun.lake))[-1].run
    with pytest.raises(BrewhouseError, match=f"Run {failed} published no tables"):
        run_rollback(begun.lake, SETTINGS, failed)


def test_a_rebuild_is_rolled_back_to_what_the_run_before_it_published(begun: History) -> None:
    before = {name: Tables(begun.lake).current(name) for name in Tables(begun.lake).names()}
    begun.rebuild()
    begun.rollback(next(iter(begun.states)))
    assert {name: Tables(begun.lake).current(name) for name in before} == before
    begun.check()


def test_a_date_reads_the_data_of_that_day_even_if_it_was_published_later(history: History) -> None:
    history.add({"1": "Now"})
    raws = [history.write({"1": f"{days} days ago"}, days) for days in (900, 400)]
    history.rebuild()
    name = "SELECT name FROM silver.breweries"
    for raw, days in zip(raws, (900, 400), strict=True):
        assert rows(history.lake, name, history.days[raw]) == [(f"{days} days ago",)]
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    for at, shown in ((datetime.now(UTC) - timedelta(days=500), "900 days ago"), (tomorrow, "Now")):
        assert rows(history.lake, name, at.isoformat()) == rows(history.lake, name, str(at.date())) == [(shown,)]
    with pytest.raises(BrewhouseError, match=r"No table was published at 2016-01-01"):
        connect(history.lake, "2016-01-01")
