"""The outbox: which messages are due, which were attempted, which arrived. A fold of the alerts, for every target
alike.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from processors.alerting.episodes import Episodes
from schemas.alerts import (
    AlertEvent,
    AlertsDecided,
    Delivered,
    DeliveryAttempted,
    PersonTold,
    TargetAdded,
    TargetRemoved,
    Undeliverable,
)
from schemas.envelope import Event
from schemas.model import ms

# An episode that is over is forgotten two days later, for nothing can make a step of it due again: what is decided at a
# place that was decided before is a repeat and dropped, and what opens again for the same cause has another name.
# Outcomes come late, but not later than the half day for which ntfy can be asked about a message.
KEPT_MS = 2 * 86_400_000
_OVER = 9  # behind every urgency
ALL_CLEAR = 0  # the step of the message that ends an episode


class Step(NamedTuple):
    """One message to one target."""

    episode: str
    step: int
    target: str

    @property
    def sequence_id(self) -> str:
        """The ntfy sequence id of the step: every step meant to ring has its own, so that it rings."""
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
        """The sort key of sending: urgent first, then the oldest; all-clears, and alarms that are over, come last."""
        over = self.closed or self.event.step == ALL_CLEAR
        return (_OVER if over else self.event.urgency, ms(self.event.at))


@dataclass
class Outbox:
    """One partition's messages. `house` are the phones of everybody who has none of their own; `armed` holds those that
    were added before what is folded now, `told` whoever has phones of their own, as the log says it.
    """

    house: tuple[str, ...]
    episodes: Episodes = field(default_factory=Episodes)
    armed: set[str] = field(default_factory=set)
    told: dict[str, tuple[str, ...]] = field(default_factory=dict)
    due: dict[Step, Due] = field(default_factory=dict)
    attempted: set[Step] = field(default_factory=set)
    refused: set[Step] = field(default_factory=set)  # due, but not before the account is put right
    done: dict[Step, str] = field(default_factory=dict)
    shown: dict[tuple[str, str], set[int]] = field(
        default_factory=dict
    )  # (episode, target) -> delivered steps not yet cleared
    to_clear: dict[tuple[str, str], int] = field(
        default_factory=dict
    )  # ended without a word: (episode, target) -> when
    handed: dict[Step, list[Step]] = field(default_factory=dict)  # from phones that are told no more, to those that are
    opened: dict[str, int] = field(default_factory=dict)  # episodes that are not over: when they opened
    ended: dict[str, int] = field(default_factory=dict)  # those that are, until they are forgotten: when
    newest_ms: int = 0  # of all decisions so far: the outbox knows no other time, so that every fold forgets alike

    def evolve(self, event: Event) -> list[Step]:
        """Fold an event of the alerts topic in; returns the steps that became due by it."""
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
            case TargetRemoved(target=target):
                self._disarm(target)
            case PersonTold(targets=targets):
                return self._tell(event.subject, targets)
            case DeliveryAttempted(episode=episode, step=step, target=target):
                self.attempted.add(Step(episode, step, target))
                self._heard_of(episode)
            case Delivered(episode=episode, step=step, target=target):
                self.delivered(Step(episode, step, target))
                if step == ALL_CLEAR:
                    self.shown.pop((episode, target), None)
            case Undeliverable(episode=episode, step=step, target=target, final=final):
                self.refuse(Step(episode, step, target), final=final)
            case _:
                pass
        return []

    def targets_of(self, person: str) -> tuple[str, ...]:
        """Targets of a person, as far as the log is folded."""
        return self.told.get(person) or tuple(target for target in self.house if target in self.armed)

    def _tell(self, person: str, targets: tuple[str, ...]) -> list[Step]:
        """Others are told of the person from here on. What is open and was not sent yet is theirs now, so that no alarm
        falls between two phones.
        """
        before = self.targets_of(person)
        self.told.pop(person, None)
        if targets:
            self.told[person] = targets
        after = self.targets_of(person)
        owed = [
            (s, due)
            for s, due in self.due.items()
            if due.person == person and s.target in before and s.target not in after
        ]
        for step, _ in owed:
            self._settle(step, "removed")
        theirs = {
            s._replace(target=to): due for s, due in owed if s.step != ALL_CLEAR and not due.closed for to in after
        }
        new = {step: due for step, due in theirs.items() if step not in self.done and step not in self.due}
        self.due |= new
        for step, _ in owed:
            self.handed[step] = [step._replace(target=to) for to in after]
        return list(new)

    def _disarm(self, target: str) -> None:
        """The target is told of nothing any more, not even of what is due."""
        self.armed.discard(target)
        for step in [step for step in self.due if step.target == target]:
            self._settle(step, "removed")
        for key in [key for key in self.to_clear if key[1] == target]:
            del self.to_clear[key]

    def delivered(self, step: Step) -> None:
        """Note a delivery: the target accepted the step."""
        for other in self.handed.pop(step, ()):  # it was on its way when it was handed on: somebody has been told
            if other in self.due:
                self._settle(other, "delivered")
        self._settle(step, "delivered")
        self.shown.setdefault((step.episode, step.target), set()).add(step.step)

    def refuse(self, step: Step, *, final: bool) -> None:
        """Note a refusal: the target will not take the step, for good or until the account is put right. Then it stays
        due, unless something newer takes its place.
        """
        if final:
            self._settle(step, "undeliverable")
            return
        self.attempted.discard(step)
        if step in self.due:
            self.refused.add(step)

    def _settle(self, step: Step, outcome: str) -> None:
        self.refused.discard(step)
        self.done[step] = outcome
        self._heard_of(step.episode)
        self.due.pop(step, None)
        self.attempted.discard(step)

    def _heard_of(self, episode: str) -> None:
        """What comes late, of an episode that was forgotten or was never known here, is forgotten in its turn."""
        if episode not in self.opened:
            self.ended.setdefault(episode, self.newest_ms)

    def _forget(self, now_ms: int) -> None:
        """Forget what is long over. What is still due is kept, with all that belongs to it, however long that takes."""
        self.newest_ms = max(self.newest_ms, now_ms)
        waiting = {step.episode for step in self.due}
        gone = {e for e, at_ms in self.ended.items() if at_ms < self.newest_ms - KEPT_MS and e not in waiting}
        if not gone:
            return
        for episode in gone:
            del self.ended[episode]
        for step in [step for step in self.done if step.episode in gone]:
            del self.done[step]
        for step in [step for step in self.attempted if step.episode in gone]:
            self.attempted.discard(step)
        for step in [step for step in self.handed if step.episode in gone]:
            del self.handed[step]
        for key in [key for key in self.shown if key[0] in gone]:
            del self.shown[key]
        for key in [key for key in self.to_clear if key[0] in gone]:
            del self.to_clear[key]

    def _change(self, person: str, change: AlertEvent) -> list[Step]:
        self._forget(ms(change.at))
        if change.change == "acknowledged":
            return []
        if change.change == "opened":
            self.opened[change.episode] = ms(change.at)
            self.ended.pop(change.episode, None)
        opened = self.opened.get(change.episode, ms(change.at))
        for step in [step for step in self.refused if step.episode == change.episode]:
            self._settle(
                step, "undeliverable"
            )  # what could not be said in its time is said by what follows, or is over
        closing = change.change in ("resolved", "expired")
        if closing:
            self.opened.pop(change.episode, None)
            self.ended[change.episode] = ms(change.at)
            for step, due in self.due.items():
                due.closed |= step.episode == change.episode
        event = change.model_copy(update={"step": ALL_CLEAR if closing else change.step})
        steps = [Step(change.episode, event.step, target) for target in self.targets_of(person)]
        return [step for step in steps if self._becomes_due(step, event, person, opened)]

    def _becomes_due(self, step: Step, event: AlertEvent, person: str, opened_ms: int) -> bool:
        if step in self.done or step in self.due:
            return False
        if event.step == ALL_CLEAR:
            if event.quiet or event.change == "expired":
                self.to_clear[event.episode, step.target] = ms(event.at)
                return False
            if not self._was_told(step):
                return False
        self.due[step] = Due(event, person, opened_ms)
        return True

    def _was_told(self, clear: Step) -> bool:
        """An all-clear follows only what was, or still will be, said."""
        mine = (clear.episode, clear.target)
        return bool(self.shown.get(mine)) or any((s.episode, s.target) == mine for s in (*self.due, *self.attempted))
