"""What a process remembers of AWS, forgotten when a test enters another account."""

from __future__ import annotations

from brewhouse.lake import object_cache, s3


def forget() -> None:
    """Forget the session, the clients, the open buckets and the cached objects."""
    for cached in (s3.session, s3.client, s3.bucket_store, object_cache.filesystem):
        cached.cache_clear()
