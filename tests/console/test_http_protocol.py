"""Connections: a client that does not send its request in time is dropped, others are served."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from brewhouse.console.http_protocol import PunctualProtocol

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class HurriedProtocol(PunctualProtocol):
    request_s = 0.3


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    """Respond to any request once its body is complete."""
    assert scope["type"] == "http"
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"hi"})


@pytest.fixture(scope="module")
def address() -> Iterator[tuple[str, int]]:
    """A server whose clients have 0.3 seconds for a request."""
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        hello, http=HurriedProtocol, lifespan="off", log_level="critical", ws="none", timeout_keep_alive=1
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.01)
    yield listening.getsockname()
    server.should_exit = True
    thread.join()
    listening.close()


@pytest.mark.parametrize(
    "sent",
    [b"", b"GET / HT", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf", REQUEST + b"GET"],
    ids=["nothing", "a part of the head", "a part of the body", "one request and a part of the next"],
)
def test_a_connection_without_a_whole_request_is_dropped(address: tuple[str, int], sent: bytes) -> None:
    with socket.create_connection(address, timeout=20) as client:
        client.sendall(sent)
        received = b""
        try:
            while part := client.recv(1000):
                received += part
        except ConnectionResetError:
            pass
    assert received.endswith(b"hi") is sent.startswith(REQUEST)


def test_a_request_in_time_is_served_and_the_connection_is_kept(address: tuple[str, int]) -> None:
    with socket.create_connection(address, timeout=20) as client:
        for _ in range(2):
            client.sendall(REQUEST)
            received = b""
            while not received.endswith(b"hi"):
                received += client.recv(1000)
