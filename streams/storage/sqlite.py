"""SQLite connections as every file of ours is opened, and what their refusals mean."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

from streams.errors import FailedPrecondition, LogUnavailable

Connection = apsw.Connection
# What any call of a connection raises.
SqliteError = apsw.Error


def sqlite_version() -> str:
    """The version of SQLite that comes with apsw."""
    return str(apsw.sqlite_lib_version())


@contextmanager
def explain_open_errors(path: Path) -> Iterator[None]:
    """Say in a sentence why a SQLite file cannot be opened. A damaged one keeps its own error: a file that is derived
    is then made anew.

    Raises LogUnavailable where it may pass (a full or failing disk), FailedPrecondition where it will not.
    """
    try:
        yield
    except (apsw.NotADBError, apsw.CorruptError):
        raise
    except (apsw.ReadOnlyError, apsw.CantOpenError, apsw.PermissionsError, apsw.AuthError) as error:
        raise FailedPrecondition(
            f"{path} cannot be opened for writing ({error}): the folder is read-only, or belongs to somebody else."
        ) from None
    except (apsw.FullError, apsw.IOError) as error:
        raise LogUnavailable(
            f"{path} cannot be opened ({error}): the disk is full, or fails. Free some space; what was "
            "accepted is not lost."
        ) from None


def connect(path: Path | str, *, vfs: str | None = None) -> apsw.Connection:
    """A connection set up the way iv3 wants every SQLite file."""
    connection = apsw.Connection(str(path), vfs=vfs)
    connection.set_busy_timeout(30_000)
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "fullfsync=ON", "wal_autocheckpoint=2000"):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def connect_derived(path: Path, schema: str, tables: Iterable[str], stamp: str) -> apsw.Connection:
    """A connection to a file that is derived from the log of this stamp, and emptied where it was from another. Not
    synced at every commit, for the log can make it anew. The schema has a table `meta`.
    """
    connection = connect(path)
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(schema)
    row = connection.execute("SELECT v FROM meta WHERE k='log'").fetchone()
    if row is not None and row[0] != stamp:
        for table in tables:
            connection.execute(f"DELETE FROM {table}")
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('log', ?)", (stamp,))
    connection.execute("COMMIT")
    return connection
