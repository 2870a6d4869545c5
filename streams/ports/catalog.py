"""The catalog port: what is true now, of everybody, as far as the log has been followed."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol

from processors.alerting.episodes import Episode
from processors.entries import EntryVersion
from processors.readings import Reading
from schemas.alerts import AlertEvent
from schemas.facts import AlertAcknowledged, ProfileChanged, SourceStateChanged, TokenIssued


class EntryOrigin(NamedTuple):
    """Where an entry comes from: when its first revision was recorded, and where in the journal that lies."""

    recorded_ms: int
    partition: int
    offset: int


class EntryRevision(NamedTuple):
    """One version of an entry, as its history keeps it."""

    revision: int
    kind: str
    time_ms: int
    deleted: bool
    data: dict[str, Any]
    recorded_ms: int
    actor: str | None


class EntryConflict(NamedTuple):
    """A change that was not applied, because somebody else was quicker."""

    revision: int
    recorded_time: str  # ISO 8601
    actor: str | None
    type: str  # of the event


class Delivery(NamedTuple):
    """What became of one message of an episode. `outcome` is `delivered` or `undeliverable`; then `reason` says why."""

    step: int
    target: str
    outcome: str
    at_ms: int
    reason: str

    @property
    def refused(self) -> str | None:
        """Why it never went out; None where it did."""
        return self.reason if self.outcome == "undeliverable" else None


class EpisodeRecord(NamedTuple):
    """One episode with everything that was decided and delivered of it, oldest first; `closed_ms` is None while it is
    open.
    """

    id: str
    person: str
    kind: str
    opened_ms: int
    closed_ms: int | None
    changes: tuple[AlertEvent, ...]
    deliveries: tuple[Delivery, ...]

    @property
    def rang(self) -> AlertEvent:
        """The last change that was meant to ring."""
        return [change for change in self.changes if change.change in ("opened", "escalated")][-1]

    @property
    def decided(self) -> Episode:
        """The episode as the alerter has it: its last ring, and the answer to that one."""
        first, *later = self.changes
        episode = Episode.opened(self.person, first)
        for change in later:
            episode.evolve(change)
        return episode


class SnoozeRecord(NamedTuple):
    """The last snooze of a kind."""

    time_ms: int
    until_ms: int
    actor: str | None


class SourceRecord(NamedTuple):
    """How a person's glucose source answered last, and since when."""

    state: SourceStateChanged
    since_ms: int


class TokenRecord(NamedTuple):
    """A token that was ever made."""

    token: TokenIssued
    created_ms: int
    revoked: bool


Changed = frozenset[tuple[str, str]]  # (person, readings|entries|alerts|source|profile|people|tokens)


class Catalog(Protocol):
    """Answers from what it has seen of the log; every answer is a look-up that takes microseconds."""

    # -- how far it is -----------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Whether the heads that the log had at the start have been reached; before that nothing may be concluded from
        an answer.
        """

    @property
    def paused(self) -> str:
        """Why it follows no further (a record of a newer release), or an empty string."""

    def behind(self) -> int:
        """Records it has yet to see."""

    async def caught_up(self, within_s: float = 1.0) -> bool:
        """Whether everything that is in the log now has been seen before the time was over."""

    def subscribe(self, listener: Callable[[Changed], None]) -> Callable[[], None]:
        """Call `listener` with what changed; return what ends that."""

    # -- readings ----------------------------------------------------------------------------------

    def newest_reading(self, person: str) -> tuple[Reading | None, Reading | None]:
        """The newest canonical reading, and the one before it."""

    def lowest_since(self, person: str, since_ms: int) -> float | None:
        """The lowest canonical reading from a moment on, mg/dL, as far as two hours are remembered."""

    # -- entries -----------------------------------------------------------------------------------

    def entry(self, entry_id: str) -> EntryVersion | None:
        """The entry as it is now, deleted or not."""

    def entry_by_request(self, requestkey: str) -> EntryVersion | None:
        """The entry that was made by a request with this key."""

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
        """Entries of [from_ms, to_ms), oldest first, behind the position `after` (time, id)."""

    def created(self, entry_id: str) -> EntryOrigin | None:
        """Where an entry comes from; None for one that is not known."""

    def was_applied(self, entry_id: str, event_id: str) -> bool:
        """Whether a change took effect."""

    def history(self, entry_id: str) -> list[EntryRevision]:
        """Every version of an entry, oldest first."""

    def conflicts(self, entry_id: str) -> list[EntryConflict]:
        """Changes of an entry that were not applied."""

    # -- people ------------------------------------------------------------------------------------

    def knows(self, person: str) -> bool:
        """Whether anything is known of a person."""

    def people(self) -> dict[str, bool]:
        """Everybody who was added or has a profile or readings, by id; whether they are watched, that is not
        suspended.
        """

    def count_people(self) -> int:
        """How many there are."""

    def is_suspended(self, person: str) -> bool:
        """Whether the last word on the person was that nobody watches them."""

    def was_added(self, person: str) -> bool:
        """Whether anything was ever said of the person's coming or going."""

    def profile(self, person: str) -> ProfileChanged:
        """The profile as it is now; the defaults where none was ever set."""

    def stated_profile(self, person: str) -> ProfileChanged | None:
        """The profile as it is now; None where none was ever set."""

    def source(self, person: str) -> SourceRecord | None:
        """How the person's source answered last; None where it was never asked."""

    # -- alerts ------------------------------------------------------------------------------------

    def snoozes(self, person: str, now_ms: int) -> dict[str, int]:
        """Kinds that are quiet now, and until when."""

    def snooze(self, person: str, kind: str) -> SnoozeRecord | None:
        """The last snooze of a kind, whether it is over or not."""

    def acknowledgement(self, episode_id: str) -> AlertAcknowledged | None:
        """The last answer to an episode."""

    def episodes(
        self, person: str, from_ms: int, to_ms: int, limit: int, after: tuple[int, str] | None = None
    ) -> list[EpisodeRecord]:
        """Episodes opened in [from_ms, to_ms), newest first, and by id where one decision opened several. `after` is
        the (opened_ms, id) of the last one that is known.
        """

    def open_episodes(self, person: str) -> list[EpisodeRecord]:
        """Episodes that are open, oldest first."""

    def count_open_episodes(self, person: str) -> int:
        """How many are open."""

    def episode(self, episode_id: str) -> EpisodeRecord | None:
        """One episode."""

    # -- tokens ------------------------------------------------------------------------------------

    def token_by_hash(self, sha256: str) -> TokenIssued | None:
        """The token that hashes to this, unless it was revoked."""

    def token_by_id(self, token_id: str) -> TokenIssued | None:
        """The token of this id, unless it was revoked."""

    def tokens(self) -> Iterable[TokenRecord]:
        """Every token that was ever made."""
