"""Asking the source: retries for what may pass, plain words for what does not."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, TypeVar

import httpx
import stamina

from brewhouse.errors import BrewhouseError
from brewhouse.settings import Settings
from brewhouse.source.contract import Meta, UnexpectedAnswerError, parse_meta, parse_page
from brewhouse.source.throttle import WINDOW_S, Throttle

_HEADERS = {"Accept": "application/json", "Cache-Control": "no-cache", "User-Agent": "brewhouse"}
_MAX_REFUSALS = 20
_MAX_PAUSE_S = 300.0

Parsed = TypeVar("Parsed")

stamina.instrumentation.set_on_retry_hooks(())  # what finally failed is told once, by the error


class SourceUnavailable(BrewhouseError):  # noqa: N818 - the state of the source, not of a call
    """The source did not give what was asked for, however often it was tried.

    Args:
        what: Which URL, what came, how often it was tried.
        hint: What to do.
        status: HTTP status of the last answer, None when none came or it could not be read.
    """

    def __init__(self, what: str, hint: str, status: int | None = None) -> None:
        super().__init__(what, hint)
        self.status = status


class _PassingError(Exception):
    """What may be better the next time."""

    def __init__(self, came: str, status: int | None = None) -> None:
        super().__init__(came)
        self.status = status


@dataclass(frozen=True)
class Window:
    """Some breweries in a row, as the source gave them.

    Attributes:
        url: Where they came from.
        taken_at: When, ISO 8601, UTC.
        lines: Each record's bytes.
        records: Each record decoded.
    """

    url: str
    taken_at: str
    lines: list[bytes]
    records: list[dict[str, Any]]
    holes: list[int] = field(default_factory=list)


class Client:
    """Asks one source, below its throttle.

    Args:
        settings: Base URL, time-outs, tries and waits.
        window_s: Length of the source's throttling window in seconds.
    """

    def __init__(self, settings: Settings, window_s: float = WINDOW_S) -> None:
        self._settings = settings
        self._throttle = Throttle(window_s)
        self._http = httpx.AsyncClient(
            headers=_HEADERS,
            timeout=settings.timeout_s,
            limits=httpx.Limits(max_connections=settings.concurrency),
            verify=_trust(settings.source_url),
        )

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def meta(self) -> tuple[Meta, list[str]]:
        """Ask for the counts of the whole.

        Returns:
            The meta, and the names of its deviations from the contract.

        Raises:
            SourceUnavailable: It could not be had.
        """
        return await self._ask(f"{self._settings.source_url}/breweries/meta", parse_meta, self._settings.max_tries)

    async def window(self, page: int, size: int, tries: int | None = None) -> Window:
        """Ask for a page of breweries in the order of their ids.

        Args:
            page: From 1.
            size: Breweries in a page.
            tries: How often at the most; None as the settings say.

        Raises:
            SourceUnavailable: It could not be had.
        """
        url = f"{self._settings.source_url}/breweries?per_page={size}&page={page}&sort=id:asc"
        lines, records = await self._ask(url, parse_page, tries or self._settings.max_tries)
        return Window(url, datetime.now(UTC).isoformat(), lines, records)

    async def _ask(self, url: str, parse: Callable[[bytes], Parsed], tries: int) -> Parsed:
        settings = self._settings
        try:
            async for attempt in stamina.retry_context(
                on=_PassingError,
                attempts=tries,
                timeout=None,
                wait_initial=settings.retry_wait_s,
                wait_max=settings.retry_wait_max_s,
                wait_jitter=settings.retry_wait_s,
            ):
                with attempt:
                    return await self._try(url, parse)
        except _PassingError as error:
            raise SourceUnavailable(
                f"{url} could not be had in {tries} tries; last came {error}.",
                hint="The source may be down for a while: run again later, what was taken is kept.",
                status=error.status,
            ) from error
        raise AssertionError("a retry ends with a value or an error")

    async def _try(self, url: str, parse: Callable[[bytes], Parsed]) -> Parsed:
        try:
            status, headers, body = await self._send(url)
        except httpx.InvalidURL as error:
            raise SourceUnavailable(f"{url} is no URL: {error}.", hint="Mend --source-url.") from error
        except httpx.TransportError as error:
            raise _PassingError(f"{type(error).__name__}: {error}") from error
        if status >= 500:
            raise _PassingError(f"status {status}: {_start(body)}", status)
        if status >= 300:
            where = f" to {headers['Location']}" if "Location" in headers else ""
            raise SourceUnavailable(
                f"{url} was answered with status {status}{where}: {_start(body)}; it was tried once.",
                hint="The address or a parameter is wrong: look at --source-url and --per-page-rows.",
                status=status,
            )
        try:
            return parse(body)
        except UnexpectedAnswerError as error:
            raise _PassingError(f"status {status}, but {error}") from error

    async def _send(self, url: str) -> tuple[int, httpx.Headers, bytes]:
        """Send until the answer is no 429, waiting as the source asks."""
        for _ in range(_MAX_REFUSALS):
            await self._throttle.admit()
            headers = httpx.Headers()
            try:
                async with self._http.stream("GET", url) as response:
                    headers = response.headers
                    body = await self._body(response)
            finally:
                self._throttle.answered(headers)
            if response.status_code != 429:
                return response.status_code, headers, body
            self._throttle.pause(_seconds(headers.get("Retry-After", "")))
        raise _PassingError(f"status 429, {_MAX_REFUSALS} times in a row", 429)

    async def _body(self, response: httpx.Response) -> bytes:
        body = bytearray()
        async for part in response.aiter_bytes():
            body += part
            if len(body) > self._settings.max_body_bytes:
                raise SourceUnavailable(
                    f"{response.url} answers with more than {self._settings.max_body_bytes} bytes.",
                    hint="That is no page of breweries: look at --source-url, or raise max_body_bytes.",
                )
        return bytes(body)


def _trust(url: str) -> ssl.SSLContext:
    """Trust the usual authorities; plain http trusts nobody, which saves the 0.2 s of reading their certificates."""
    return httpx.create_ssl_context() if url.startswith("https:") else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _seconds(retry_after: str) -> float:
    return min(float(retry_after), _MAX_PAUSE_S) if retry_after.isdigit() else 1.0


def _start(body: bytes) -> str:
    return repr(body[:200].decode("utf-8", "replace"))
