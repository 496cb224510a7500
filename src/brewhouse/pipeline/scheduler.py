"""The scheduler: a thread that starts a run when the schedule says so, and tells people when the workflow is late."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from brewhouse.errors import BrewhouseError
from brewhouse.events.event import read_events
from brewhouse.events.notifications import notify
from brewhouse.events.run_reports import close_killed_runs
from brewhouse.events.schedule_state import claim, schedule_state, switch, tell_refusal
from brewhouse.lake.lake import Lake
from brewhouse.lake.run_lock import holder
from brewhouse.pipeline.cron_schedule import CronSchedule, due, latest
from brewhouse.settings import AlertSettings

_STEP_S = 5.0
_LOOK_AROUND = timedelta(minutes=10)

_log = logging.getLogger(__name__)


class Scheduler:
    """Starts the runs of a schedule while this process goes on.

    Args:
        lake: Where they run.
        plan: When they are due; None starts none, but people are still told what they should know.
        start: Starts one, and gives its id.
        alerts: Who is told.
    """

    def __init__(self, lake: Lake, plan: CronSchedule | None, start: Callable[[], str], alerts: AlertSettings) -> None:
        self._lake = lake
        self._plan = plan
        self._start = start
        self._alerts = alerts
        self._looked: datetime | None = None
        self._looked_around: datetime | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._go_on, name="brewhouse-schedule", daemon=True)

    def start(self) -> None:
        """Begin, in a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """End; a run that was started goes on."""
        self._stopping.set()
        self._thread.join()

    def step(self, now: datetime) -> str | None:
        """Do what is to be done now.

        Args:
            now: With its zone.

        Returns:
            Id of the run that was started; None when none was.

        Raises:
            BrewhouseError: The lake cannot be read or written.
        """
        if self._looked_around is None or now - self._looked_around >= _LOOK_AROUND:
            self._looked_around = now
            self._tell_people(now)
        if self._plan is None:
            return None
        if self._looked is None:
            self._looked = self._begin(self._plan, now)
        if latest(self._plan, self._looked, now) is None or holder(self._lake):
            return None
        known = schedule_state(read_events(self._lake))
        self._looked = now
        moment = due(self._plan, known, now)
        if moment is None or not claim(self._lake, moment, now):
            return None
        try:
            return self._start()
        except BrewhouseError as error:
            tell_refusal(self._lake, moment, str(error))
            return None

    def _begin(self, plan: CronSchedule, now: datetime) -> datetime:
        """Take up the schedule where it was left; a new one begins now."""
        known = schedule_state(read_events(self._lake))
        if known.since is not None and (known.cron, known.time_zone) == (plan.cron, plan.zone.key):
            return known.since
        if known.is_on:
            switch(self._lake, is_on=True, cron=plan.cron, time_zone=plan.zone.key)
        return now

    def _tell_people(self, now: datetime) -> None:
        """Tell of killed and late runs; without a lake there is nothing to tell."""
        if self._alerts.urls and self._lake.root.exists():
            close_killed_runs(self._lake)
            held = holder(self._lake)
            notify(self._lake, self._alerts, held.run if held else None, now.astimezone())

    def _go_on(self) -> None:
        while not self._stopping.is_set():
            try:
                self.step(datetime.now(UTC))
            except Exception as error:  # noqa: BLE001 - the next step may succeed, and nobody else looks after it
                _log.warning("The schedule could not be looked after: %s", error, exc_info=error)
            self._stopping.wait(_STEP_S)
