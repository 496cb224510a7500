"""A bucket of Amazon S3 as an object store that recognises its own writes and retries what S3 marks as transient.

A put may succeed although its response is lost. Sent again, a conditional put then fails because of its own object, so
the stored content decides: callers write an id of their run or of their own into it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import stamina
from obstore.exceptions import BaseError
from obstore.store import S3Store

from brewhouse.lake.aws_errors import meanings

stamina.instrumentation.set_on_retry_hooks(())  # an error that remains is reported once

_CODE = re.compile(r"status code: 4\d\d [\s\S]*?<Code>([\w.]+)</Code>")


class RetryingStore(S3Store):
    """An S3 store; obstore itself retries lost connections and the statuses 408, 429 and 5xx, but not error codes."""

    def put(self, path: str, file: Any, **options: Any) -> Any:  # noqa: ANN401 - as obstore's
        """Write an object; a conditional put also succeeds if the object has this content already."""
        send = super().put

        def attempt() -> Any:  # noqa: ANN401
            try:
                return send(path, file, **options)
            except BaseError:
                if isinstance(file, bytes) and "mode" in options and (own := self._own(path, file)):
                    return own
                raise

        return _retrying(attempt)

    def get(self, path: str, **options: Any) -> Any:  # noqa: ANN401
        """Read an object."""
        return _retrying(super().get, path, **options)

    def delete(self, paths: Any) -> None:  # noqa: ANN401
        """Delete objects."""
        _retrying(super().delete, paths)

    def list(self, prefix: str | None = None, **options: Any) -> Iterator[Any]:  # type: ignore[override]  # noqa: ANN401
        """List objects page by page."""
        start = super().list

        def first() -> tuple[Iterator[Any], Any]:
            pages = iter(start(prefix, **options))
            return pages, next(pages, [])

        pages, page = _retrying(first)
        yield page
        yield from pages

    def _own(self, path: str, content: bytes) -> dict[str, Any] | None:
        """Return the versions of an object if it has this content."""
        try:
            found = super().get(path)
            is_own = bytes(found.bytes()) == content
        except (BaseError, FileNotFoundError):
            return None
        return {"e_tag": found.meta["e_tag"], "version": found.meta["version"]} if is_own else None


def _is_transient(error: Exception) -> bool:
    code = _CODE.search(str(error))
    known = meanings().get(code[1]) if code else None
    return known is not None and known.is_transient


_retrying = stamina.RetryingCaller(attempts=5, timeout=60).on(_is_transient)
