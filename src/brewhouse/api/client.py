"""Asking the source: retries for what may pass, plain words for what does not."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import TypeVar
from urllib.request import getproxies, proxy_bypass

import aiohttp
import stamina
import yarl

from brewhouse.api.contract import Records, UnexpectedAnswerError, parse_meta, parse_page, start_of
from brewhouse.api.rate_limit import WINDOW_S, RateLimit
from brewhouse.errors import BrewhouseError
from brewhouse.settings import Settings
from brewhouse.source import Meta

_HEADERS = {"Accept": "application/json", "Cache-Control": "no-cache", "User-Agent": "brewhouse"}
_MAX_REFUSALS = 20
_MAX_PAUSE_S = 900.0

Parsed = TypeVar("Parsed")

_log = logging.getLogger(__name__)

stamina.instrumentation.set_on_retry_hooks(())  # what finally failed is told once, by the error


class SourceUnavailable(BrewhouseError):  # noqa: N818 - the state of the source, not of a call
    """The source did not give what was asked for, however often it was tried.

    Args:
        what: Which URL, what came, how often it was tried.
        hint: What to do.
        status: HTTP status of the last answer; None when none came or it could not be read.
        may_be_the_page: Whether the source answered with an error of its own, with no page, or too late: then it may
            still give the page in parts. A lost connection is the network's.
    """

    def __init__(self, what: str, hint: str, status: int | None = None, *, may_be_the_page: bool = False) -> None:
        super().__init__(what, hint)
        self.status = status
        self.may_be_the_page = may_be_the_page


class _PassingError(Exception):
    """What may be better the next time."""

    def __init__(self, came: str, status: int | None = None) -> None:
        super().__init__(came)
        self.status = status


@dataclass(frozen=True)
class PageResult:
    """Some breweries in a row, as the source gave them.

    Attributes:
        url: Where they came from.
        status: HTTP status of the answer; 5xx when they could only be had in smaller windows.
        fetched_at: When, ISO 8601, UTC.
        lines: Each record's bytes.
        records: The same, decoded.
        holes: Offsets, from 0, of rows that the source cannot give.
    """

    url: str
    status: int
    fetched_at: str
    lines: list[bytes]
    records: Records
    missing_rows: list[int] = field(default_factory=list)


class Client:
    """Asks one source, below its throttle.

    Args:
        settings: Base URL, time-outs, tries and waits.
        window_s: Length of the source's throttling window in seconds.
    """

    def __init__(self, settings: Settings, window_s: float = WINDOW_S) -> None:
        self._settings = settings
        self._throttle = RateLimit(window_s)

    async def __aenter__(self) -> Client:
        self._http = aiohttp.ClientSession(
            headers=_HEADERS,
            timeout=aiohttp.ClientTimeout(total=self._settings.timeout_s),
            cookie_jar=aiohttp.DummyCookieJar(),
            proxy=_proxy(self._settings.source_url),
            middlewares=(_send_only_once,),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.close()

    def url(self, page: int, size: int) -> str:
        """Address of a page of breweries in the order of their ids."""
        return f"{self._settings.source_url}/breweries?per_page={size}&page={page}&sort=id:asc"

    async def meta(self) -> tuple[Meta, list[str]]:
        """Ask for the counts of the whole.

        Returns:
            The meta, and the names of its deviations from the contract.

        Raises:
            SourceUnavailable: It could not be had.
        """
        url = f"{self._settings.source_url}/breweries/meta"
        return await self._ask(url, "The source's own counts", parse_meta, self._settings.max_attempts)

    async def window(self, page: int, size: int, tries: int | None = None) -> PageResult:
        """Ask for a page of breweries in the order of their ids.

        Args:
            page: From 1.
            size: Breweries in a page.
            tries: How often at the most; None as the settings say.

        Raises:
            SourceUnavailable: It could not be had.
        """
        url = self.url(page, size)
        what = f"Page {page} of breweries"
        lines, records = await self._ask(url, what, parse_page, tries or self._settings.max_attempts)
        return PageResult(url, 200, datetime.now(UTC).isoformat(timespec="milliseconds"), lines, records)

    async def _ask(self, url: str, what: str, parse: Callable[[bytes], Parsed], tries: int) -> Parsed:
        settings = self._settings
        try:
            async for attempt in stamina.retry_context(
                on=_PassingError,
                attempts=tries,
                timeout=None,
                wait_initial=settings.retry_initial_wait_s,
                wait_max=settings.retry_wait_max_s,
                wait_jitter=settings.retry_initial_wait_s,
            ):
                with attempt:
                    try:
                        return _parse_answer(*await self._send(url), url, what, parse)
                    except _PassingError as error:
                        _log.warning("try %d of %d of %s: %s", attempt.num, tries, url, error)
                        raise
        except _PassingError as error:
            raise SourceUnavailable(
                f"{what} could not be had from {url} in {tries} tries; at last came {error}.",
                hint="The source may be down for a while: run again later, what was taken is kept.",
                status=error.status,
                may_be_the_page=not isinstance(error.__cause__, aiohttp.ClientError),
            ) from error
        raise AssertionError("a retry ends with a value or an error")

    async def _send(self, url: str) -> tuple[int, Mapping[str, str], bytes]:
        """Send until the answer is no 429, waiting as the source asks."""
        headers: Mapping[str, str] = {}
        for _ in range(_MAX_REFUSALS):
            status, headers, body = await self._send_once(url)
            if status != 429:
                return status, headers, body
            pause_s = max(_pause_s(headers), self._settings.retry_initial_wait_s)
            if pause_s > _MAX_PAUSE_S:
                raise SourceUnavailable(
                    f"{url} was refused with status 429, and the source asks to wait {pause_s:.0f} s.",
                    hint="Run again when that time has passed, what was taken is kept.",
                    status=429,
                )
            _log.warning("%s was refused with status 429; waiting %g s", url, pause_s)
            self._throttle.pause(pause_s)
        raise SourceUnavailable(
            f"{url} was refused with status 429 {_MAX_REFUSALS} times in a row, although each time we waited as told; "
            f"Retry-After is {headers.get('Retry-After', 'not given')}.",
            hint="Somebody else at this address may be using up the limit: run again later, what was taken is kept.",
            status=429,
        )

    async def _send_once(self, url: str) -> tuple[int, Mapping[str, str], bytes]:
        address = _address(url)
        await self._throttle.admit()
        headers: Mapping[str, str] | None = None
        try:
            async with self._http.get(address, allow_redirects=False) as response:
                headers = response.headers
                return response.status, headers, await self._body(response)
        except TimeoutError as error:
            raise _PassingError(f"nothing whole within {self._settings.timeout_s:g} s") from error
        except aiohttp.ClientError as error:
            raise _PassingError(f"{type(error).__name__}: {error}") from error
        finally:
            self._throttle.answered(headers)

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for part in response.content.iter_any():
            body += part
            if len(body) > self._settings.max_body_bytes:
                raise SourceUnavailable(
                    f"{response.url} answers with more than {self._settings.max_body_bytes} bytes.",
                    hint="That is no page of breweries: look at --source-url, or raise max_body_bytes.",
                )
        return bytes(body)


def _address(url: str) -> yarl.URL:
    """Read an address, or say at once that it is none."""
    try:
        address = yarl.URL(url)
    except ValueError as error:
        raise SourceUnavailable(f"{url} is no address of the web: {error}.", hint="Mend --source-url.") from error
    if address.scheme not in {"http", "https"} or not address.host:
        raise SourceUnavailable(f"{url} is no address of the web.", hint="Begin --source-url with http:// or https://.")
    return address


def _proxy(url: str) -> str | None:
    """Find the proxy that the environment names for an address.

    Once, for aiohttp's `trust_env` looks it up in a thread for every request, and threads wait for each other.
    """
    address = _address(url)
    return None if proxy_bypass(f"{address.host}:{address.port}") else getproxies().get(address.scheme)


async def _send_only_once(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Keep aiohttp from sending again by itself what a lost connection swallowed: the throttle counts every request."""
    try:
        return await send(request)
    except (aiohttp.ClientConnectorError, TimeoutError):
        raise  # not sent again anyway
    except aiohttp.ClientError as error:
        raise _PassingError(f"{type(error).__name__}: {error}") from error


def _parse_answer(
    status: int, headers: Mapping[str, str], body: bytes, url: str, what: str, parse: Callable[[bytes], Parsed]
) -> Parsed:
    """Make sense of an answer, or say why there is none."""
    if status >= 500:
        raise _PassingError(f"status {status}: {start_of(body)}", status)
    if status >= 300:
        where = f" to {headers['Location']}" if "Location" in headers else ""
        raise SourceUnavailable(
            f"{what} could not be had: {url} answered with status {status}{where}: {start_of(body)}; "
            "it was tried once, as trying again would not help.",
            hint="The address or a parameter is wrong: look at source_url and per_page_rows.",
            status=status,
        )
    try:
        return parse(body)
    except UnexpectedAnswerError as error:
        raise _PassingError(f"status {status}, but {error}") from error


def _pause_s(headers: Mapping[str, str]) -> float:
    """Read `Retry-After`, which is a number of seconds or a date."""
    text = headers.get("Retry-After", "").strip()
    if text.isdecimal():
        return float(text)
    try:
        until = parsedate_to_datetime(text)
    except ValueError:
        return 1.0
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return max((until - datetime.now(UTC)).total_seconds(), 0.0)
