"""The client: what a request sends, what is retried, and what the error of a failed request says."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import logging
import os
import shutil
import socket
import ssl
import subprocess
import sys
import zlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.mock_api.server import MockApiServer

from brewhouse.api.client import Client, PageResult
from brewhouse.api.source_errors import (
    BadResponseError,
    PermanentSourceError,
    SourceUnavailable,
    TransientSourceError,
    UnusableResponseError,
)
from brewhouse.errors import BrewhouseError
from brewhouse.mock_api.dataset import generate
from brewhouse.settings import SecretUrl, Settings
from brewhouse.source import Meta

ROWS = 30
BAD_RESPONSES = ["status=500", "html", "body=not_json", "body=object", "body=non_object", "body=empty"]
LOST_CONNECTIONS = ["reset", "truncated"]
ONE_BREWERY = b'[{"id": "a"}]'
TWICE = gzip.compress(gzip.compress(ONE_BREWERY, mtime=0), mtime=0)

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def settings_for(url: str, **changes: object) -> Settings:
    chosen = {"retry_initial_wait_s": 0.001, "retry_wait_max_s": 0.002, "max_attempts": 4, **changes}
    return msgspec.convert({"source_url": SecretUrl(url), **chosen}, Settings)


def fetch_page(settings: Settings, page: int = 1, size: int = 10) -> PageResult:
    async def fetch() -> PageResult:
        async with Client(settings) as client:
            return await client.page(page, size)

    return asyncio.run(fetch())


def fetch_meta(settings: Settings) -> Meta:
    async def fetch() -> Meta:
        async with Client(settings) as client:
            return (await client.meta())[0]

    return asyncio.run(fetch())


class RawServer:
    """A server that sends these bytes in response to each request, and closes the connection."""

    def __init__(self, *responses: bytes) -> None:
        self.requests: list[bytes] = []
        self._responses = responses

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.requests.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(self._responses[min(len(self.requests), len(self._responses)) - 1])
        writer.close()


def response(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers, "", ""]
    return "\r\n".join(head).encode() + body


def fetch_from(handler: Handler, *, host: str = "127.0.0.1", **changes: object) -> PageResult:
    served: list[asyncio.Task[Any]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.extend(task for task in [asyncio.current_task()] if task)
        await handler(reader, writer)
        writer.close()

    async def fetch() -> PageResult:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        try:
            async with server, Client(settings_for(f"http://{host}:{port}", **changes)) as client:
                return await asyncio.wait_for(client.page(1, 10), 5)
        finally:
            await asyncio.gather(*served)

    return asyncio.run(fetch())


# Requests


def test_a_request_sends_its_parameters_and_headers() -> None:
    with MockApiServer(generate(ROWS)) as api:
        fetch_page(settings_for(api.url), page=2)
        (served,) = api.requests
    assert served.params == {"per_page": "10", "page": "2", "sort": "id:asc"}
    assert served.headers["accept"] == "application/json"
    assert served.headers["cache-control"] == "no-cache"
    assert served.headers["user-agent"] == "brewhouse"


def test_a_page_keeps_its_url_status_time_and_the_bytes_of_each_record() -> None:
    with MockApiServer(raw_records=[b'{"id" : "a"}', b'{"id":"b"}']) as api:
        page = fetch_page(settings_for(api.url))
    assert page.url == f"{api.url}/breweries?per_page=10&page=1&sort=id:asc"
    assert (page.status, page.lines, page.missing_rows) == (200, [b'{"id" : "a"}', b'{"id":"b"}'], [])
    assert page.fetched_at.endswith("+00:00")


def test_cookies_of_the_source_are_not_sent_back() -> None:
    server = RawServer(response(b"oops", "500 Error", "Set-Cookie: session=1"), response(ONE_BREWERY))
    fetch_from(server, host="localhost")  # aiohttp keeps no cookies of an IP address anyway
    assert len(server.requests) == 2
    assert b"ookie" not in server.requests[1]


@pytest.mark.parametrize(("dialect", "has_groups"), [("current", True), ("previous", False), ("clone", False)])
def test_the_counts_are_read_in_every_dialect(dialect: str, has_groups: bool) -> None:
    with MockApiServer(generate(ROWS), dialect=dialect) as api:
        counts = fetch_meta(settings_for(api.url))
    assert counts.total == ROWS
    assert (counts.by_type is not None) is has_groups


@pytest.mark.parametrize("scheme", ["http://", ""])
def test_a_proxy_without_a_scheme_is_an_http_proxy(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    proxy = RawServer(response(ONE_BREWERY))

    async def fetch() -> PageResult:
        server = await asyncio.start_server(proxy, "127.0.0.1", 0)
        monkeypatch.setenv("http_proxy", f"{scheme}127.0.0.1:{server.sockets[0].getsockname()[1]}")
        async with server, Client(settings_for("http://brewery.test/v1")) as client:
            return await client.page(1, 10)

    assert asyncio.run(fetch()).lines == [b'{"id": "a"}']


@pytest.mark.parametrize("proxy", ["http://me:secret@host:port", "host:99999", "socks5://host:1080", "http://", "::"])
def test_an_invalid_proxy_is_permanent_and_its_password_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    monkeypatch.setenv("https_proxy", proxy)
    with pytest.raises(
        PermanentSourceError, match=r"variable https_proxy is not a valid URL.*http://host:port"
    ) as caught:
        fetch_page(settings_for("https://brewery.test/v1"))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("proxy", ["127.0.0.1:9", "proxy.invalid:3128"])
def test_a_proxy_that_cannot_be_reached_is_named(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("http_proxy", proxy)
    with pytest.raises(
        SourceUnavailable, match=r"the proxy .*(cannot be reached|is not found): .*Check the proxy"
    ) as caught:
        fetch_page(settings_for("http://brewery.test/v1", max_attempts=2))
    assert type(caught.value.__cause__) is TransientSourceError


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_demands_a_password_is_permanent(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    proxy = RawServer(response(b"", "407 Proxy Authentication Required"))

    async def fetch() -> PageResult:
        server = await asyncio.start_server(proxy, "127.0.0.1", 0)
        monkeypatch.setenv(f"{scheme}_proxy", f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
        async with server, Client(settings_for(f"{scheme}://brewery.test/v1")) as client:
            return await client.page(1, 10)

    with pytest.raises(PermanentSourceError, match=r"status 407.*Check the proxy"):
        asyncio.run(fetch())
    assert len(proxy.requests) == 1


@pytest.mark.parametrize(("no_proxy", "is_used"), [("", True), ("brewery.test", False), ("*", False)])
def test_the_proxy_of_the_environment_is_used_unless_the_source_is_excluded(
    monkeypatch: pytest.MonkeyPatch, no_proxy: str, *, is_used: bool
) -> None:
    proxy = RawServer(response(ONE_BREWERY))

    async def fetch() -> PageResult:
        server = await asyncio.start_server(proxy, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        monkeypatch.setenv("http_proxy", f"http://someone:secret@127.0.0.1:{port}")
        monkeypatch.setenv("no_proxy", no_proxy)
        async with server, Client(settings_for("http://brewery.test/v1", max_attempts=1)) as client:
            return await client.page(1, 10)

    if is_used:
        assert asyncio.run(fetch()).lines == [b'{"id": "a"}']
        assert proxy.requests[0].startswith(b"GET http://brewery.test/v1/breweries?")
        assert b"Proxy-Authorization: Basic" in proxy.requests[0]
    else:
        with pytest.raises(SourceUnavailable, match=r"brewery\.test"):
            asyncio.run(fetch())
        assert not proxy.requests


# Encodings and sizes


@pytest.mark.parametrize(
    ("encoding", "encode"), [("gzip", gzip.compress), ("deflate", zlib.compress), ("identity", bytes)]
)
def test_a_compressed_body_is_decoded(encoding: str, encode: Callable[[bytes], bytes]) -> None:
    body = encode(ONE_BREWERY)
    assert fetch_from(RawServer(response(body, "200 OK", f"Content-Encoding: {encoding}"))).lines == [b'{"id": "a"}']


def test_a_chunked_body_is_joined() -> None:
    chunks = b'4\r\n[{"i\r\n9\r\nd": "a"}]\r\n0\r\n\r\n'
    server = RawServer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n" + chunks)
    assert fetch_from(server).lines == [b'{"id": "a"}']


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1", "utf-8-sig"])
def test_a_body_that_is_not_plain_utf_8_is_a_bad_response(encoding: str) -> None:
    body = json.dumps([{"id": "Bräu"}], ensure_ascii=False).encode(encoding)
    with pytest.raises(UnusableResponseError, match="not a JSON array of objects"):
        fetch_from(RawServer(response(body)), max_attempts=1)


def test_a_body_at_the_size_limit_is_read_and_a_larger_one_is_rejected_without_a_retry() -> None:
    assert fetch_from(RawServer(response(ONE_BREWERY)), max_body_bytes=len(ONE_BREWERY)).lines
    server = RawServer(response(ONE_BREWERY))
    with pytest.raises(PermanentSourceError, match=r"larger than 12 bytes.*--source-url"):
        fetch_from(server, max_body_bytes=len(ONE_BREWERY) - 1)
    assert len(server.requests) == 1


def test_the_size_limit_applies_to_the_decompressed_body() -> None:
    body = gzip.compress(bytes(50_000_000))
    assert len(body) < 100_000
    with pytest.raises(PermanentSourceError, match="larger than 1000000 bytes"):
        fetch_from(RawServer(response(body, "200 OK", "Content-Encoding: gzip")), max_body_bytes=1_000_000)


@pytest.mark.parametrize(
    "encoding",
    [
        "br",
        pytest.param(
            "zstd",
            marks=pytest.mark.skipif(sys.version_info >= (3, 14), reason="Python 3.14 decodes zstd, so aiohttp does"),
        ),
    ],
)
def test_an_encoding_that_was_not_requested_is_permanent(encoding: str) -> None:
    server = RawServer(response(b"xyz", "200 OK", f"Content-Encoding: {encoding}"))
    with pytest.raises(PermanentSourceError, match=rf"not requested.*\({encoding}\).*Check --source-url"):
        fetch_from(server)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("body", "header", "cause"),
    [
        (TWICE, "Content-Encoding: gzip", "gzip data, compressed twice"),
        (
            TWICE,
            "Content-Encoding: gzip, gzip",
            "Content-Encoding 'gzip, gzip'",
        ),
        (gzip.compress(ONE_BREWERY, mtime=0), "X: y", "gzip data, .* without its Content-Encoding"),
        (b"<html>", "Content-Type: text/html", "Content-Type 'text/html'"),
    ],
)
def test_the_header_that_explains_an_unreadable_body_is_named(body: bytes, header: str, cause: str) -> None:
    with pytest.raises(UnusableResponseError, match=cause):
        fetch_from(RawServer(response(body, "200 OK", header)), max_attempts=1)


def test_a_readable_body_is_read_whatever_its_headers_say() -> None:
    headers = ("Content-Type: text/html", "Content-Encoding: utf-8")
    assert fetch_from(RawServer(response(ONE_BREWERY, "200 OK", *headers))).lines


# Transient errors


@pytest.mark.parametrize("fault", [*BAD_RESPONSES, *LOST_CONNECTIONS])
def test_a_transient_error_is_retried(fault: str) -> None:
    with MockApiServer(generate(ROWS), faults=[f"{fault},times=3,endpoint=any"]) as api:
        assert len(fetch_page(settings_for(api.url)).lines) == 10
        assert len(api.requests) == 4


@pytest.mark.parametrize("fault", [*BAD_RESPONSES, *LOST_CONNECTIONS])
def test_the_error_after_the_last_attempt_names_page_url_attempts_and_the_next_step(fault: str) -> None:
    with MockApiServer(generate(ROWS), faults=[fault]) as api:
        with pytest.raises(SourceUnavailable) as caught:
            fetch_page(settings_for(api.url), page=2)
        assert len(api.requests) == 4
    url = f"{api.url}/breweries?per_page=10&page=2&sort=id:asc"
    assert caught.value.what.startswith(f"Failed to fetch page 2 of breweries from {url} after 4 attempt(s):")
    assert "run again later" in caught.value.hint
    assert isinstance(caught.value, UnusableResponseError) is (fault in BAD_RESPONSES)
    assert type(caught.value.__cause__) is (BadResponseError if fault in BAD_RESPONSES else TransientSourceError)
    assert caught.value.exit_code == 1


@pytest.mark.parametrize("status", [500, 501, 502, 503, 504, 507, 520, 599])
def test_every_server_error_is_transient_and_its_status_is_kept(status: int) -> None:
    server = RawServer(response(b"down", f"{status} Down"))
    with pytest.raises(UnusableResponseError, match=f"status {status}: 'down'") as caught:
        fetch_from(server, max_attempts=2)
    assert caught.value.status == status
    assert len(server.requests) == 2


@pytest.mark.parametrize("status", [408, 421, 423, 425])
def test_a_client_error_that_may_pass_is_retried_and_says_nothing_about_rows(status: int) -> None:
    passing = RawServer(response(b"wait", f"{status} Wait"), response(ONE_BREWERY))
    assert fetch_from(passing).lines == [b'{"id": "a"}']
    lasting = RawServer(response(b"wait", f"{status} Wait"))
    with pytest.raises(SourceUnavailable, match=rf"after 3 attempt\(s\): status {status}: 'wait'") as caught:
        fetch_from(lasting, max_attempts=3)
    assert not isinstance(caught.value, UnusableResponseError)


@pytest.mark.parametrize("status", [201, 202, 203, 204, 206])
def test_a_success_without_a_whole_page_is_a_bad_response(status: int) -> None:
    with pytest.raises(UnusableResponseError, match=f"status {status}: "):
        fetch_from(RawServer(response(b"" if status == 204 else ONE_BREWERY, f"{status} Else")), max_attempts=1)


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (b"", "ServerDisconnectedError"),
        (b"this is not HTTP\r\n\r\n", "ClientResponseError|ClientOSError|BadStatusLine|ServerDisconnectedError"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n[{", "ClientPayloadError"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n",
            "ClientPayloadError|ClientResponseError",
        ),
        (response(b"\x1f\x8bnonsense", "200 OK", "Content-Encoding: gzip"), "ClientPayloadError|ContentEncodingError"),
    ],
    ids=["nothing", "not HTTP", "half a body", "broken chunks", "broken gzip"],
)
def test_a_response_that_breaks_off_is_a_lost_connection_and_each_request_is_sent_once(sent: bytes, error: str) -> None:
    server = RawServer(sent)
    with pytest.raises(SourceUnavailable, match=error) as caught:
        fetch_from(server, max_attempts=3)
    assert type(caught.value.__cause__) is TransientSourceError
    assert not isinstance(caught.value, UnusableResponseError)
    assert len(server.requests) == 3


def test_a_host_without_an_address_is_named() -> None:
    with pytest.raises(SourceUnavailable, match=r"the host brewery\.invalid is not found: .*Check --source-url"):
        fetch_page(settings_for("http://brewery.invalid/v1", max_attempts=1))


def test_a_refused_connection_is_a_lost_connection() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    with pytest.raises(SourceUnavailable, match=r"after 2 attempt\(s\): ClientConnectorError") as caught:
        fetch_page(settings_for(url, max_attempts=2))
    assert type(caught.value.__cause__) is TransientSourceError


def test_a_response_that_misses_the_timeout_is_retried() -> None:
    with MockApiServer(generate(ROWS), faults=["slow_s=0.5,times=1"]) as api:
        assert len(fetch_page(settings_for(api.url, timeout_s=0.1)).lines) == 10


def test_the_timeout_applies_to_the_whole_response_and_not_to_each_byte() -> None:
    async def trickle(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            while not writer.is_closing():
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.01)

    with pytest.raises(UnusableResponseError, match=r"after 1 attempt\(s\): no complete response within 0\.1 s"):
        fetch_from(trickle, timeout_s=0.1, max_attempts=1)


def test_each_failed_attempt_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), MockApiServer(generate(ROWS), faults=["status=503,times=2"]) as api:
        fetch_page(settings_for(api.url))
    messages = [record.getMessage() for record in caplog.records]
    assert [message.partition(" of http")[0] for message in messages] == ["attempt 1 of 4", "attempt 2 of 4"]
    assert all("failed: status 503" in message for message in messages)


# Permanent errors


@pytest.mark.parametrize("status", [300, 302, 303, 307, 308, 400, 401, 403, 404, 405, 409, 410, 413, 422, 451])
def test_a_redirect_or_client_error_is_permanent(status: int) -> None:
    with MockApiServer(generate(ROWS), faults=[f"status={status}"]) as api:
        with pytest.raises(PermanentSourceError, match=rf"status {status}\b.*not retried.*Check source_url") as caught:
            fetch_page(settings_for(api.url))
        assert len(api.requests) == 1
    assert not isinstance(caught.value, SourceUnavailable)


def test_a_redirect_is_not_followed_and_its_target_is_named() -> None:
    server = RawServer(response(b"", "301 Moved", "Location: /elsewhere"))
    with pytest.raises(PermanentSourceError, match=r"status 301 to /elsewhere: an empty body"):
        fetch_from(server)
    assert len(server.requests) == 1


@pytest.mark.parametrize("target", ["https://u:{}@host/x", "https://host/x?code={}", "https://host/x#access_token={}"])
def test_no_secret_in_the_target_of_a_redirect_is_printed(target: str) -> None:
    secret = "Zq7-of-the-source"
    location = target.format(secret)
    server = RawServer(response(f"<a href='{location}'>moved</a>".encode(), "302 Found", f"Location: {location}"))
    with pytest.raises(PermanentSourceError, match="status 302 to https://host/x: ") as caught:
        fetch_from(server)
    assert secret not in str(caught.value)


def serve_tls(tmp_path: Path, body: bytes, use: Callable[[str], Awaitable[None]]) -> None:
    """Answer requests over TLS, with the certificate in `certificate.pem`, while `use` works with the URL."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs openssl to create a certificate")
    file = tmp_path / "both.pem"
    command = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    command += " -addext subjectAltName=IP:127.0.0.1"
    subprocess.run(
        [openssl, *command.split(), "-keyout", file, "-out", tmp_path / "certificate.pem"],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "certificate.pem", file)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(response(body))
        writer.close()

    async def run() -> None:
        async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as server:
            await use(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1")

    asyncio.run(run())


def test_a_certificate_that_is_not_trusted_is_permanent(tmp_path: Path) -> None:
    async def fetch(url: str) -> None:
        async with Client(settings_for(url)) as client:
            await client.page(1, 10)

    with pytest.raises(
        PermanentSourceError, match=r"certificate of 127\.0\.0\.1:\d+ is not trusted: .*self.signed"
    ) as caught:
        serve_tls(tmp_path, ONE_BREWERY, fetch)
    assert "SSL_CERT_FILE" in caught.value.hint


def test_certificate_authorities_of_the_environment_are_trusted(tmp_path: Path) -> None:
    script = f"from {__name__} import *; print(fetch_page(settings_for(sys.argv[1])).lines)"

    async def fetch(url: str) -> None:
        variables = {**os.environ, "SSL_CERT_FILE": str(tmp_path / "certificate.pem")}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", script, url, stdout=subprocess.PIPE, env=variables, cwd=Path(__file__).parents[2]
        )
        printed, _ = await process.communicate()
        assert printed.decode().strip() == str([b'{"id": "a"}'])

    serve_tls(tmp_path, ONE_BREWERY, fetch)


