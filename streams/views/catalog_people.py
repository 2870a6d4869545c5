"""People in the catalog: who is watched, each one's profile and source, and the tokens of the house."""

from collections.abc import Iterator
from typing import TypeVar

from processors.profiles import DEFAULT
from schemas.envelope import Event, decode, encode
from schemas.facts import PersonAdded, PersonSuspended, ProfileChanged, SourceStateChanged, TokenIssued, TokenRevoked
from schemas.model import Fact
from streams.ports.catalog import SourceRecord, TokenRecord
from streams.storage.sqlite import Connection

_Fact = TypeVar("_Fact", bound=Fact)
_EVERYBODY = "SELECT person FROM newest WHERE what IN ('person', 'profile') UNION SELECT person FROM lines"


class CatalogPeople:
    """The questions about people and tokens of `Catalog`, and their fold."""

    _db: Connection

    def evolve_people(self, event: Event) -> str:
        """Take an event in; the word for what it changed, or an empty one."""
        match event.data:
            case ProfileChanged():
                known = self.newest(event.subject, "profile")
                if known is None or event.replaces(known.recorded_ms):
                    self.keep(event, "profile", event.subject)
                return "profile"
            # Of these the last word in the log counts, as in every other fold, whatever the clocks of those who said
            # it.
            case SourceStateChanged():
                self.keep(event, "source", event.subject)
                return "source"
            case PersonAdded() | PersonSuspended():
                self.keep(event, "person", event.subject)
                return "people"
            case TokenIssued(token_id=token_id, sha256=sha256):
                self._db.execute("INSERT OR IGNORE INTO tokens VALUES (?,?,?,?)", (token_id, sha256, 0, encode(event)))
                return "tokens"
            case TokenRevoked(token_id=token_id):
                self._db.execute("UPDATE tokens SET revoked=1 WHERE id=?", (token_id,))
                return "tokens"
            case _:
                return ""

    def keep(self, event: Event, what: str, whose: str) -> None:
        """Keep an event as the newest of its kind."""
        self._db.execute("INSERT OR REPLACE INTO newest VALUES (?,?,?)", (whose, what, encode(event)))

    def newest(self, person: str, what: str) -> Event | None:
        """The newest event of its kind: profile, source, person, snooze/<kind> of a person; ack of an episode."""
        row = self._db.execute("SELECT body FROM newest WHERE person=? AND what=?", (person, what)).fetchone()
        return decode(row[0]) if row else None

    def newest_fact(self, person: str, what: str, kind: type[_Fact]) -> _Fact | None:
        """What the newest event of its kind says; None also where it says something else."""
        event = self.newest(person, what)
        return event.data if event is not None and isinstance(event.data, kind) else None

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
        rows = self._db.execute(f"{_EVERYBODY} ORDER BY 1").fetchall()
        return {person: not self.is_suspended(person) for (person,) in rows}

    def count_people(self) -> int:
        """How many there are."""
        return int(self._db.execute(f"SELECT count(*) FROM ({_EVERYBODY})").fetchone()[0])

    def is_suspended(self, person: str) -> bool:
        """See `Catalog`."""
        return self.newest_fact(person, "person", PersonSuspended) is not None

    def was_added(self, person: str) -> bool:
        """See `Catalog`."""
        return self.newest(person, "person") is not None

    def profile(self, person: str) -> ProfileChanged:
        """See `Catalog`."""
        return self.stated_profile(person) or DEFAULT

    def stated_profile(self, person: str) -> ProfileChanged | None:
        """See `Catalog`."""
        return self.newest_fact(person, "profile", ProfileChanged)

    def source(self, person: str) -> SourceRecord | None:
        """See `Catalog`."""
        event = self.newest(person, "source")
        if event is None or not isinstance(event.data, SourceStateChanged):
            return None
        return SourceRecord(event.data, event.time_ms)

    def token_by_hash(self, sha256: str) -> TokenIssued | None:
        """The token that hashes to this, unless it was revoked."""
        return self._token_by("sha256", sha256)

    def token_by_id(self, token_id: str) -> TokenIssued | None:
        """The token of this id, unless it was revoked."""
        return self._token_by("id", token_id)

    def _token_by(self, column: str, value: str) -> TokenIssued | None:
        row = self._db.execute(f"SELECT body FROM tokens WHERE {column}=? AND NOT revoked", (value,)).fetchone()
        data = decode(row[0]).data if row is not None else None
        return data if isinstance(data, TokenIssued) else None

    def tokens(self) -> Iterator[TokenRecord]:
        """See `Catalog`."""
        for body, revoked in self._db.execute("SELECT body, revoked FROM tokens ORDER BY id").fetchall():
            event = decode(body)
            if isinstance(event.data, TokenIssued):
                yield TokenRecord(event.data, event.time_ms, bool(revoked))
