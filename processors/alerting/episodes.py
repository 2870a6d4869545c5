"""Episodes: the fold of what was decided, read back from the log. The same code runs in the alerter, the notifier and
the checks.
"""

from collections.abc import MutableMapping
from dataclasses import dataclass, field

from schemas.alerts import AlertEvent, AlertKind, AlertsDecided, DecisionPosition, Evidence
from schemas.envelope import Event
from schemas.model import ms


def is_repeat(position: DecisionPosition, through: DecisionPosition | None) -> bool:
    """Whether a decision repeats one that counted: it lies at or before the position up to which the person is decided
    (None: nowhere yet).

    A redelivered record leads to such a decision, and so does a worker that was stopped and woken: it can still write
    once what its successor has decided. Every fold drops it.
    """
    return through is not None and position <= through


@dataclass(slots=True)
class Episode:
    """One episode as far as it was decided."""

    id: str
    person: str
    kind: AlertKind
    opened_ms: int
    step: int
    rang_ms: int
    priority: int
    urgency: int
    evidence: Evidence
    acknowledged_ms: int | None = None
    acknowledged_by: str = ""

    @classmethod
    def opened(cls, person: str, event: AlertEvent) -> "Episode":
        """The episode that an `opened` event begins."""
        at = ms(event.at)
        return cls(event.episode, person, event.kind, at, event.step, at, event.priority, event.urgency, event.evidence)

    def evolve(self, event: AlertEvent) -> None:
        """Fold a later event in. A ring takes back the answer to the one before it; an end changes nothing here."""
        if event.change == "escalated":
            self.step, self.rang_ms, self.priority = event.step, ms(event.at), event.priority
            self.evidence, self.urgency = event.evidence, event.urgency
            self.acknowledged_ms, self.acknowledged_by = None, ""
        elif event.change == "acknowledged":
            self.acknowledged_ms, self.acknowledged_by = ms(event.at), event.by


@dataclass
class Episodes:
    """Open episodes of one partition, by person and kind.

    `through` is the position in the input up to which a person is decided: what is at or before it decides nothing
    again, however often it is redelivered. An episode that opens while one of its kind is open is a no-op, as a net.
    """

    open: dict[tuple[str, str], Episode] = field(default_factory=dict)
    through: dict[str, DecisionPosition] = field(default_factory=dict)
    closed: dict[tuple[str, str], int] = field(default_factory=dict)
    no_ops: int = 0

    def evolve(self, person: str, decided: AlertsDecided) -> list[AlertEvent]:
        """Fold a decision in; returns the events that took effect."""
        if is_repeat(decided.pos, self.through.get(person)):
            self.no_ops += 1
            return []
        self.through[person] = decided.pos
        return [event for event in decided.events if self._apply(person, event)]

    def _apply(self, person: str, event: AlertEvent) -> bool:
        key = (person, event.kind)
        episode = self.open.get(key)
        if event.change == "opened":
            if episode is not None:
                self.no_ops += 1
                return False
            self.open[key] = Episode.opened(person, event)
            return True
        if episode is None or episode.id != event.episode:
            self.no_ops += 1
            return False
        if event.change in ("resolved", "expired"):
            del self.open[key]
            self.closed[key] = ms(event.at)
        else:
            episode.evolve(event)
        return True

    def of(self, person: str) -> dict[str, Episode]:
        """The person's open episodes, by kind."""
        return {kind: episode for (who, kind), episode in self.open.items() if who == person}


Through = MutableMapping[str, DecisionPosition]  # per person: the position of the last decision that counted


def admit_decision(event: Event, through: Through) -> bool:
    """Admission of an event of the alerts topic: False for a repeated decision alone. Keeps `through` up to date."""
    data = event.data
    if not isinstance(data, AlertsDecided):
        return True
    if is_repeat(data.pos, through.get(event.subject)):
        return False
    through[event.subject] = data.pos
    return True
