"""The catalog's SQLite file: entries with their history, and the newest of everything else. A fold of the log, so it is
never synced hard and is emptied when it belongs to another log.
"""

import json
from pathlib import Path

from processors.readings import CanonicalReadings
from schemas.model import Partition
from streams.storage.sqlite import Connection, connect_derived

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


def open_catalog(path: Path, log_id: str) -> Connection:
    """The file of a catalog, for the loop's own thread."""
    return connect_derived(path, _SCHEMA, _TABLES, f"{FORMAT}/{log_id}")


def positions_in(db: Connection) -> dict[Partition, int]:
    """The next offset of each partition that it has not seen."""
    return {(topic, part): head for topic, part, head in db.execute("SELECT topic, part, next FROM positions")}


def lines_in(db: Connection) -> dict[str, CanonicalReadings]:
    """The last readings of each person."""
    rows = db.execute("SELECT person, readings FROM lines")
    return {person: CanonicalReadings.load(json.loads(state)) for person, state in rows}
