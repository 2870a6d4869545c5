"""Putting another log in the place of one, so that every process sees the old one or the new one, whole, and nobody
writes to a file that is gone.
"""

from collections.abc import Collection, Mapping
from contextlib import closing
from pathlib import Path

import apsw

from schemas.model import Partition
from streams.errors import InUse
from streams.storage.files import sync_folder, write_durably

_SIGN = ".exchanging"
_PATIENCE_MS = 2_000


def refuse_exchanging(path: Path) -> None:
    """Raise InUse while the log of this path is being exchanged for another."""
    if _sign(path).exists():
        raise InUse(
            f"{path} is being exchanged for a log without an erased person. If that was interrupted, run "
            "the same `iv3 person erase` again; it ends it."
        )


def take_sign_down(path: Path) -> None:
    """Allow the log to be opened again; for whoever knows that no exchange is under way."""
    if _sign(path).exists():
        _sign(path).unlink()
        sync_folder(path.parent)


def replace_log(path: Path, fresh: Path, heads: Mapping[Partition, int], topics: Collection[str]) -> None:
    """Rename `fresh` to `path`, if these topics of the log there still end at `heads` and nobody has it open; it is
    gone then.

    Killed at any moment, it leaves the one or the other. Raises InUse where it cannot be done; nothing was
    changed then.
    """
    write_durably(_sign(path), b"")
    try:
        _settle(path)
        if _heads(path, topics) != dict(heads):
            raise InUse("Somebody wrote to the log meanwhile. Nothing was changed. Run the same command again.")
        _settle(fresh)
    except BaseException:
        take_sign_down(path)
        raise
    fresh.replace(path)
    sync_folder(path.parent)
    take_sign_down(path)


def _sign(path: Path) -> Path:
    return path.with_name(path.name + _SIGN)


def _settle(path: Path) -> None:
    """Leave one file where there were three. SQLite does that only for the last who has it open."""
    with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)) as connection:
        connection.set_busy_timeout(_PATIENCE_MS)
        try:
            connection.execute("PRAGMA synchronous=EXTRA")
            mode = connection.execute("PRAGMA journal_mode=DELETE").fetchone()[0]
        except apsw.BusyError:
            mode = "busy"
    if mode != "delete" or path.with_name(path.name + "-wal").exists():
        raise InUse(
            f"Another process has {path} open: an `iv3 token`, `iv3 backup`, `iv3 doctor`, or a database "
            "tool. Let it end, and run the same command again."
        )


def _heads(path: Path, topics: Collection[str]) -> dict[Partition, int]:
    with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as connection:
        rows = connection.execute("SELECT name, part, next FROM heads JOIN topics ON id=topic WHERE next>0").fetchall()
    return {(name, part): head for name, part, head in rows if name in topics}
