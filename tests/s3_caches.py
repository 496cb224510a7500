"""What a process remembers of AWS, forgotten when a test enters another account."""

from __future__ import annotations

import functools

from brewhouse.lake import object_cache, s3


def forget() -> None:
    """Forget the session, the clients, the open buckets and the cached objects."""
    for cached in (s3.session, s3.client, s3.bucket_store, object_cache.filesystem):
        cached.cache_clear()


@functools.cache
def keep_models() -> None:
    """Parse each of botocore's JSON files once per process: every session after `forget` would do it again."""
    from botocore.loaders import JSONFileLoader

    load, loaded = JSONFileLoader.load_file, {}

    def load_once(self: JSONFileLoader, file_path: str) -> object:
        if file_path not in loaded:
            loaded[file_path] = load(self, file_path)
        return loaded[file_path]

    JSONFileLoader.load_file = load_once
