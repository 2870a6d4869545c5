"""The catalog's SQLite file: entries with their history, and the newest of everything else. A fold of the log, so it is never synced hard
and is emptied when it belongs to another log.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from processors.alerting.episodes import is_repeat
from processors.entries import (
    TYPES,
    Conflict,
    EntryVersion,
    data_of,
    entry_id_of,
    evolve_entry,
    is_entry_event,
)
from processors.profiles import DEFAULT
from processors.readings import CanonicalReadings
from schemas.alerts import AlertsDecided, Delivered, Undeliverable
from schemas.envelope import Event, decode, encode
from schemas.facts import (
    ENTRY_FACTS,
    AlertAcknowledged,
    AlertsSnoozed,
    PersonAdded,
    PersonSuspended,
    ProfileChanged,
    SourceStateChanged,
    TokenIssued,
    TokenRevoked,
)
from schemas.model import Partition, ms
from streams.storage.sqlite import connect

FORMAT = "3"
_TABLES = ("positions", "entries", "versions", "conflicts", "newest", "tokens", "episodes", "lines")
_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta(k TEXT PRIMARY KEY, v TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS positions(topic TEXT, part INTEGER, next INTEGER NOT NULL, PRIMARY KEY(topic, part)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS entries(id TEXT PRIMARY KEY, person TEXT NOT NULL, kind TEXT NOT NULL, time_ms INTEGER NOT NULL,
  revision INTEGER NOT NULL, deleted INTEGER NOT NULL, data TEXT NOT NULL, recorded_ms INTEGER NOT NULL, actor TEXT,
  created_ms INTEGER NOT NULL, part INTEGER NOT NULL, off INTEGER NOT NULL, requestkey TEXT) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS entries_by_time ON entries(person, time_ms, id);
CREATE INDEX IF NOT EXISTS entries_by_request ON entries(requestkey) WHERE requestkey IS NOT NULL;
CREATE TABLE IF NOT EXISTS versions(id TEXT, revision INTEGER, kind TEXT NOT NULL, time_ms INTEGER NOT NULL, deleted INTEGER NOT NULL,
  data TEXT NOT NULL, recorded_ms INTEGER NOT NULL, actor TEXT, event_id TEXT NOT NULL, PRIMARY KEY(id, revision)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS conflicts(event_id TEXT PRIMARY KEY, id TEXT NOT NULL, revision INTEGER NOT NULL, body TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS newest(person TEXT, what TEXT, body BLOB NOT NULL, PRIMARY KEY(person, what)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tokens(id TEXT PRIMARY KEY, sha256 TEXT NOT NULL, revoked INTEGER NOT NULL, body BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS tokens_by_hash ON tokens(sha256);
CREATE TABLE IF NOT EXISTS episodes(id TEXT PRIMARY KEY, person TEXT NOT NULL, kind TEXT NOT NULL, opened_ms INTEGER NOT NULL,
  closed_ms INTEGER, body TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS episodes_by_time ON episodes(person, opened_ms);
CREATE TABLE IF NOT EXISTS lines(person TEXT PRIMARY KEY, readings TEXT NOT NULL) WITHOUT ROWID;
"""
_ENTRY = "id, person, kind, time_ms, revision, deleted, data, recorded_ms, actor"


class HistoryRow(NamedTuple):
    """One version of an entry."""

    revision: int
    kind: str
    time_ms: int
    deleted: bool
    data: dict[str, Any]
    recorded_ms: int
    actor: str | None


