"""A proxy of the emulator of AWS that loses responses and refuses requests on demand."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_NOT_FORWARDED = ("transfer-encoding", "connection", "content-length")


@dataclass
class Fault:
    """What happens to the requests that match a pattern, such as `PUT .*run.lock` or `AWSGlue.UpdateTable`.

    Attributes:
        is_performed: Whether the request reaches the emulator, so that only its response is lost.
        status: Of the response; None closes the connection instead.
        code: Error code in the body of the response.
        skip: How many matching requests pass first.
        times: How many of the following ones fail; None is the first of each request line.
    """

    pattern: str
    is_performed: bool = True
    status: int | None = None
    code: str = "InternalError"
    skip: int = 0
    times: int | None = 1
    hits: list[str] = field(default_factory=list)


def lost(pattern: str, *, status: int | None = None, skip: int = 0, times: int | None = 1) -> Fault:
    """Perform requests, but close the connection, or report a status, instead of responding."""
    return Fault(pattern, status=status, skip=skip, times=times)


def refused(pattern: str, status: int, code: str, *, skip: int = 0, times: int = 1) -> Fault:
    """Refuse requests with a status and an error code."""
    return Fault(pattern, is_performed=False, status=status, code=code, skip=skip, times=times)


class FaultProxy:
    """Forwards requests to an emulator, except those with a fault.

    Attributes:
        url: Its address.
        faults: Tried in order; the first that matches a request applies.
        before: Called with each request line before it is forwarded.
    """

    def __init__(self, target: str) -> None:
        self.faults: list[Fault] = []
        self.before: Callable[[str], object] = lambda _: None
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler(target.removeprefix("http://")))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def fail(self, *faults: Fault) -> Fault:
        """Replace the faults; return the first."""
        self.faults = [*faults]
        return faults[0]

    def close(self) -> None:
        """Stop it."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _fault(self, line: str) -> Fault | None:
        with self._lock:
            for fault in self.faults:
                if re.search(fault.pattern, line):
                    if fault.skip:
                        fault.skip -= 1
                    elif line not in fault.hits if fault.times is None else len(fault.hits) < fault.times:
                        fault.hits.append(line)
                        return fault
        return None

    def _handler(self, target: str) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = -1

            def forward(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                line = f"{self.command} {self.path} {self.headers.get('X-Amz-Target', '')}".rstrip()
                proxy.before(line)
                fault = proxy._fault(line)
                response = _forward(target, self, body) if fault is None or fault.is_performed else None
                if response is not None and fault is None:
                    self._respond(*response)
                elif fault is None or fault.status is None:
                    self.close_connection = True
                else:
                    error = f"<Error><Code>{fault.code}</Code><Message>Injected.</Message></Error>"
                    self._respond(fault.status, {"Content-Type": "application/xml"}, error.encode())

            def _respond(self, status: int, headers: Mapping[str, str], content: bytes) -> None:
                self.send_response(status)
                for name, value in {"Content-Length": str(len(content)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(content)

            do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = forward  # noqa: N815 - the names of http.server

            def log_message(self, *_: object) -> None: ...

        return Handler


def _forward(target: str, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, dict[str, str], bytes]:
    connection = HTTPConnection(target, timeout=30)
    connection.request(request.command, request.path, body, dict(request.headers.items()))
    response = connection.getresponse()
    content = response.read()
    connection.close()
    headers = {name: value for name, value in response.getheaders() if name.lower() not in _NOT_FORWARDED}
    length = response.getheader("Content-Length") if request.command == "HEAD" else None
    return response.status, {**headers, **({"Content-Length": length} if length else {})}, content
