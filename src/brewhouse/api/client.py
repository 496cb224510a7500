"""HTTP client of the source: rate-limited requests, with retries of transient errors."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar
from urllib.request import getproxies, proxy_bypass

import stamina
import yarl

from brewhouse.api.contract import Records, excerpt, parse_meta, parse_page
from brewhouse.api.rate_limit import WINDOW_S, RateLimit, retry_after_s
from brewhouse.api.source_errors import (
    BadResponseError,
    PermanentSourceError,
    SourceError,
    SourceUnavailable,
    TransientSourceError,
    UnusableResponseError,
)
from brewhouse.settings import SecretUrl, Settings
from brewhouse.source import Meta


class _DeferredContext(ssl.SSLContext):
    """Loads the certificate authorities with the first TLS connection; aiohttp does when it is imported, in 0.03 s."""

    def wrap_bio(self, *arguments: Any, **options: Any) -> ssl.SSLObject:  # noqa: ANN401 - as in `ssl`
        self.__class__ = ssl.SSLContext  # type: ignore[assignment]
        self.set_default_verify_paths()
        return self.wrap_bio(*arguments, **options)


def _defer(context: ssl.SSLContext) -> None:
    context.__class__ = _DeferredContext


ssl.SSLContext.set_default_verify_paths = _defer  # type: ignore[assignment]
try:
    import aiohttp
finally:
    del ssl.SSLContext.set_default_verify_paths

_HEADERS = {"Accept": "application/json", "Cache-Control": "no-cache", "User-Agent": "brewhouse"}
_MAX_PAUSES = 19
_MAX_PAUSE_S = 900.0
_TRANSIENT_STATUSES = {408, 421, 423, 425}  # timeout, wrong connection, locked, too early: RFC 9110, 4918 and 8470

_CHECK_PROXY = "Check the proxy in the variables http_proxy and https_proxy, or exclude the source with no_proxy."

Parsed = TypeVar("Parsed")

_log = logging.getLogger(__name__)

stamina.instrumentation.set_on_retry_hooks(())  # the client logs its retries itself


@dataclass(frozen=True)
class PageResult:
    """A page of breweries, as the source returned it.

    Attributes:
        status: HTTP status of the response; 5xx when the rows could only be fetched in smaller pages.
        fetched_at: ISO 8601, UTC.
        missing_rows: Offsets, from 0, of rows that the source cannot return.
    """

    url: str
    status: int
    fetched_at: str
    lines: list[bytes]
    records: Records
    missing_rows: list[int] = field(default_factory=list)


class _Response(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes


class Client:
    """Fetch from one source, within its rate limit."""

    def __init__(self, settings: Settings, window_s: float = WINDOW_S) -> None:
        self._settings = settings
        self.headers: Mapping[str, str] = {}
        self._rate_limit = RateLimit(window_s)

    async def __aenter__(self) -> Client:
        self._http = aiohttp.ClientSession(
            headers=_HEADERS,
            timeout=aiohttp.ClientTimeout(total=self._settings.timeout_s),
            cookie_jar=aiohttp.DummyCookieJar(),
            proxy=_proxy(self._settings.source_url),
            middlewares=(_send_only_once,),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.close()

    def page_url(self, page: int, size: int) -> str:
        """Return the URL of a page of breweries, ordered by id."""
        return f"{self._settings.source_url}/breweries?per_page={size}&page={page}&sort=id:asc"

    async def meta(self) -> tuple[Meta, list[str]]:
        """Fetch the source's own counts, and the names of their deviations from the contract.

        Raises:
            PermanentSourceError: The request failed, after retries if it was transient.
        """
        url = f"{self._settings.source_url}/breweries/meta"
        return await self._fetch(url, "the source's own counts", parse_meta, self._settings.max_attempts)

    async def page(self, page: int, size: int, attempts: int | None = None) -> PageResult:
        """Fetch a page of breweries, ordered by id; `attempts` defaults to `max_attempts` of the settings.

        Raises:
            PermanentSourceError: The request failed, after retries if it was transient.
        """
        url = self.page_url(page, size)
        attempts = attempts or self._settings.max_attempts
        lines, records = await self._fetch(url, f"page {page} of breweries", parse_page, attempts)
        return PageResult(url, 200, datetime.now(UTC).isoformat(timespec="milliseconds"), lines, records)

    async def _fetch(self, url: str, what: str, parse: Callable[[bytes], Parsed], attempts: int) -> Parsed:
        settings = self._settings
        try:
            async for attempt in stamina.retry_context(
                on=TransientSourceError,
                attempts=attempts,
                timeout=None,
                wait_initial=settings.retry_initial_wait_s,
                wait_max=settings.retry_wait_max_s,
                wait_jitter=settings.retry_initial_wait_s,
            ):
                with attempt:
                    try:
                        return _parse_response(await self._send(url), parse, url, what)
                    except TransientSourceError as error:
                        _log.warning("attempt %d of %d of %s failed: %s", attempt.num, attempts, url, error.what)
                        raise
        except TransientSourceError as error:
            failure = f"Failed to fetch {what} from {url} after {attempts} attempt(s): {error.what}."
            hint = error.hint or "The source may be down: run again later, fetched pages are kept."
            if isinstance(error, BadResponseError):
                raise UnusableResponseError(failure, hint, error.status) from error
            raise SourceUnavailable(failure, hint) from error
        raise AssertionError("a retry ends with a value or an error")

    async def _send(self, url: str) -> _Response:
        """Send a request; while the response is a 429, wait as long as it asks and send again."""
        waits = 0
        waited_s = 0.0
        while (response := await self._send_once(url)).status == 429:
            pause_s = max(retry_after_s(response.headers), self._settings.retry_initial_wait_s)
            waited_s += pause_s
            if waits == _MAX_PAUSES or waited_s > _MAX_PAUSE_S:
                raise PermanentSourceError(
                    f"{url} is rate-limited (status 429): the source asks to wait {pause_s:.0f} s after {waits} waits.",
                    hint="Run again later, fetched pages are kept; another client may use up this IP address's limit.",
                )
            _log.warning("%s is rate-limited (status 429); waiting %g s", url, pause_s)
            self._rate_limit.pause(pause_s)
            waits += 1
        return response

    async def _send_once(self, url: str) -> _Response:
        await self._rate_limit.acquire()
        headers: Mapping[str, str] | None = None
        try:
            resource, _, query = url.removeprefix(str(self._settings.source_url)).partition("?")
            full_url = yarl.URL(self._settings.source_url.resource(resource, query))
            async with self._http.get(full_url, allow_redirects=False) as response:
                headers = self.headers = response.headers
                return _Response(response.status, headers, await self._body(response))
        except aiohttp.ClientError as error:
            raise _translated(error) from error
        except TimeoutError as error:
            raise BadResponseError(f"no complete response within {self._settings.timeout_s:g} s") from error
        finally:
            self._rate_limit.release(headers)

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for part in response.content.iter_any():
            body += part
            if len(body) > self._settings.max_body_bytes:
                url = SecretUrl(str(response.url))
                raise PermanentSourceError(
                    f"The response of {url} is larger than {self._settings.max_body_bytes} bytes.",
                    hint="A page of breweries is smaller: check --source-url, or raise max_body_bytes.",
                )
        return bytes(body)


def _parse_url(url: SecretUrl, name: str, hint: str) -> yarl.URL:
    with suppress(ValueError):
        parsed = yarl.URL(url.reveal())
        (parsed.host or "").encode("idna")
        if parsed.scheme in {"http", "https"} and parsed.host:
            return parsed
    raise PermanentSourceError(f"{name} is not a valid URL.", hint)


def _proxy(url: SecretUrl) -> yarl.URL | None:
    """Find the proxy for a URL in the environment, once: aiohttp's `trust_env` looks it up in a thread per request."""
    parsed = _parse_url(url, str(url), hint="Start --source-url with http:// or https:// and the name of a host.")
    proxy = None if proxy_bypass(f"{parsed.host}:{parsed.port}") else getproxies().get(parsed.scheme)
    if not proxy:
        return None
    address = SecretUrl(proxy if "://" in proxy else f"http://{proxy}")  # as curl reads it
    return _parse_url(address, f"The variable {parsed.scheme}_proxy", "Set it to http://host:port of an HTTP proxy.")


