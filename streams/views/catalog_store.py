"""The catalog's SQLite file: entries with their history, and the newest of everything else. A fold of the log, so it is
never synced hard and is emptied when it belongs to another log.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from processors.entries import is_entry_event
from processors.readings import CanonicalReadings
from schemas.envelope import Event
from schemas.model import Partition
from streams.storage.sqlite import Connection, connect
from streams.views.catalog_alerts import CatalogAlerts
from streams.views.catalog_entries import CatalogEntries

FORMAT = "3"
_TABLES = ("positions", "entries", "versions", "conflicts", "newest", "tokens", "episodes", "lines")
_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta(k TEXT PRIMARY KEY, v TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS positions(topic TEXT, part INTEGER, next INTEGER NOT NULL, PRIMARY KEY(topic,
  part)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS entries(id TEXT PRIMARY KEY, person TEXT NOT NULL, kind TEXT NOT NULL,
  time_ms INTEGER NOT NULL,
  revision INTEGER NOT NULL, deleted INTEGER NOT NULL, data TEXT NOT NULL, recorded_ms INTEGER NOT NULL, actor TEXT,
  created_ms INTEGER NOT NULL, part INTEGER NOT NULL, off INTEGER NOT NULL, requestkey TEXT) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS entries_by_time ON entries(person, time_ms, id);
CREATE INDEX IF NOT EXISTS entries_by_request ON entries(requestkey) WHERE requestkey IS NOT NULL;
CREATE TABLE IF NOT EXISTS versions(id TEXT, revision INTEGER, kind TEXT NOT NULL, time_ms INTEGER NOT NULL,
  deleted INTEGER NOT NULL,
  data TEXT NOT NULL, recorded_ms INTEGER NOT NULL, actor TEXT, event_id TEXT NOT NULL, PRIMARY KEY(id,
    revision)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS conflicts(event_id TEXT PRIMARY KEY, id TEXT NOT NULL, revision INTEGER NOT NULL,
  body TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS newest(person TEXT, what TEXT, body BLOB NOT NULL, PRIMARY KEY(person, what)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tokens(id TEXT PRIMARY KEY, sha256 TEXT NOT NULL, revoked INTEGER NOT NULL,
  body BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS tokens_by_hash ON tokens(sha256);
CREATE TABLE IF NOT EXISTS episodes(id TEXT PRIMARY KEY, person TEXT NOT NULL, kind TEXT NOT NULL,
  opened_ms INTEGER NOT NULL,
  closed_ms INTEGER, body TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS episodes_by_time ON episodes(person, opened_ms);
CREATE TABLE IF NOT EXISTS lines(person TEXT PRIMARY KEY, readings TEXT NOT NULL) WITHOUT ROWID;
"""


class CatalogAnswers(CatalogEntries, CatalogAlerts):
    """Every question of `Catalog` that a look-up in the file answers."""


class CatalogStore(CatalogAnswers):
    """The file, and the fold of events into it. One connection, in the loop's own thread."""

    def __init__(self, path: Path, log_id: str) -> None:
        self.connection = connect(path)
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.execute("BEGIN IMMEDIATE")
        self._db.execute(_SCHEMA)
        stamp = f"{FORMAT}/{log_id}"
        row = self._db.execute("SELECT v FROM meta WHERE k='log'").fetchone()
        if row is not None and row[0] != stamp:
            for table in _TABLES:
                self._db.execute(f"DELETE FROM {table}")
        self._db.execute("INSERT OR REPLACE INTO meta VALUES ('log', ?)", (stamp,))
        self._db.execute("COMMIT")

    @property
    def _db(self) -> Connection:
        return self.connection

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing."""
        with self._db:
            yield

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    # -- where it is -------------------------------------------------------------------------------

    def positions(self) -> dict[Partition, int]:
        """The next offset of each partition it has not seen."""
        return {
            (topic, part): head for topic, part, head in self._db.execute("SELECT topic, part, next FROM positions")
        }

    def save_position(self, topic: str, partition: int, head: int) -> None:
        """Remember it."""
        self._db.execute("INSERT OR REPLACE INTO positions VALUES (?,?,?)", (topic, partition, head))

    def lines(self) -> dict[str, CanonicalReadings]:
        """The last readings of each person."""
        rows = self._db.execute("SELECT person, readings FROM lines")
        return {person: CanonicalReadings.load(json.loads(state)) for person, state in rows}

    def save_line(self, person: str, line: CanonicalReadings) -> None:
        """Remember them."""
        self._db.execute("INSERT OR REPLACE INTO lines VALUES (?,?)", (person, json.dumps(line.dump())))

    # -- the fold ----------------------------------------------------------------------------------

    def evolve(self, event: Event, partition: int, offset: int) -> str:
        """Take an event in; return the word for what it changed, or an empty one."""
        if is_entry_event(event):
            return self.evolve_entry(event, partition, offset)
        return self.evolve_people(event) or self.evolve_alerts(event)
