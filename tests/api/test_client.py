"""One request to the source: what is tried again, what is not, and what is said when it fails."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable

import msgspec
import pytest
from tests.mock_api.server import MockApiServer

from brewhouse.api.client import Client, PageResult, SourceUnavailable, _pause_s
from brewhouse.api.contract import UnexpectedAnswerError, one_line, parse_meta, parse_page
from brewhouse.mock_api.dataset import generate
from brewhouse.settings import Settings
from brewhouse.source import Meta

ROWS = 30
PASSING = [
    "status=500",
    "status=503",
    "html",
    "reset",
    "truncated",
    "body=not_json",
    "body=object",
    "body=non_object",
    "body=empty",
]


def settings_for(url: str, **changes: object) -> Settings:
    chosen = {"retry_initial_wait_s": 0.001, "retry_wait_max_s": 0.002, "max_attempts": 4, **changes}
    return msgspec.convert({"source_url": url, **chosen}, Settings)


def window(settings: Settings, page: int = 1, size: int = 10) -> PageResult:
    async def ask() -> PageResult:
        async with Client(settings) as client:
            return await client.window(page, size)

    return asyncio.run(ask())


def meta(settings: Settings) -> Meta:
    async def ask() -> Meta:
        async with Client(settings) as client:
            return (await client.meta())[0]

    return asyncio.run(ask())


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def served_by(handler: Handler, **changes: object) -> PageResult:
    """Ask a server for a window that answers as the handler does."""
    server = await asyncio.start_server(handler, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        async with Client(settings_for(f"http://127.0.0.1:{port}", **changes)) as client:
            return await asyncio.wait_for(client.window(1, 10), 5)
    finally:
        server.close()
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("fault", PASSING)
def test_what_may_pass_is_tried_again(fault: str) -> None:
    with MockApiServer(generate(ROWS), faults=[f"{fault},times=3,endpoint=any"]) as stand_in:
        assert len(window(settings_for(stand_in.url)).lines) == 10
        assert len(stand_in.requests) == 4


@pytest.mark.parametrize("fault", PASSING)
def test_what_does_not_pass_is_told_with_address_page_answer_and_tries(fault: str) -> None:
    with MockApiServer(generate(ROWS), faults=[fault]) as stand_in:
        with pytest.raises(SourceUnavailable) as caught:
            window(settings_for(stand_in.url), page=2)
        assert len(stand_in.requests) == 4
        text = str(caught.value)
        assert f"{stand_in.url}/breweries?per_page=10&page=2&sort=id:asc" in text
        assert "Page 2" in text
        assert "in 4 tries" in text
        assert "run again later" in caught.value.hint


def test_a_slow_answer_is_given_up_and_asked_for_again() -> None:
    with MockApiServer(generate(ROWS), faults=["slow_s=0.5,times=1"]) as stand_in:
        assert len(window(settings_for(stand_in.url, timeout_s=0.1)).lines) == 10


@pytest.mark.parametrize(("variable", "is_passed"), [("", True), ("brewery.test", False), ("*", False)])
def test_a_proxy_of_the_environment_is_used_unless_the_source_is_excepted(
    monkeypatch: pytest.MonkeyPatch, variable: str, *, is_passed: bool
) -> None:
    asked = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 13\r\nConnection: close\r\n\r\n[{"id": "a"}]')
        writer.close()

    async def ask() -> PageResult:
        server = await asyncio.start_server(proxy, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        monkeypatch.setenv("http_proxy", f"http://someone:secret@127.0.0.1:{port}")
        monkeypatch.setenv("no_proxy", variable)
        try:
            async with Client(settings_for("http://brewery.test/v1", max_attempts=1)) as client:
                return await client.window(1, 10)
        finally:
            server.close()

    if is_passed:
        assert asyncio.run(ask()).lines == [b'{"id": "a"}']
        assert asked[0].startswith(b"GET http://brewery.test/v1/breweries?")
        assert b"Proxy-Authorization: Basic" in asked[0]
    else:
        with pytest.raises(SourceUnavailable, match=r"brewery\.test"):
            asyncio.run(ask())
        assert not asked


@pytest.mark.parametrize("status", [302, 400, 404, 422])
def test_a_refusal_is_not_tried_again(status: int) -> None:
    with MockApiServer(generate(ROWS), faults=[f"status={status}"]) as stand_in:
        with pytest.raises(SourceUnavailable, match=f"status {status}"):
            window(settings_for(stand_in.url))
        assert len(stand_in.requests) == 1


def test_a_redirect_is_not_followed_and_its_target_is_named() -> None:
    asked = []

    async def elsewhere(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 301 Moved\r\nLocation: /elsewhere\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    with pytest.raises(SourceUnavailable, match=r"301 to /elsewhere"):
        asyncio.run(served_by(elsewhere))
    assert len(asked) == 1


def test_a_page_too_large_is_refused_by_its_own_parameter_error() -> None:
    with MockApiServer(generate(ROWS)) as stand_in, pytest.raises(SourceUnavailable, match=r"422.*per.page"):
        window(settings_for(stand_in.url), size=201)


def test_a_body_over_the_limit_is_refused_once() -> None:
    with MockApiServer(generate(ROWS)) as stand_in:
        with pytest.raises(SourceUnavailable, match="more than 1000 bytes"):
            window(settings_for(stand_in.url, max_body_bytes=1000))
        assert len(stand_in.requests) == 1


def test_nobody_listening_is_a_source_unavailable() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    with pytest.raises(SourceUnavailable, match="ClientConnectorError"):
        window(settings_for(url, max_attempts=2))


@pytest.mark.parametrize("url", ["ftp://brewery.test/v1", "brewery.test/v1", "http://[::1/v1"])
def test_no_address_of_the_web_is_told_at_once(url: str) -> None:
    with pytest.raises(SourceUnavailable, match="no address of the web"):
        window(settings_for(url))


def test_the_requests_say_what_they_want() -> None:
    with MockApiServer(generate(ROWS)) as stand_in:
        window(settings_for(stand_in.url))
        (served,) = stand_in.requests
    assert served.headers["accept"] == "application/json"
    assert served.headers["cache-control"] == "no-cache"
    assert served.params == {"per_page": "10", "page": "1", "sort": "id:asc"}


@pytest.mark.parametrize(("dialect", "has_groups"), [("current", True), ("previous", False), ("clone", False)])
def test_the_counts_are_read_in_every_dialect(dialect: str, has_groups: bool) -> None:
    with MockApiServer(generate(ROWS), dialect=dialect) as stand_in:
        counts = meta(settings_for(stand_in.url))
    assert counts.total == ROWS
    assert (counts.by_type is not None) is has_groups


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"total": null}', b'{"total": -1}', b'{"total": "many"}', b"\xff"]
)
def test_what_has_no_counts_is_unexpected(body: bytes) -> None:
    with pytest.raises(UnexpectedAnswerError):
        parse_meta(body)


def test_an_empty_map_as_php_writes_it_is_an_empty_group() -> None:
    assert parse_meta(b'{"total":0,"by_type":[],"by_country":[],"by_state":[]}') == (
        Meta(total=0, by_type={}, by_country={}, by_state={}),
        [],
    )


@pytest.mark.parametrize("body", [b"", b"{}", b"[1]", b"[{]", b"[[]]", b"null", b'[{"a":"\xff"}]', b"<html>"])
def test_what_is_no_array_of_objects_is_unexpected(body: bytes) -> None:
    with pytest.raises(UnexpectedAnswerError):
        parse_page(body)


def test_line_breaks_become_blanks_and_nothing_else_changes() -> None:
    assert one_line([b'{\r\n "a":\t"x\\n\xc3\xbc" }', b"{}"]) == [b'{   "a":\t"x\\n\xc3\xbc" }', b"{}"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7", 7), ("100000", 100_000), ("", 1), ("soon", 1), ("Wed, 21 Oct 2015 07:28:00 GMT", 0), ("-5", 1)],
)
def test_retry_after_is_seconds_or_a_date(text: str, seconds: float) -> None:
    assert _pause_s({"Retry-After": text}) == seconds


def test_an_answer_that_trickles_is_given_up_in_time() -> None:
    """Each byte comes within the time-out, the whole does not."""

    async def trickle(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            while not writer.is_closing():
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.01)

    with pytest.raises(SourceUnavailable, match=r"nothing whole within 0\.1 s"):
        asyncio.run(served_by(trickle, timeout_s=0.1, max_attempts=1))
