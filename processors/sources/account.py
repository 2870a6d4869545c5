"""What the journal says of a person's glucose source: the readings that are known, when a log-in may be tried again,
how it answered last.
"""

import json
from dataclasses import dataclass, field

from processors.membership import suspended_ms
from processors.readings import reading_of
from processors.sources import polling
from schemas.envelope import Event
from schemas.facts import PersonAdded, PersonSuspended, SourceStateChanged
from schemas.model import ms

_LEAST_REMEMBERED = 600  # ids; a day at one in five minutes are 288
_REMEMBER_MS = 26 * 3_600_000  # a source gives 24 h; two more for clocks that disagree
_SKEW_NEWS_S = 30.0  # a clock that is wrong by as much more is news


@dataclass
class Account:
    """The source account of one person, as the journal knows it. Kept of everybody, for a person may be added while
    this runs.
    """

    person: str
    known: dict[str, int] = field(default_factory=dict)  # reading id -> time_ms, of the last day
    newest_ms: int | None = None
    state: SourceStateChanged | None = None
    login: polling.LoginPolicy = field(default_factory=polling.LoginPolicy)
    misses: int = 0
    polls: int = 0
    forget_at: int = _LEAST_REMEMBERED
    # How far this machine's clock is ahead of the source's, where that is more than a minute.
    skew_s: float | None = None

    def saw(self, name: str, time_ms: int) -> None:
        """Note a reading that is in the journal. What a source gives no more is forgotten now and then."""
        self.known[name] = time_ms
        self.newest_ms = max(self.newest_ms or 0, time_ms)
        if len(self.known) >= self.forget_at:
            self.known = {i: t for i, t in self.known.items() if t >= self.newest_ms - _REMEMBER_MS}
            self.forget_at = max(_LEAST_REMEMBERED, 2 * len(self.known))

    def hear(self, state: SourceStateChanged) -> None:
        """Note the source's answer."""
        self.state = state
        before = state.no_login_before
        self.login = polling.LoginPolicy(state.refusals, ms(before) if before else 0)


@dataclass
class PersonAccounts:
    """One person's accounts by the name of the source, and whether the person is suspended: what a snapshot keeps."""

    person: str
    offset: int = 0
    suspended_ms: int = 0  # since when nobody watches them; 0 while somebody does
    accounts: dict[str, Account] = field(default_factory=dict)

    def account(self, source: str) -> Account:
        """The account at one source."""
        return self.accounts.setdefault(source, Account(self.person))

    def take(self, event: Event, offset: int) -> bool:
        """Fold a record of the journal in; returns whether the person came or went by it."""
        self.offset = offset + 1
        reading = reading_of(event)
        if reading is not None:
            self.account(event.source).saw(reading.id, reading.time_ms)
        elif isinstance(event.data, SourceStateChanged):
            self.account(event.source).hear(event.data)
        elif isinstance(event.data, PersonAdded | PersonSuspended):
            self.suspended_ms = suspended_ms(event, self.suspended_ms)
            return True
        return False

    def dump(self) -> str:
        """The state as text."""
        accounts = {
            source: {
                "known": a.known,
                "newest_ms": a.newest_ms,
                "state": a.state.model_dump(mode="json") if a.state is not None else None,
            }
            for source, a in self.accounts.items()
        }
        return json.dumps({"person": self.person, "suspended_ms": self.suspended_ms, "accounts": accounts})

    @classmethod
    def load(cls, state: str, offset: int) -> "PersonAccounts":
        """The state a snapshot holds."""
        raw = json.loads(state)
        ledger = cls(raw["person"], offset, raw["suspended_ms"])
        for source, said in raw["accounts"].items():
            account = ledger.account(source)
            account.known, account.newest_ms = said["known"], said["newest_ms"]
            if said["state"] is not None:
                account.hear(SourceStateChanged.model_validate_json(json.dumps(said["state"])))
        return ledger


def is_news(known: SourceStateChanged, data: SourceStateChanged) -> bool:
    """Whether a source state is news, given the last one in the journal."""
    if (known.state, known.refusals, known.no_login_before) != (data.state, data.refusals, data.no_login_before):
        return True
    before, after = known.clock_skew_s, data.clock_skew_s
    if before is None or after is None:
        return before is not after
    return abs(after - before) > _SKEW_NEWS_S
