"""What a SQLite log says of itself, read without opening it as a log: also while its files are being replaced."""

from contextlib import closing
from pathlib import Path

import apsw

from streams.errors import FailedPrecondition
from streams.storage.sqlite import explain_open_errors


def read_stamp(path: Path, key: str) -> str:
    """A stamp of the log in this file: `log_id`, `format`, or `demo` ("0" or "1"); empty where there is no file.

    Raises FailedPrecondition where the file is no log of iv3, LogUnavailable where it cannot be read now.
    """
    if not path.exists():
        return ""
    try:
        with (
            explain_open_errors(path),
            closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)) as connection,
        ):
            return str(connection.execute("SELECT v FROM meta WHERE k=?", (key,)).fetchone()[0])
    except (apsw.NotADBError, apsw.CorruptError, apsw.SQLError, TypeError) as error:
        raise FailedPrecondition(f"{path} is no log of iv3: {error}.") from None