async def _send_only_once(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Disable aiohttp's own retry after a lost connection: the rate limit counts every request."""
    try:
        return await send(request)
    except aiohttp.ClientError as error:
        raise _translated(error, request.proxy) from error


def _translated(error: aiohttp.ClientError, proxy: yarl.URL | None = None) -> SourceError:
    """Translate an error of the connection: to a permanent one if a retry would repeat it."""
    kind: type[SourceError] = TransientSourceError
    text = " ".join(str(error).split())
    hint = ""
    match error:
        case aiohttp.ClientConnectorCertificateError():
            kind = PermanentSourceError
            text = f"The certificate of {error.host}:{error.port} is not trusted: {error.certificate_error}."
            hint = "Check --source-url, or name the file of its certificate authority in SSL_CERT_FILE."
        case aiohttp.ClientHttpProxyError(status=status) if status < 500:
            kind, text, hint = PermanentSourceError, f"The proxy refused to connect: status {status}.", _CHECK_PROXY
        case aiohttp.ClientProxyConnectionError() | aiohttp.ClientHttpProxyError():
            text, hint = f"the proxy cannot be reached: {text}", _CHECK_PROXY
        case aiohttp.ClientConnectorDNSError():
            is_proxy = proxy is not None and error.host == proxy.host
            text = f"the {'proxy' if is_proxy else 'host'} {error.host} is not found: {text}"
            hint = _CHECK_PROXY if is_proxy else "Check --source-url and the network of this machine."
        case aiohttp.ClientConnectorSSLError():
            text = f"no TLS connection: {text}"
            hint = "Check whether --source-url starts with http:// or https://, or run again later."
        case aiohttp.ClientResponseError(message=message) if "content-encoding" in message:
            kind = PermanentSourceError
            text = f"The source sent an encoding that was not requested: {message.partition('. ')[0]}."
            hint = "Check --source-url, and the proxies between."
        case _:
            text = f"{type(error).__name__}: {text}"
    return kind(text, hint)


def _parse_response(response: _Response, parse: Callable[[bytes], Parsed], url: str, what: str) -> Parsed:
    """Parse the body of a successful response.

    Raises:
        TransientSourceError: It is an error that may pass, or its body is not what was requested.
        PermanentSourceError: It is a redirect or a client error.
    """
    status, headers, body = response
    if status >= 500 or 200 < status < 300:
        raise BadResponseError(f"status {status}: {excerpt(body)}", status=status if status >= 500 else None)
    if status in _TRANSIENT_STATUSES:
        raise TransientSourceError(f"status {status}: {excerpt(body)}")
    if status >= 300:
        target = f" to {str(SecretUrl(headers['Location']))[:200]}" if "Location" in headers else ""
        raise PermanentSourceError(
            f"Failed to fetch {what}: {url} responded with status {status}{target}: {excerpt(body)}. "
            "It was not retried, as the error is permanent.",
            hint=_CHECK_PROXY if status == 407 else "Check source_url and per_page_rows.",
        )
    try:
        return parse(body)
    except BadResponseError as error:  # which a header may explain
        named = (f", {name} {headers[name][:80]!r}" for name in ("Content-Type", "Content-Encoding") if name in headers)
        raise BadResponseError(error.what + "".join(named)) from error