def test_a_server_that_does_not_speak_tls_is_named() -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(response(b"", "400 Bad Request"))
        writer.close()

    async def fetch() -> None:
        server = await asyncio.start_server(plain, "127.0.0.1", 0)
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with server, Client(settings_for(url, max_attempts=1)) as client:
            await client.page(1, 10)

    with pytest.raises(SourceUnavailable, match=r"no TLS connection: .*starts with http:// or https://"):
        asyncio.run(fetch())


def test_the_reason_that_the_source_gives_is_quoted() -> None:
    with MockApiServer(generate(ROWS)) as api, pytest.raises(PermanentSourceError, match=r"422.*per.page"):
        fetch_page(settings_for(api.url), size=201)


@pytest.mark.parametrize(
    "url", ["ftp://brewery.test/v1", "brewery.test/v1", "http://[::1/v1", "http://", "", "http://a..b"]
)
def test_an_invalid_url_is_permanent(url: str) -> None:
    with pytest.raises(PermanentSourceError, match=r"not a valid URL.*--source-url"):
        fetch_page(settings_for(url))


def test_every_error_of_the_source_is_either_transient_or_permanent() -> None:
    transient: list[type[BrewhouseError]] = [TransientSourceError, BadResponseError]
    permanent: list[type[BrewhouseError]] = [SourceUnavailable, UnusableResponseError]
    assert all(issubclass(error, TransientSourceError) for error in transient)
    assert all(issubclass(error, PermanentSourceError) for error in permanent)
    assert not any(issubclass(error, TransientSourceError) for error in permanent)


# Concurrency


def test_concurrent_requests_each_get_their_own_page() -> None:
    async def fetch(settings: Settings) -> list[Any]:
        async with Client(settings) as client:
            pages = await asyncio.gather(*(client.page(number, 3) for number in range(1, 11)))
        return [key for page in pages for key in page.records.columns["id"]]

    with MockApiServer(generate(ROWS), faults=["status=500,every=3"]) as api:
        ids = asyncio.run(fetch(settings_for(api.url, max_attempts=20)))
    assert ids == sorted(str(row["id"]) for row in generate(ROWS))
