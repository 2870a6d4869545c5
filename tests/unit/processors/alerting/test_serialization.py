"""What is put away of a fold of alerts, and what is forgotten, changes nothing: not what is due, not what rings."""

from dataclasses import fields
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from processors.alerting import outbox as outbox_module
from processors.alerting.outbox import KEPT_MS, Outbox, Step
from processors.alerting.serialization import dump_episodes, dump_outbox, load_episodes, load_outbox
from schemas.alerts import (
    AlertEvent,
    AlertsDecided,
    Delivered,
    DeliveryAttempted,
    Evidence,
    PersonTold,
    TargetAdded,
    TargetRemoved,
    Undeliverable,
)
from schemas.envelope import Event, decode, encode, make
from schemas.model import at_ms

T0 = 1_795_500_000_000
PEOPLE, KINDS, TARGETS = ("me", "Ada"), ("low", "high", "system"), ("phone", "tablet", "own")
MIN, DAY = 60_000, 86_400_000


HOUSE = ("phone", "tablet")


def told(person: str) -> tuple[str, ...]:
    return ("phone", "tablet") if person == "me" else ("own",)


OPS = st.tuples(
    st.sampled_from(
        (*["decide"] * 3, "attempt", *["deliver"] * 2, "refuse", "refuse for good", "target", "zombie", "again")
    ),
    st.integers(0, 11),  # whom, what kind, which target
    st.integers(0, 7),  # what becomes of the episode
    st.sampled_from((MIN, MIN, 20 * MIN, 5 * 60 * MIN, DAY, 3 * DAY)),
    st.integers(0, 400),  # which of what was there before
)  # fmt: skip


