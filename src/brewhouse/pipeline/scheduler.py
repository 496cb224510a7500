"""The scheduler: a thread that starts due runs, and notifies people when the workflow is late."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from brewhouse.errors import BrewhouseError
from brewhouse.events.event import read_events
from brewhouse.events.notifications import notify
from brewhouse.events.schedule_state import claim, emit_refusal, schedule_state, switch
from brewhouse.ids import CLOCK_TOLERANCE
from brewhouse.lake.lake import Lake
from brewhouse.lake.run_lock import holder
from brewhouse.pipeline.cron_schedule import CronSchedule, due, latest
from brewhouse.pipeline.interrupted_runs import close_killed_runs
from brewhouse.settings import AlertSettings

_STEP_S = 5.0
_NOTIFY_EVERY = timedelta(minutes=10)

_log = logging.getLogger(__name__)


class Scheduler:
    """Starts the runs of a schedule while this process lives; without a schedule, it only sends notifications."""

    def __init__(
        self, lake: Lake, schedule: CronSchedule | None, start: Callable[[], str], alerts: AlertSettings
    ) -> None:
        self._lake = lake
        self._schedule = schedule
        self._start = start
        self._alerts = alerts
        self._checked: datetime | None = None
        self._notified: datetime | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="brewhouse-schedule", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread; a run that it started continues."""
        self._stopping.set()
        self._thread.join()

    def step(self, now: datetime) -> str | None:
        """Start the run that is due, if any, and return its id; `now` has a time zone."""
        if self._notified is None or abs(now - self._notified) >= _NOTIFY_EVERY:
            self._notified = now
            self._notify(now)
        if self._schedule is None:
            return None
        if self._checked is None or self._checked > now + CLOCK_TOLERANCE:  # the clock was set back
            self._checked = self._resume(self._schedule, now)
        if latest(self._schedule, self._checked, now) is None or holder(self._lake):
            return None
        state = schedule_state(read_events(self._lake), now)
        self._checked = now
        moment = due(self._schedule, state, now)
        if moment is None or not claim(self._lake, moment, now):
            return None
        try:
            return self._start()
        except BrewhouseError as error:
            emit_refusal(self._lake, moment, str(error))
            return None

    def _resume(self, schedule: CronSchedule, now: datetime) -> datetime:
        """Return the moment up to which due times are settled; a new schedule starts now."""
        state = schedule_state(read_events(self._lake), now)
        if state.since is not None and (state.cron, state.time_zone) == (schedule.cron, schedule.zone.key):
            return state.since
        if state.is_on:
            switch(self._lake, is_on=True, cron=schedule.cron, time_zone=schedule.zone.key)
        return now

    def _notify(self, now: datetime) -> None:
        """Notify of killed and late runs, if the lake exists."""
        if self._alerts.urls and self._lake.root.exists():
            close_killed_runs(self._lake)
            held = holder(self._lake)
            notify(self._lake, self._alerts, held.run if held else None, now.astimezone())

    def _loop(self) -> None:
        while not self._stopping.is_set():
            try:
                self.step(datetime.now(UTC))
            except Exception as error:  # noqa: BLE001 - the next step may succeed
                _log.warning(
                    "The schedule could not be checked, which is tried again in a moment: %s", error, exc_info=error
                )
            self._stopping.wait(_STEP_S)
