"""What a process remembers of AWS, forgotten when a test enters another account."""

from __future__ import annotations

import functools

from brewhouse.lake import object_cache, s3


def forget() -> None:
    """Forget the session, the clients, the open buckets and the cached objects."""
    for cached in (s3.session, s3.client, s3.bucket_store, object_cache.filesystem):
        cached.cache_clear()


@functools.cache
def share_service_models() -> None:
    """Share botocore's models of services between sessions: loading them takes most of a command's time."""
    from botocore import session
    from botocore.loaders import create_loader

    loader = create_loader()
    session.create_loader = lambda *_: loader
