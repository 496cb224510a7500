"""A strict local implementation of the Open Brewery DB API with fault injection."""

from __future__ import annotations

import threading
import time
from collections import deque
from itertools import chain
from typing import TYPE_CHECKING

import msgspec
from tests.mock_api.dialects import Dialect
from tests.mock_api.faults import Fault, parse_faults
from tests.mock_api.http_server import HOST, Server
from tests.mock_api.mutable_dataset import Dataset
from tests.mock_api.service import Service
from tests.mock_api.throttle import Throttle

from brewhouse.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import TracebackType
    from typing import Self

    from tests.mock_api.http_server import Request, Response


class Served(msgspec.Struct, frozen=True):
    """A served request.

    Args:
        method: The HTTP method.
        path: The path, decoded.
        params: The parameters, decoded.
        query: The query as sent.
        headers: Request headers; names in lower case.
        status: The status of the answer; 0 if the connection was reset.
        at_s: Seconds since the epoch.
    """

    method: str
    path: str
    params: dict[str, str]
    query: str
    headers: dict[str, str]
    status: int
    at_s: float


class MockApiServer:
    r"""The API on 127.0.0.1, in a background thread.

    Args:
        records: Breweries as dicts, encoded as PHP does.
        raw_records: Breweries as JSON text, served verbatim in any dialect.
        port: 0 selects a free port.
        throttle: Limit requests and send rate-limit headers.
        limit_per_minute: Requests per client and window.
        window_s: Length of a window in seconds.
        dialect: The release to implement.
        faults: Faults to inject, each a `Fault` or its text.
        seed: Seed of the unstable orders.
        requests_kept: Number of latest requests kept in `requests`.

    Raises:
        UsageError: The dialect or a fault is invalid, or the previous release is combined with a throttle.

    Example:
        >>> from urllib.request import urlopen
        >>> with MockApiServer([{"id": "b", "name": "Malt/Hops"}, {"id": "a"}]) as server:
        ...     with urlopen(f"{server.url}/breweries?sort=id:asc") as answer:
        ...         print(answer.read().decode())
        [{"id":"a"},{"id":"b","name":"Malt\/Hops"}]
        >>> [(served.path, served.status) for served in server.requests]
        [('/v1/breweries', 200)]
    """

    def __init__(
        self,
        records: Iterable[Mapping[str, object]] = (),
        *,
        raw_records: Iterable[bytes] = (),
        port: int = 0,
        throttle: bool = False,
        limit_per_minute: int = 120,
        window_s: float = 60.0,
        dialect: Dialect | str = Dialect.CURRENT,
        faults: Iterable[Fault | str] = (),
        seed: int = 1,
        requests_kept: int = 10_000,
    ) -> None:
        if dialect not in tuple(Dialect):
            raise UsageError(f"Unknown dialect '{dialect}'.", hint=f"Dialects: {', '.join(Dialect)}.")
        if throttle and dialect == Dialect.PREVIOUS:
            raise UsageError("The previous release has no throttle.", hint="Remove one of the two.")
        parsed = parse_faults(faults)
        self._lock = threading.RLock()
        self._dataset = Dataset(chain(records, raw_records), Dialect(dialect))
        self._service = Service(self._dataset, Throttle(limit_per_minute, window_s) if throttle else None, seed=seed)
        self._served: deque[Served] = deque(maxlen=requests_kept)
        self._port = port
        self._server: Server | None = None
        self._stopped = threading.Event()
        self.inject(*parsed)

    @property
    def url(self) -> str:
        """The base URL for a client; the port is known once it is started."""
        return f"http://{HOST}:{self._port}/v1"

    @property
    def requests(self) -> list[Served]:
        """The latest requests, the oldest first."""
        with self._lock:
            return list(self._served)

    def __len__(self) -> int:
        return len(self._dataset.store)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Listen, unless it does already.

        Raises:
            BrewhouseError: The port is in use.
        """
        if self._server is None:
            server = Server(self._answer, self._port)
            server.start()
            self._server, self._port = server, server.port
            self._stopped.clear()

    def stop(self) -> None:
        """Close the port and every connection; `start` reopens the same port."""
        if self._server is not None:
            self._server.stop()
            self._server = None
        self._stopped.set()

    def serve_forever(self) -> None:
        """Serve until `stop` is called or the process is interrupted with Ctrl-C."""
        self.start()
        try:
            self._stopped.wait()
        except KeyboardInterrupt:
            pass
        finally:
            self.stop()

    def add(self, records: Iterable[Mapping[str, object] | bytes]) -> None:
        """Add breweries, replacing those with the same ids."""
        with self._lock:
            self._dataset.add(records)

    def remove(self, ids: Iterable[str]) -> None:
        """Remove breweries."""
        with self._lock:
            self._dataset.store.remove(ids)

    def change(self, brewery_id: str, /, **fields: object) -> None:
        """Change fields of a brewery; `state` and `street` follow the fields they repeat.

        Raises:
            UsageError: The id is unknown.
        """
        with self._lock:
            self._dataset.change({brewery_id: fields})

    def fill(self) -> None:
        """Serve all breweries again after the fault `partial`."""
        with self._lock:
            self._dataset.fill()

    def inject(self, *faults: Fault | str) -> None:
        """Replace the injected faults; without arguments, remove them."""
        parsed = parse_faults(faults)
        with self._lock:
            self._dataset.inject(parsed)
            self._service.inject(parsed)

    def forget(self) -> None:
        """Clear the list of requests."""
        with self._lock:
            self._served.clear()

    def _answer(self, request: Request) -> Response:
        with self._lock:
            answer = self._service.answer(request)
            status = 0 if answer.reset else answer.status
            served = Served(
                request.method,
                request.path,
                request.params,
                request.query,
                request.headers,
                status,
                time.time(),
            )
            self._served.append(served)
            return answer
