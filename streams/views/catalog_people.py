"""People in the catalog: who is watched, each one's profile and source, and the tokens of the house."""

from collections.abc import Iterator

from processors.profiles import DEFAULT
from schemas.envelope import Event, decode, encode
from schemas.facts import (
    PersonAdded,
    PersonSuspended,
    ProfileChanged,
    SourceStateChanged,
    TokenIssued,
    TokenRevoked,
)
from streams.ports.catalog import SourceRecord, TokenRecord
from streams.storage.sqlite import Connection


class CatalogPeople:
    """The questions about people and tokens of `Catalog`, and their fold."""

    @property
    def _db(self) -> Connection:
        raise NotImplementedError

    def evolve_people(self, event: Event) -> str:
        """Take an event in; the word for what it changed, or an empty one."""
        match event.data:
            case ProfileChanged():
                self.keep_newest(event, "profile")
                return "profile"
            case SourceStateChanged():
                self.keep_newest(event, "source")
                return "source"
            case PersonAdded() | PersonSuspended():
                # The last word in the log counts, as in every other fold, whatever the clocks of those who said it.
                row = (event.subject, "person", encode(event))
                self._db.execute("INSERT OR REPLACE INTO newest VALUES (?,?,?)", row)
                return "people"
            case TokenIssued(token_id=token_id, sha256=sha256):
                self._db.execute("INSERT OR IGNORE INTO tokens VALUES (?,?,?,?)", (token_id, sha256, 0, encode(event)))
                return "tokens"
            case TokenRevoked(token_id=token_id):
                self._db.execute("UPDATE tokens SET revoked=1 WHERE id=?", (token_id,))
                return "tokens"
            case _:
                return ""

    def keep_newest(self, event: Event, what: str, whose: str | None = None) -> None:
        """Keep an event unless a newer one of its kind is known; the one accepted last is the newest."""
        owner = whose or event.subject
        known = self.newest(owner, what)
        if known is not None and not event.replaces(known.recorded_ms):
            return
        self._db.execute("INSERT OR REPLACE INTO newest VALUES (?,?,?)", (owner, what, encode(event)))

    def newest(self, person: str, what: str) -> Event | None:
        """The newest event of its kind: profile, source, person, snooze/<kind> of a person; ack of an episode."""
        row = self._db.execute("SELECT body FROM newest WHERE person=? AND what=?", (person, what)).fetchone()
        return decode(row[0]) if row else None

    def knows(self, person: str) -> bool:
        """Whether anything is known of a person."""
        sql = (
            "SELECT 1 FROM newest WHERE person=?1 AND what IN ('person', 'profile', 'source') UNION "
            "SELECT 1 FROM lines WHERE person=?1 LIMIT 1"
        )
        return self._db.execute(sql, (person,)).fetchone() is not None

    def people(self) -> dict[str, bool]:
        """Everybody who was added or has a profile or readings, by id; whether they are watched, that is not
        suspended.
        """
        sql = "SELECT person FROM newest WHERE what IN ('person', 'profile') UNION SELECT person FROM lines ORDER BY 1"
        return {
            person: event is None or not isinstance(event.data, PersonSuspended)
            for (person,) in self._db.execute(sql).fetchall()
            for event in (self.newest(person, "person"),)
        }

    def count_people(self) -> int:
        """How many there are."""
        sql = (
            "SELECT count(*) FROM (SELECT person FROM newest WHERE what IN ('person', 'profile') UNION "
            "SELECT person FROM lines)"
        )
        return int(self._db.execute(sql).fetchone()[0])

    def is_suspended(self, person: str) -> bool:
        """See `Catalog`."""
        event = self.newest(person, "person")
        return event is not None and isinstance(event.data, PersonSuspended)

    def was_added(self, person: str) -> bool:
        """See `Catalog`."""
        return self.newest(person, "person") is not None

    def profile(self, person: str) -> ProfileChanged:
        """See `Catalog`."""
        return self.stated_profile(person) or DEFAULT

    def stated_profile(self, person: str) -> ProfileChanged | None:
        """See `Catalog`."""
        event = self.newest(person, "profile")
        return event.data if event is not None and isinstance(event.data, ProfileChanged) else None

    def source(self, person: str) -> SourceRecord | None:
        """See `Catalog`."""
        event = self.newest(person, "source")
        if event is None or not isinstance(event.data, SourceStateChanged):
            return None
        return SourceRecord(event.data, event.time_ms)

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

    def tokens(self) -> Iterator[TokenRecord]:
        """See `Catalog`."""
        for body, revoked in self._db.execute("SELECT body, revoked FROM tokens ORDER BY id").fetchall():
            event = decode(body)
            if isinstance(event.data, TokenIssued):
                yield TokenRecord(event.data, event.time_ms, bool(revoked))
