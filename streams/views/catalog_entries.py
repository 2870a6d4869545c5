"""Entries in the catalog: each by its id, with its history, and the changes that came too late."""

import json
from collections.abc import Sequence

from processors.entries import Conflict, EntryVersion, data_of, entry_id_of, entry_of, evolve_entry
from schemas.envelope import Event, encode
from streams.ports.catalog import EntryConflict, EntryOrigin, EntryRevision
from streams.storage.sqlite import Connection

_ENTRY = "id, person, kind, time_ms, revision, deleted, data, recorded_ms, actor"


class CatalogEntries:
    """The questions about entries of `Catalog`, and their fold."""

    _db: Connection

    def evolve_entry(self, event: Event, partition: int, offset: int) -> str:
        """Take an event of an entry in; the word for what it changed, or an empty one."""
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
        version = (after.id, after.revision, after.kind, after.time_ms, after.deleted, data, *after[7:], event.id)
        self._db.execute("INSERT OR IGNORE INTO versions VALUES (?,?,?,?,?,?,?,?,?)", version)
        return "entries"

    def entry(self, entry_id: str) -> EntryVersion | None:
        """The entry as it is now, deleted or not."""
        return self._entry_by("id", entry_id)

    def entry_by_request(self, requestkey: str) -> EntryVersion | None:
        """The entry that was made by a request with this key."""
        return self._entry_by("requestkey", requestkey)

    def _entry_by(self, column: str, value: str) -> EntryVersion | None:
        row = self._db.execute(f"SELECT {_ENTRY} FROM entries WHERE {column}=?", (value,)).fetchone()
        return entry_of(row) if row else None

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
            "AND (?6 OR NOT deleted) AND (?7='[]' OR kind IN (SELECT value FROM json_each(?7))) ORDER BY "
            "time_ms, id LIMIT ?8"
        )
        bindings = (person, from_ms, to_ms, *after, deleted, json.dumps(list(kinds)), limit)
        return [entry_of(row) for row in self._db.execute(sql, bindings)]

    def created(self, entry_id: str) -> EntryOrigin | None:
        """See `Catalog`."""
        row = self._db.execute("SELECT created_ms, part, off FROM entries WHERE id=?", (entry_id,)).fetchone()
        return EntryOrigin(*row) if row else None

    def was_applied(self, entry_id: str, event_id: str) -> bool:
        """Whether this change took effect."""
        row = self._db.execute("SELECT 1 FROM versions WHERE id=? AND event_id=?", (entry_id, event_id)).fetchone()
        return row is not None

    def history(self, entry_id: str) -> list[EntryRevision]:
        """Every version, oldest first."""
        sql = (
            "SELECT revision, kind, time_ms, deleted, data, recorded_ms, actor FROM versions WHERE "
            "id=? ORDER BY revision"
        )
        return [
            EntryRevision(revision, kind, time_ms, bool(deleted), json.loads(data), recorded_ms, actor)
            for revision, kind, time_ms, deleted, data, recorded_ms, actor in self._db.execute(sql, (entry_id,))
        ]

    def conflicts(self, entry_id: str) -> list[EntryConflict]:
        """See `Catalog`."""
        rows = self._db.execute("SELECT body FROM conflicts WHERE id=? ORDER BY revision", (entry_id,))
        bodies = [json.loads(row[0]) for row in rows]
        return [EntryConflict(b["data"]["revision"], b["recordedtime"], b.get("actor"), b["type"]) for b in bodies]
