"""What is being sent: the outbox of one partition as the log says it, and what this process did that the log has not
said yet.

The outbox is one fold, of records read back. An attempt, an arrival or a refusal counts here a moment before its record
is folded, so that nothing is sent twice meanwhile; once the log says it too, it is forgotten here. What was taken off a
phone is noted nowhere else: after a start it is taken off once more, which shows nobody anything.
"""

from dataclasses import dataclass, field

from processors.alerting.outbox import Due, Outbox, Step

Shown = tuple[str, str]  # (episode, target)


@dataclass
class OutboxInFlight:
    """One partition's messages. `outbox` is only read here."""

    outbox: Outbox
    _attempted: set[Step] = field(default_factory=set)  # and no word of the outcome yet
    _answered: set[Step] = field(default_factory=set)  # refused once more, which is written down only the first time
    _refused: set[Step] = field(default_factory=set)
    _settled: set[Step] = field(default_factory=set)  # gone out, or never will
    _arrived: set[Step] = field(default_factory=set)
    _cleared: set[Step] = field(default_factory=set)
    _ended: set[Shown] = field(default_factory=set)

    def caught_up(self) -> None:
        """The log was folded further: forget what it says too."""
        outbox = self.outbox
        self._attempted -= outbox.attempted | outbox.done.keys()
        self._answered &= outbox.due.keys()
        self._refused = (self._refused & outbox.due.keys()) - outbox.refused
        self._settled -= outbox.done.keys()
        self._arrived -= outbox.done.keys()
        self._cleared = {s for s in self._cleared if s in self._arrived or s.step in outbox.shown.get(_place(s), ())}
        self._ended &= outbox.to_clear.keys()

    # -- what is due -------------------------------------------------------------------------------

    def due(self) -> dict[Step, Due]:
        """Every message that must still go out."""
        if not self._settled:
            return self.outbox.due
        return {step: due for step, due in self.outbox.due.items() if step not in self._settled}

    def is_due(self, step: Step) -> bool:
        """Whether it must still go out."""
        return step in self.outbox.due and step not in self._settled

    def is_done(self, step: Step) -> bool:
        """Whether it went out, or never will."""
        return step in self.outbox.done or step in self._settled

    def is_in_doubt(self, step: Step) -> bool:
        """Whether it was attempted and nothing is known of the outcome: the server is asked before it is sent again."""
        return step in self._attempted or (step in self.outbox.attempted and step not in self._answered)

    def was_refused(self, step: Step) -> bool:
        """Whether it waits for the account to be put right, and the log has been told so."""
        return step in self._refused or step in self.outbox.refused

    # -- what became of it -------------------------------------------------------------------------

    def attempted(self, step: Step) -> None:
        """It is about to be sent, or was sent and nobody knows whether it arrived."""
        self._attempted.add(step)
        self._answered.discard(step)

    def delivered(self, step: Step) -> None:
        """The target took it. Where it was handed on while it was on its way, somebody has been told."""
        self._arrived.add(step)
        self._settled |= {step, *(other for other in self.outbox.handed.get(step, ()) if other in self.outbox.due)}
        self._attempted -= self._settled

    def refuse(self, step: Step, *, final: bool) -> None:
        """The target did not take it: for good, or until the account is put right. Then it stays due."""
        self._attempted.discard(step)
        if final:
            self._settled.add(step)
        else:
            self._answered.add(step)
            self._refused.add(step)

    # -- what lies on phones -----------------------------------------------------------------------

    def shown(self, key: Shown) -> list[Step]:
        """The messages of an episode that a target shows, in order."""
        steps = self.outbox.shown.get(key, set()) | {step.step for step in self._arrived if _place(step) == key}
        found = (Step(key[0], number, key[1]) for number in sorted(steps))
        return [step for step in found if step not in self._cleared]

    def cleared(self, step: Step) -> None:
        """It was taken off."""
        self._cleared.add(step)

    def to_clear(self) -> dict[Shown, int]:
        """What ended without a word and may still be shown: when it ended."""
        return {key: at_ms for key, at_ms in self.outbox.to_clear.items() if key not in self._ended}

    def ended(self, key: Shown) -> None:
        """All of it was taken off, or is too old to be."""
        self._ended.add(key)


def _place(step: Step) -> Shown:
    return step.episode, step.target
