"""Telling people: the messages that are due go out, one process at a time, and what became of each is an event.

Nothing here fails a run. A message that was sent but whose event was lost to a kill in between is sent once more.
"""

from __future__ import annotations

import fcntl
import logging
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib.util import find_spec
from shlex import quote

import msgspec

from brewhouse.events.alerts import Message, is_quiet, pending_notifications
from brewhouse.events.channels import INSTALL, SendingFailed, masked, ping, receiver_id, send
from brewhouse.events.event import EventLog, read_events
from brewhouse.events.event_types import ALERT_FAILED, ALERT_SENT
from brewhouse.events.messages import body, subject
from brewhouse.lake.lake import Lake
from brewhouse.settings import AlertSettings, Secret

_TURN_S = 60.0
_PAUSE_S = 0.05

_log = logging.getLogger(__name__)


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a message.

    Attributes:
        kind: Of message.
        subject: Its subject.
        receiver: Whose address; only its kind is shown.
        error: Why it could not be sent; empty when it was.
    """

    kind: str
    subject: str
    receiver: str
    error: str = ""


def notify(lake: Lake, alerts: AlertSettings, running: str | None = None, now: datetime | None = None) -> list[Outcome]:
    """Send what is due, unless it is a quiet time: then what is still true is sent by whoever looks afterwards.

    Args:
        lake: Whose events tell what is due.
        alerts: To whom, and what.
        running: Id of the run that is going now.
        now: The present moment, in the zone of the quiet hours; None takes the machine's.

    Returns:
        What became of each message; none is due twice.
    """
    now = now or datetime.now().astimezone()
    if not alerts.urls or is_quiet(now, alerts.quiet_hours):
        return []
    with _turn(lake):
        events = read_events(lake)
        return [
            _send(lake, message, url)
            for url in alerts.urls
            for message in pending_notifications(
                events,
                now=now,
                kinds=alerts.kinds,
                late_after_hours=alerts.late_after_hours,
                running=running,
                receiver=receiver_id(url.reveal()),
            )
        ]


def warn_of_missing_parts(alerts: AlertSettings) -> None:
    """Say before a run, not when it failed, that nobody could be told."""
    if alerts.urls and find_spec("apprise") is None:
        message = "[alerts] has urls, but Apprise is not installed, so nobody can be told: " + INSTALL
        print(f"brewhouse: {message}", file=sys.stderr)
        _log.warning("%s", message)


def send_test(lake: Lake, alerts: AlertSettings) -> list[Outcome]:
    """Send a test to every receiver."""
    message = Message(kind="test", incidents=(), time=datetime.now(UTC).isoformat())
    return [_send(lake, message, url) for url in alerts.urls]


class HeartbeatPinger:
    """Calls a dead man's switch when a run starts and when it ends.

    The start is told by a thread, so that the run does not wait.

    Args:
        lake: Gets an event when a ping is not taken.
        url: The switch's address; None has no switch.
        run: Id of the run.
    """

    def __init__(self, lake: Lake, url: Secret | None, run: str) -> None:
        self._lake = lake
        self._url = url
        self._run = run
        self._start: threading.Thread | None = None

    def started(self) -> None:
        """Tell that the run has started."""
        if self._url is not None:
            self._start = threading.Thread(target=self._ping, args=("/start", ""), daemon=True)
            self._start.start()

    def ended(self, state: str, message: str) -> None:
        """Tell how the run ended; one that a person stopped is told by its silence."""
        if self._url is not None and state != "STOPPED":
            if self._start is not None:
                self._start.join()
            self._ping("" if state == "SUCCEEDED" else "/fail", message)

    def _ping(self, ending: str, text: str) -> None:
        assert self._url is not None
        try:
            ping(self._url.reveal(), ending, text)
        except SendingFailed as error:
            _tell_failure(EventLog(self._lake, self._run), "ping", self._url.reveal(), error)


@contextmanager
def _turn(lake: Lake) -> Iterator[None]:
    """Be the only one who sends, so that no message goes out twice; whoever waits too long goes ahead.

    On S3 nobody waits: two processes that send in the same second may send the same message.
    """
    if not lake.is_local:
        yield
        return
    with (lake.root / "alerts.lock").open("ab") as file:
        ends = time.monotonic() + _TURN_S
        while time.monotonic() < ends:
            with suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            time.sleep(_PAUSE_S)
        yield


def _send(lake: Lake, message: Message, url: Secret) -> Outcome:
    address = url.reveal()
    log = EventLog(lake, message.run)
    words = subject(message)
    where = f"--lake {quote(str(lake.root))}"
    run_link = f"brewhouse show {message.run} {where}"
    log_link = f"brewhouse logs {message.run} {where}"
    outcome = Outcome(kind=message.kind, subject=words, receiver=masked(address))
    try:
        send(address, words, body(message, run_link, log_link))
    except SendingFailed as error:
        _tell_failure(log, message.kind, address, error)
        return msgspec.structs.replace(outcome, error=str(error))
    log.write(
        ALERT_SENT,
        {
            "jobName": message.job,
            "workflow": message.workflow,
            "kind": message.kind,
            "incidents": message.incidents,
            "receiver": receiver_id(address),
            "message": f"alert sent to {masked(address)}: {words}",
        },
    )
    return outcome


def _tell_failure(log: EventLog, kind: str, address: str, error: SendingFailed) -> None:
    message = f"An alert ({kind}) could not be sent: {error}"
    print(f"brewhouse: {message}", file=sys.stderr)
    log.write(ALERT_FAILED, {"kind": kind, "receiver": receiver_id(address), "severity": "WARN", "message": message})
