"""Keys of an archive: the same rule in a folder and in a bucket, so that one can be copied into the other."""

import re

_KEY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")
_LONGEST_KEY = 500  # a bucket takes 1,024 bytes with its prefix, a path on any disk as much


def checked(key: str) -> str:
    """The key. Raises ValueError if it is none: nothing may lead out of the archive, or hide in it."""
    if len(key) > _LONGEST_KEY or not _KEY.fullmatch(key):
        raise ValueError(f"{key!r} is no key of an archive")
    return key
