"""The outbox: which messages are due, which were attempted, which arrived. A fold of the alerts, for every target alike."""

from dataclasses import dataclass, field
from typing import NamedTuple

from processors.alerting.episodes import Episodes
from schemas.alerts import AlertEvent, AlertsDecided, Delivered, DeliveryAttempted, TargetAdded, Undeliverable
from schemas.envelope import Event
from schemas.model import ms

ALL_CLEAR = 0  # the step of the message that ends an episode


class Step(NamedTuple):
    """One message to one target."""

    episode: str
    step: int
    target: str

    @property
    def sequence_id(self) -> str:
        """Its name at ntfy: every step meant to ring has its own, so that it rings."""
        return f"{self.episode}-{self.step or 'clear'}"


@dataclass(slots=True)
class Due:
    """A message that must go out."""

    event: AlertEvent
    person: str
    opened_ms: int
    closed: bool = False

    @property
    def order(self) -> tuple[int, int]:
        """Urgent first, then the oldest."""
        urgency = self.event.urgency if self.event.step else 3
        return (urgency, ms(self.event.at))


@dataclass
class Outbox:
    """One partition's messages. `armed` holds the targets that were added before what is folded now."""

    targets: tuple[str, ...]
    episodes: Episodes = field(default_factory=Episodes)
    armed: set[str] = field(default_factory=set)
    due: dict[Step, Due] = field(default_factory=dict)
    attempted: set[Step] = field(default_factory=set)
    done: dict[Step, str] = field(default_factory=dict)
    shown: dict[tuple[str, str], set[int]] = field(
        default_factory=dict
    )  # (episode, target) -> delivered steps not yet cleared
    to_clear: dict[tuple[str, str], int] = field(
        default_factory=dict
    )  # ended without a word: (episode, target) -> when
    _opened: dict[str, int] = field(default_factory=dict)

    def evolve(self, event: Event) -> list[Step]:
        """Take an event of the alerts in; the steps that became due by it."""
        data = event.data
        match data:
            case AlertsDecided():
                return [
                    s
                    for change in self.episodes.evolve(event.subject, data)
                    for s in self._change(event.subject, change)
                ]
            case TargetAdded(target=target):
                self.armed.add(target)
            case DeliveryAttempted(episode=episode, step=step, target=target):
                self.attempted.add(Step(episode, step, target))
            case Delivered(episode=episode, step=step, target=target):
                self._settle(Step(episode, step, target), "delivered")
                self.shown.setdefault((episode, target), set()).add(step)
                if step == ALL_CLEAR:
                    self.shown.pop((episode, target))
            case Undeliverable(episode=episode, step=step, target=target):
                self._settle(Step(episode, step, target), "undeliverable")
            case _:
                pass
        return []

    def _settle(self, step: Step, outcome: str) -> None:
        self.done[step] = outcome
        self.due.pop(step, None)
        self.attempted.discard(step)

    def _change(self, person: str, change: AlertEvent) -> list[Step]:
        if change.change == "opened":
            self._opened[change.episode] = ms(change.at)
        if change.change == "acknowledged":
            return []
        closing = change.change in ("resolved", "expired")
        if closing:
            for step, due in self.due.items():
                due.closed |= step.episode == change.episode
        number = ALL_CLEAR if closing else change.step
        opened = self._opened.get(change.episode, ms(change.at))
        if closing:
            self._opened.pop(change.episode, None)
        found = []
        for target in self.targets:
            step = Step(change.episode, number, target)
            if target not in self.armed or step in self.done or step in self.due:
                continue
            if closing and (change.quiet or change.change == "expired"):
                self.to_clear[change.episode, target] = ms(change.at)
                continue
            if closing and not self._was_told(step):
                continue
            event = change.model_copy(update={"step": number})
            self.due[step] = Due(event, person, opened, closed=False)
            found.append(step)
        return found

    def _was_told(self, clear: Step) -> bool:
        """An all-clear follows only what was, or still will be, said."""
        mine = (clear.episode, clear.target)
        return any((s.episode, s.target) == mine for s in (*self.due, *self.done, *self.attempted))
