"""Notifications and heartbeats: pending messages are sent by one process at a time, and each outcome is an event.

Nothing here fails a run. A message that was sent, but whose event was lost to a kill, or which the receiver did not
acknowledge in time, is sent once more.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.util import find_spec
from shlex import quote

import msgspec

from brewhouse.errors import install_command
from brewhouse.events.alerts import Message, is_quiet, pending_notifications
from brewhouse.events.channels import DeliveryFailed, masked, receiver_id, same_receiver, send, send_heartbeat
from brewhouse.events.details import Detail, NotificationFailed, NotificationSent, RunEnded, RunStarted
from brewhouse.events.envelope import Event
from brewhouse.events.event import EventLog, EventReader
from brewhouse.events.messages import body, subject
from brewhouse.lake.lake import Lake, require_relocated
from brewhouse.lake.local_files import open_regular, try_lock
from brewhouse.settings import AlertSettings, Secret

_LOCK_TIMEOUT_S = 60.0
_LOCK_POLL_S = 0.05

_log = logging.getLogger(__name__)


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of sending a message to a masked receiver; `error` is why it could not be sent, else empty."""

    kind: str
    subject: str
    receiver: str
    error: str = ""


def notify(
    lake: Lake,
    alerts: AlertSettings,
    running: str | None = None,
    now: datetime | None = None,
    reader: EventReader | None = None,
) -> list[Outcome]:
    """Send pending messages, except in quiet hours: what still holds afterwards is sent by the next process.

    Args:
        running: Id of the running run.
        now: In the time zone of the quiet hours; None is the present moment in the machine's zone.
        reader: Reader that already knows some of the lake's events.
    """
    now = now or datetime.now().astimezone()
    if not alerts.urls or is_quiet(now, alerts.quiet_hours):
        return []
    with _send_lock(lake):
        events = (reader or EventReader(lake)).read()
        return [
            _send(lake, message, url)
            for url in _receivers(alerts)
            for message in pending_notifications(
                events,
                now=now,
                kinds=alerts.kinds,
                late_after_hours=alerts.late_after_hours,
                running=running,
                receiver=receiver_id(url.reveal()),
            )
        ]


def warn_of_missing_library(alerts: AlertSettings) -> None:
    """Warn before a run, not only when it fails, that messages cannot be sent."""
    if alerts.urls and find_spec("apprise") is None:
        hint = install_command("alerts")
        message = f"[alerts] has urls, but Apprise is not installed, so no message can be sent: {hint}"
        print(f"brewhouse: {message}", file=sys.stderr)
        _log.warning("%s", message)


def send_test(lake: Lake, alerts: AlertSettings) -> list[Outcome]:
    """Send a test message to every receiver; its outcomes are events of a lake that exists."""
    message, recorded = Message(kind="test", incidents=(), time=datetime.now(UTC).isoformat()), lake.root.is_dir()
    return [_send(lake, message, url, is_recorded=recorded) for url in _receivers(alerts)]


def _receivers(alerts: AlertSettings) -> list[Secret]:
    """List the receivers, each once."""
    return list({same_receiver(url.reveal()): url for url in reversed(alerts.urls)}.values())[::-1]


class HeartbeatPinger:
    """Listener that calls a heartbeat URL when a run starts and when it ends.

    The start is sent by a thread, so that the run does not wait for it. A stopped run sends no end: its silence is
    what the heartbeat service reports.
    """

    def __init__(self, lake: Lake, url: Secret, run: str) -> None:
        self._lake = lake
        self._url = url
        self._run = run
        self._start: threading.Thread | None = None

    def listen(self, detail: Detail, _: Event) -> None:
        """Send a heartbeat for the start and the end of the run."""
        if isinstance(detail, RunStarted):
            self._start = threading.Thread(target=self._ping, args=("/start", ""), daemon=True)
            self._start.start()
        elif isinstance(detail, RunEnded) and detail.state != "STOPPED":
            if self._start is not None:
                self._start.join()
            self._ping("" if detail.state == "SUCCEEDED" else "/fail", detail.message)

    def _ping(self, suffix: str, text: str) -> None:
        try:
            send_heartbeat(self._url.reveal(), suffix, text)
        except DeliveryFailed as error:
            _emit_failure(EventLog(self._lake, self._run), "ping", self._url.reveal(), error)


@contextmanager
def _send_lock(lake: Lake) -> Iterator[None]:
    """Acquire the send lock, so that no message is sent twice; proceed without it after a timeout.

    On S3 there is none: two processes that send within the same second may send the same message.
    """
    if not lake.is_local:
        yield
        return
    require_relocated(lake)
    with os.fdopen(open_regular(lake.root / "alerts.lock", os.O_RDWR | os.O_CREAT), "r+b") as file:
        deadline = time.monotonic() + _LOCK_TIMEOUT_S
        while time.monotonic() < deadline and not try_lock(file.fileno()):
            time.sleep(_LOCK_POLL_S)
        yield


def _send(lake: Lake, message: Message, url: Secret, *, is_recorded: bool = True) -> Outcome:
    address = url.reveal()
    log = EventLog(lake, message.run)
    title = subject(message)
    where = f"--lake {quote(str(lake.root))}"
    outcome = Outcome(kind=message.kind, subject=title, receiver=masked(address))
    try:
        text = body(message, f"brewhouse show {message.run} {where}", f"brewhouse logs {message.run} {where}")
        send(address, title, text)
    except DeliveryFailed as error:
        if is_recorded:
            _emit_failure(log, message.kind, address, error, message.incidents if error.is_unconfirmed else ())
        return msgspec.structs.replace(outcome, error=str(error))
    sent = NotificationSent(
        job_name=message.job,
        workflow=message.workflow,
        kind=message.kind,
        incidents=message.incidents,
        receiver=receiver_id(address),
        message=f"alert sent to {masked(address)}: {title}",
    )
    if is_recorded:
        log.emit(sent)
    _log.info("alert sent to %s: %s", masked(address), title)
    return outcome


def _emit_failure(
    log: EventLog, kind: str, address: str, error: DeliveryFailed, unconfirmed: Sequence[str] = ()
) -> None:
    message = f"Failed to send an alert ({kind}): {error}"
    print(f"brewhouse: {message}", file=sys.stderr)
    _log.warning("%s", message)
    detail = NotificationFailed(kind=kind, receiver=receiver_id(address), message=message)
    log.emit(msgspec.structs.replace(detail, unconfirmed=unconfirmed) if unconfirmed else detail)