class History:
    """A log of alerts as an alerter and a notifier write it, with what zombies write in between."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.now_ms, self.offset, self.opened = T0, 0, 0
        self.open: dict[tuple[str, str], tuple[str, int]] = {}
        self.steps: list[Step] = []

    def add(self, data: Any, person: str) -> None:
        self.events.append(
            make(
                data,
                id=f"a{len(self.events)}",
                source="test",
                subject=person,
                time=at_ms(self.now_ms),
                recordedtime=at_ms(self.now_ms),
            )
        )

    def go_on(self, op: tuple[str, int, int, int, int]) -> None:
        what, which, fate, later_ms, back = op
        self.now_ms += later_ms
        person, kind, target = PEOPLE[which % 2], KINDS[which % 3], TARGETS[which % 3]
        if what == "decide":
            self._decide(person, kind, fate)
        elif what == "target" and fate in (1, 2):
            self.add(PersonTold(targets=(target,) if fate == 1 else ()), person)
        elif what == "target":
            self.add(TargetRemoved(target=target) if fate == 0 else TargetAdded(target=target), target)
        elif what == "again" and self.events:
            self.events.append(self.events[back % len(self.events)])
        elif what == "zombie" and self.offset:
            self._zombie(person, kind, back % self.offset)
        elif self.steps:
            episode, step, to = self.steps[-1 - back % min(8, len(self.steps))]
            name = {"episode": episode, "step": step, "target": to, "sequence_id": "s"}
            match what:
                case "attempt":
                    self.add(DeliveryAttempted(**name), person)
                case "deliver":
                    self.add(Delivered(**name), person)
                case "refuse" | "refuse for good":
                    self.add(Undeliverable(**name, reason="no", final=what != "refuse"), person)

    def _decide(self, person: str, kind: str, fate: int) -> None:
        self.offset += 1
        episode, step = self.open.get((person, kind), ("", 0))
        if not episode:
            self.opened += 1
            episode, step, change = f"{kind}-{self.opened}", 1, "opened"
        else:
            change = (
                "escalated",
                "escalated",
                "acknowledged",
                "resolved",
                "resolved",
                "expired",
                "expired",
                "resolved",
            )[fate]
            step += change == "escalated"
        self.open[person, kind] = (episode, step)
        if change in ("resolved", "expired"):
            del self.open[person, kind]
        self.steps += [Step(episode, n, to) for n in (step, 0) for to in told(person)]
        self.add(
            AlertsDecided(pos=(self.offset, 0, 0), events=(self._event(episode, kind, change, step, quiet=fate > 5),)),
            person,
        )

    def _zombie(self, person: str, kind: str, offset: int) -> None:
        """A worker that was stopped and woken decides at a place that its successor has gone past."""
        mine = max(
            (e.data.pos[0] for e in self.events if isinstance(e.data, AlertsDecided) and e.subject == person),
            default=-1,
        )
        if mine >= 0:
            said = self._event(f"{kind}-z{offset}", kind, "opened", 1, quiet=False)
            self.add(AlertsDecided(pos=(min(mine, offset), 0, 0), events=(said,)), person)

    def _event(self, episode: str, kind: str, change: Any, step: int, *, quiet: bool) -> AlertEvent:
        evidence = Evidence(
            glucose_mgdl=61.3, reading_time=at_ms(self.now_ms - 7), chance=1 / 3, reason='"\\é\n', name="Ada, Mary"
        )
        return AlertEvent(
            change=change,
            episode=episode,
            kind=kind,
            step=step,
            priority=4,
            urgency=2,
            at=at_ms(self.now_ms),
            evidence=evidence,
            by="Dad",
            quiet=quiet,
        )


def history(ops: list[Any]) -> list[Event]:
    made = History()
    for target in TARGETS:
        made.add(TargetAdded(target=target), target)
    for op in ops:
        made.go_on(op)
    return [decode(encode(event)) for event in made.events]


def same(one: Outbox, other: Outbox) -> None:
    for part in fields(Outbox):
        assert getattr(one, part.name) == getattr(other, part.name), part.name
    assert list(one.due) == list(other.due), "the order in which messages go out"


@settings(max_examples=300, deadline=None)
@given(st.lists(OPS, max_size=120), st.integers(0, 123))
def test_a_snapshot_anywhere_changes_nothing(ops: list[Any], cut: int) -> None:
    whole = Outbox(HOUSE)
    events = history(ops)
    due = [whole.evolve(event) for event in events]
    before = Outbox(HOUSE)
    for event in events[:cut]:
        before.evolve(event)
    text = dump_outbox(before)
    after = load_outbox(text, HOUSE)
    same(after, before)
    assert dump_outbox(after) == text
    assert [after.evolve(event) for event in events[cut:]] == due[cut:]
    same(after, whole)


@settings(max_examples=100, deadline=None)
@given(st.lists(OPS, max_size=120))
def test_a_snapshot_of_episodes_holds_all_of_them(ops: list[Any]) -> None:
    box = Outbox(HOUSE)
    for event in history(ops):
        box.evolve(event)
        assert load_episodes(dump_episodes(box.episodes)) == box.episodes


@settings(max_examples=300, deadline=None)
@given(st.lists(OPS, max_size=120))
def test_what_is_forgotten_makes_no_step_due_and_keeps_none_back(ops: list[Any]) -> None:
    forgetting, remembering = Outbox(HOUSE), _Remembering(HOUSE)
    for event in history(ops):
        assert forgetting.evolve(event) == remembering.evolve(event)
        assert forgetting.due == remembering.due
        assert forgetting.refused == remembering.refused
        assert forgetting.attempted & forgetting.due.keys() == remembering.attempted & remembering.due.keys()
    known = {step: outcome for step, outcome in remembering.done.items() if step in forgetting.done}
    assert forgetting.done == known


class _Remembering(Outbox):
    """Never forgets."""

    def _forget(self, now_ms: int) -> None:
        self.newest_ms = max(self.newest_ms, now_ms)


def test_an_outbox_does_not_grow_with_the_years() -> None:
    made = History()
    for target in TARGETS:
        made.add(TargetAdded(target=target), target)
    sizes = []
    box, folded = Outbox(HOUSE), 0
    for n in range(
        2_000
    ):  # 20 alarms a day for a hundred days, each delivered, some of them refused or without an end on the phone
        for op in (
            ("decide", 0, 0, 40 * MIN, 0),
            ("attempt", 0, 0, MIN, 1),
            ("deliver", 0, 0, MIN, 1),
            ("decide", 0, 3 + n % 5, 30 * MIN, 0),
        ):
            made.go_on(op)
        if n % 3:
            made.go_on(("deliver", 0, 0, 1, 0))
        if n > 300:
            made.go_on(("again", 0, 0, 1, 4 * n))  # what was delivered months ago is said once more
        for event in made.events[folded:]:
            box.evolve(event)
        folded = len(made.events)
        for step in list(box.due):
            box.delivered(step)
        sizes.append(
            sum(len(part) for part in (box.done, box.attempted, box.shown, box.to_clear, box.opened, box.ended))
        )
    per_day = 20 * (4 + 2 + 2 + 1)
    assert max(sizes) < (KEPT_MS // DAY + 1) * per_day
    assert max(sizes[-500:]) < 1.2 * max(sizes[200:700])


def test_what_waits_for_a_phone_that_is_off_for_a_week_is_not_forgotten() -> None:
    made = History()
    made.add(PersonTold(targets=("own",)), PEOPLE[1])
    made.go_on(("decide", 1, 0, MIN, 0))
    for _ in range(7):
        made.go_on(("decide", 0, 0, DAY, 0))
        made.go_on(("decide", 0, 3, MIN, 0))
    box = Outbox(HOUSE)
    for event in made.events:
        box.evolve(event)
    assert [step.target for step in box.due] == ["own"]
    assert outbox_module.KEPT_MS < 7 * DAY