class CatalogStore:
    """Answers from one connection, in the loop's own thread: every question is a look-up by key that takes microseconds."""

    def __init__(self, path: Path, log_id: str) -> None:
        self._db = connect(path)
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
            return self._evolve_entry(event, partition, offset)
        match event.data:
            case ProfileChanged():
                self._keep_newest(event, "profile")
                return "profile"
            case SourceStateChanged():
                self._keep_newest(event, "source")
                return "source"
            case PersonAdded() | PersonSuspended():
                # The last word in the log counts, as in every other fold, whatever the clocks of those who said it.
                self._db.execute(
                    "INSERT OR REPLACE INTO newest VALUES (?,?,?)", (event.subject, "person", encode(event))
                )
                return "people"
            case AlertsSnoozed(kind=kind):
                self._keep_newest(event, f"snooze/{kind}")
                return "alerts"
            case AlertAcknowledged(episode=episode):
                self._keep_newest(event, "ack", episode)
                return "alerts"
            case TokenIssued(token_id=token_id, sha256=sha256):
                row = (token_id, sha256, 0, encode(event))
                self._db.execute("INSERT OR IGNORE INTO tokens VALUES (?,?,?,?)", row)
                return "tokens"
            case TokenRevoked(token_id=token_id):
                self._db.execute("UPDATE tokens SET revoked=1 WHERE id=?", (token_id,))
                return "tokens"
            case AlertsDecided() | Delivered() | Undeliverable():
                self._evolve_alerts(event)
                return "alerts"
            case _:
                return ""

    def _keep_newest(self, event: Event, what: str, whose: str | None = None) -> None:
        """The one accepted last is the newest; a repeat of an older one must not win."""
        owner = whose or event.subject
        known = self.newest(owner, what)
        if known is not None and known.recorded_ms > event.recorded_ms:
            return
        self._db.execute("INSERT OR REPLACE INTO newest VALUES (?,?,?)", (owner, what, encode(event)))

    def _evolve_entry(self, event: Event, partition: int, offset: int) -> str:
        entry_id = entry_id_of(event)
        after = evolve_entry(self.entry(entry_id), event)
        if after is None:
            return ""
        if isinstance(after, Conflict):
            if self.was_applied(entry_id, event.id):
                return ""  # a repeat of a change that was applied
            row = (event.id, entry_id, after.revision, encode(event).decode())
            self._db.execute("INSERT OR IGNORE INTO conflicts VALUES (?,?,?,?)", row)
            return "entries"
        data = json.dumps(data_of(after), ensure_ascii=False)
        self._db.execute(
            "INSERT INTO entries VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?8,?10,?11,?12) ON CONFLICT(id) DO UPDATE SET "
            "kind=?3, time_ms=?4, revision=?5, deleted=?6, data=?7, recorded_ms=?8, actor=?9",
            (*after[:6], data, after.recorded_ms, after.actor, partition, offset, event.requestkey),
        )
        row_ = (
            after.id,
            after.revision,
            after.kind,
            after.time_ms,
            after.deleted,
            data,
            after.recorded_ms,
            after.actor,
            event.id,
        )
        self._db.execute("INSERT OR IGNORE INTO versions VALUES (?,?,?,?,?,?,?,?,?)", row_)
        return "entries"

    def _evolve_alerts(self, event: Event) -> None:
        data = event.data
        if isinstance(data, Delivered | Undeliverable):
            known = self._episode_body(data.episode)
            if known is not None:
                word = "delivered" if isinstance(data, Delivered) else "undeliverable"
                known["deliveries"].append({"step": data.step, "target": data.target, "outcome": word, "at_ms": event.time_ms,
                                            "reason": getattr(data, "reason", "")})  # fmt: skip
                self._db.execute("UPDATE episodes SET body=? WHERE id=?", (json.dumps(known), data.episode))
            return
        if not isinstance(data, AlertsDecided) or self._is_repeat(event, data):
            return
        for change in data.events:
            body = self._episode_body(change.episode) or {"changes": [], "deliveries": []}
            row = change.model_dump(mode="json", exclude_none=True) | {"at_ms": ms(change.at)}
            if any(old["change"] == change.change and old["step"] == change.step for old in body["changes"]):
                continue
            body["changes"].append(row)
            closed = ms(change.at) if change.change in ("resolved", "expired") else None
            self._db.execute(
                "INSERT INTO episodes VALUES (?1,?2,?3,?4,?5,?6) ON CONFLICT(id) DO UPDATE SET closed_ms=coalesce(?5, closed_ms), body=?6",
                (
                    change.episode,
                    event.subject,
                    change.kind,
                    ms(change.at),
                    closed,
                    json.dumps(body, ensure_ascii=False),
                ),
            )

    def _is_repeat(self, event: Event, decided: AlertsDecided) -> bool:
        """Whether the person is decided up to this place already: a worker that did not know yet that it had been replaced wrote it."""
        known = self.newest(event.subject, "decided")
        if known is not None and isinstance(known.data, AlertsDecided) and is_repeat(decided.pos, known.data.pos):
            return True
        self._db.execute("INSERT OR REPLACE INTO newest VALUES (?,?,?)", (event.subject, "decided", encode(event)))
        return False

    def _episode_body(self, episode: str) -> dict[str, Any] | None:
        row = self._db.execute("SELECT body FROM episodes WHERE id=?", (episode,)).fetchone()
        return json.loads(row[0]) if row else None

    # -- questions ---------------------------------------------------------------------------------

    def entry(self, entry_id: str) -> EntryVersion | None:
        """The entry as it is now, deleted or not."""
        row = self._db.execute(f"SELECT {_ENTRY} FROM entries WHERE id=?", (entry_id,)).fetchone()
        return _entry(row) if row else None

    def entry_by_request(self, requestkey: str) -> EntryVersion | None:
        """The entry that was made by a request with this key."""
        row = self._db.execute(f"SELECT {_ENTRY} FROM entries WHERE requestkey=?", (requestkey,)).fetchone()
        return _entry(row) if row else None

    def entries(
        self,
        person: str,
        from_ms: int,
        to_ms: int,
        limit: int,
        *,
        kinds: Sequence[str] = (),
        after: tuple[int, str] = (-1, ""),
        deleted: bool = False,
    ) -> list[EntryVersion]:
        """Entries of [from_ms, to_ms), oldest first, behind the place `after` (time, id)."""
        sql = (
            f"SELECT {_ENTRY} FROM entries WHERE person=?1 AND time_ms>=?2 AND time_ms<?3 AND (time_ms, id) > (?4, ?5) "
            "AND (?6 OR NOT deleted) AND (?7='[]' OR kind IN (SELECT value FROM json_each(?7))) ORDER BY time_ms, id LIMIT ?8"
        )
        bindings = (person, from_ms, to_ms, *after, deleted, json.dumps(list(kinds)), limit)
        return [_entry(row) for row in self._db.execute(sql, bindings)]

    def created(self, entry_id: str) -> tuple[int, int, int] | None:
        """When the first revision was recorded, and in which partition and offset of the journal."""
        row = self._db.execute("SELECT created_ms, part, off FROM entries WHERE id=?", (entry_id,)).fetchone()
        return (row[0], row[1], row[2]) if row else None

    def was_applied(self, entry_id: str, event_id: str) -> bool:
        """Whether this change took effect."""
        row = self._db.execute("SELECT 1 FROM versions WHERE id=? AND event_id=?", (entry_id, event_id)).fetchone()
        return row is not None

    def history(self, entry_id: str) -> list[HistoryRow]:
        """Every version, oldest first."""
        sql = "SELECT revision, kind, time_ms, deleted, data, recorded_ms, actor FROM versions WHERE id=? ORDER BY revision"
        return [
            HistoryRow(revision, kind, time_ms, bool(deleted), json.loads(data), recorded_ms, actor)
            for revision, kind, time_ms, deleted, data, recorded_ms, actor in self._db.execute(sql, (entry_id,))
        ]

    def conflicts(self, entry_id: str) -> list[dict[str, Any]]:
        """Changes that were not applied, because somebody else was quicker."""
        return [
            json.loads(row[0])
            for row in self._db.execute("SELECT body FROM conflicts WHERE id=? ORDER BY revision", (entry_id,))
        ]

    def newest(self, person: str, what: str) -> Event | None:
        """The newest event of its kind: profile, source, person, snooze/<kind> of a person; ack of an episode."""
        row = self._db.execute("SELECT body FROM newest WHERE person=? AND what=?", (person, what)).fetchone()
        return decode(row[0]) if row else None

    def knows(self, person: str) -> bool:
        """Whether anything is known of a person."""
        sql = "SELECT 1 FROM newest WHERE person=?1 AND what IN ('person', 'profile', 'source') UNION SELECT 1 FROM lines WHERE person=?1 LIMIT 1"
        return self._db.execute(sql, (person,)).fetchone() is not None

    def people(self) -> dict[str, bool]:
        """Everybody who was added or has a profile or readings, by id; whether they are watched, that is not suspended."""
        sql = "SELECT person FROM newest WHERE what IN ('person', 'profile') UNION SELECT person FROM lines ORDER BY 1"
        return {
            person: event is None or not isinstance(event.data, PersonSuspended)
            for (person,) in self._db.execute(sql).fetchall()
            for event in (self.newest(person, "person"),)
        }

    def count_people(self) -> int:
        """How many there are."""
        sql = "SELECT count(*) FROM (SELECT person FROM newest WHERE what IN ('person', 'profile') UNION SELECT person FROM lines)"
        return int(self._db.execute(sql).fetchone()[0])

    def profile(self, person: str) -> ProfileChanged:
        """The profile as it is now; the defaults where none was ever set."""
        event = self.newest(person, "profile")
        return event.data if event is not None and isinstance(event.data, ProfileChanged) else DEFAULT

    def snoozes(self, person: str, now_ms: int) -> dict[str, int]:
        """Kinds that are quiet now, and until when."""
        sql = "SELECT body FROM newest WHERE person=? AND what LIKE 'snooze/%'"
        found = [decode(row[0]).data for row in self._db.execute(sql, (person,))]
        return {s.kind: ms(s.until) for s in found if isinstance(s, AlertsSnoozed) and ms(s.until) > now_ms}

    def token_by_hash(self, sha256: str) -> TokenIssued | None:
        """The token that hashes to this, unless it was revoked."""
        row = self._db.execute("SELECT body FROM tokens WHERE sha256=? AND NOT revoked", (sha256,)).fetchone()
        if row is None:
            return None
        data = decode(row[0]).data
        return data if isinstance(data, TokenIssued) else None

    def token_by_id(self, token_id: str) -> TokenIssued | None:
        """The token of this id, unless it was revoked."""
        row = self._db.execute("SELECT body FROM tokens WHERE id=? AND NOT revoked", (token_id,)).fetchone()
        data = decode(row[0]).data if row is not None else None
        return data if isinstance(data, TokenIssued) else None

    def tokens(self) -> list[tuple[Event, bool]]:
        """Every token that was ever made, and whether it was revoked."""
        rows = self._db.execute("SELECT body, revoked FROM tokens ORDER BY id")
        return [(decode(body), bool(revoked)) for body, revoked in rows]

    def episodes(self, person: str, from_ms: int, to_ms: int, limit: int) -> list[dict[str, Any]]:
        """Episodes opened in [from_ms, to_ms), newest first."""
        sql = (
            "SELECT id, kind, opened_ms, closed_ms, body FROM episodes WHERE person=? AND opened_ms>=? AND opened_ms<? "
            "ORDER BY opened_ms DESC, id LIMIT ?"
        )
        return [_episode(row) for row in self._db.execute(sql, (person, from_ms, to_ms, limit))]

    def open_episodes(self, person: str) -> list[dict[str, Any]]:
        """Episodes that are open."""
        sql = "SELECT id, kind, opened_ms, closed_ms, body FROM episodes WHERE person=? AND closed_ms IS NULL ORDER BY opened_ms"
        return [_episode(row) for row in self._db.execute(sql, (person,))]

    def episode(self, episode_id: str) -> dict[str, Any] | None:
        """One episode."""
        sql = "SELECT id, kind, opened_ms, closed_ms, body FROM episodes WHERE id=?"
        row = self._db.execute(sql, (episode_id,)).fetchone()
        return _episode(row) if row else None

    def person_of_episode(self, episode_id: str) -> str | None:
        """Whose it is."""
        row = self._db.execute("SELECT person FROM episodes WHERE id=?", (episode_id,)).fetchone()
        return row[0] if row else None


def _episode(row: Sequence[Any]) -> dict[str, Any]:
    episode_id, kind, opened_ms, closed_ms, body = row
    return {"id": episode_id, "kind": kind, "opened_ms": opened_ms, "closed_ms": closed_ms, **json.loads(body)}


def _entry(row: Sequence[Any]) -> EntryVersion:
    entry_id, person, kind, time_ms, revision, deleted, data, recorded_ms, actor = row
    fact = ENTRY_FACTS[TYPES[kind]].model_validate_json(data)
    return EntryVersion(entry_id, person, kind, time_ms, revision, bool(deleted), fact, recorded_ms, actor)
