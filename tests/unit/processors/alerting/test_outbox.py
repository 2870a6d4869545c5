"""Which messages are due, to whom, and until when."""

import itertools
from typing import Any

from processors.alerting.outbox import KEPT_MS, Outbox, Step
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
from schemas.envelope import Event, make
from schemas.model import at_ms
from tests.support.alerts import T0, event

numbers = itertools.count(1)


def new(text: str) -> str:
    """The same text, but another one, as each record of the log has its own."""
    return "".join(text)


def record(data: Any, person: str = "me") -> Event:
    n = next(numbers)
    return make(data, id=f"a{n}", source="test", subject=new(person), time=at_ms(T0 + n), recordedtime=at_ms(T0 + n))


def decided(*events: AlertEvent) -> Event:
    return record(AlertsDecided(pos=(next(numbers), 0, 0), events=events))


def armed(*targets: str) -> Outbox:
    box = Outbox(targets)
    for target in targets:
        box.evolve(record(TargetAdded(target=new(target))))
    return box


def outcome(kind: Any, step: Step, **more: Any) -> Event:
    return record(kind(episode=step.episode, step=step.step, target=step.target, sequence_id=step.sequence_id, **more))


def test_a_moment_after_the_clock_began_to_count_nothing_is_forgotten() -> None:
    box = armed("phone")
    (step,) = box.evolve(decided(event("low", at=at_ms(1))))
    box.evolve(outcome(Undeliverable, step, reason="no"))
    box.evolve(decided(event("low", "resolved", at=at_ms(1))))
    box.evolve(decided(event("high", at=at_ms(2))))
    assert step in box.done
    assert Outbox(()).newest_ms == 0


def test_every_step_is_due_at_every_target_once() -> None:
    box = armed("phone", "tablet")
    opened = decided(event("low"))
    assert len(box.evolve(opened)) == 2
    assert box.evolve(opened) == []
    assert {step.sequence_id for step in box.due} == {"low-1-1"}
    assert len(box.evolve(decided(event("low", "escalated", 2)))) == 2
    assert {step.sequence_id for step in box.due} == {"low-1-1", "low-1-2"}


def test_a_new_target_is_told_of_nothing_that_was_decided_before_it() -> None:
    box = Outbox(("phone",))
    assert box.evolve(decided(event("low"))) == []
    box.evolve(record(TargetAdded(target="phone")))
    assert [s.step for s in box.evolve(decided(event("low", "escalated", 2)))] == [2]


def test_what_was_delivered_is_due_no_more_and_an_attempt_without_outcome_is_in_doubt() -> None:
    box = armed("phone")
    (step,) = box.evolve(decided(event("low")))
    box.evolve(outcome(DeliveryAttempted, step))
    assert step in box.attempted
    box.evolve(outcome(Delivered, step))
    assert not box.due
    assert not box.attempted


def test_an_all_clear_follows_only_what_was_said() -> None:
    box = armed("phone")
    (step,) = box.evolve(decided(event("low")))
    box.evolve(outcome(Delivered, step))
    (clear,) = box.evolve(decided(event("low", "resolved")))
    assert clear.sequence_id == "low-1-clear"
    late = Outbox(("phone",))
    late.evolve(decided(event("low")))
    late.evolve(record(TargetAdded(target="phone")))
    assert late.evolve(decided(event("low", "resolved"))) == []


def test_what_another_alarm_takes_over_is_cleared_without_a_word() -> None:
    box = armed("phone")
    (step,) = box.evolve(decided(event("low")))
    box.evolve(outcome(Delivered, step))
    assert box.evolve(decided(event("low", "resolved", quiet=True))) == []
    assert ("low-1", "phone") in box.to_clear
    assert box.shown["low-1", "phone"] == {1}


def test_urgent_goes_before_old_and_a_low_before_two_thousand_stale_notices() -> None:
    box = armed("phone")
    for n in range(50):
        box.evolve(decided(event("stale", episode=f"stale-{n}", urgency=4)))
        box.episodes.open.clear()
    box.evolve(decided(event("urgent_low", urgency=0)))
    first = min(box.due.items(), key=lambda item: item[1].order)
    assert first[0].episode == "urgent_low-1"


# -- order -----------------------------------------------------------------------------------------


def order(box: Outbox) -> list[str]:
    """In which order the messages go out."""
    return [step.sequence_id for step, _ in sorted(box.due.items(), key=lambda item: item[1].order)]


def test_of_equally_urgent_messages_the_oldest_goes_first() -> None:
    box = armed("phone")
    box.evolve(decided(event("high", urgency=6, at=at_ms(T0 + 1))))
    box.evolve(decided(event("stale", urgency=6, at=at_ms(T0))))
    assert order(box) == ["stale-1-1", "high-1-1"]


def test_what_is_over_waits_for_everything_that_is_not() -> None:
    box = armed("phone")
    (step,) = box.evolve(decided(event("urgent_low", urgency=0)))
    box.evolve(outcome(Delivered, step))
    box.evolve(decided(event("low", urgency=2)))
    box.evolve(decided(event("low", "resolved", urgency=2)))
    box.evolve(decided(event("urgent_low", "resolved", urgency=0)))
    box.evolve(decided(event("no_long_acting", urgency=8)))
    assert order(box)[0] == "no_long_acting-1-1"
    assert set(order(box)[1:]) == {"low-1-1", "low-1-clear", "urgent_low-1-clear"}


def test_a_message_that_is_due_says_since_when_its_episode_is_open() -> None:
    box = armed("phone")
    box.evolve(decided(event("low")))
    box.evolve(decided(event("low", "escalated", 2, at=at_ms(T0 + 900_000))))
    box.evolve(decided(event("low", "resolved", at=at_ms(T0 + 1_800_000))))
    assert {due.opened_ms for due in box.due.values()} == {T0}
    assert len(box.due) == 3
    assert {due.person for due in box.due.values()} == {"me"}


def test_what_was_not_yet_said_of_an_alarm_that_is_over_is_over_and_nothing_else_is() -> None:
    for ends in ("low", "high"):
        box = armed("phone")
        (low,) = box.evolve(decided(event("low")))
        (high,) = box.evolve(decided(event("high")))
        assert not box.due[low].closed
        box.evolve(decided(event(ends, "resolved")))
        assert (box.due[low].closed, box.due[high].closed) == (ends == "low", ends == "high")


def test_an_answer_makes_nothing_due() -> None:
    box = armed("phone")
    box.evolve(decided(event("low")))
    assert box.evolve(decided(event("low", "acknowledged"))) == []
    assert len(box.due) == 1


# -- what came of it -------------------------------------------------------------------------------


def test_what_was_refused_for_good_is_due_no_more() -> None:
    box = armed("phone")
    (step,) = box.evolve(decided(event("low")))
    box.evolve(outcome(DeliveryAttempted, step))
    box.evolve(outcome(Undeliverable, step, reason="no"))
    assert (box.due, box.attempted, box.refused, box.done) == ({}, set(), set(), {step: "undeliverable"})
    assert not box.shown


def test_what_was_refused_until_the_account_is_put_right_stays_due() -> None:
    box = armed("phone")
    (step,) = box.evolve(decided(event("low")))
    box.evolve(outcome(DeliveryAttempted, step))
    box.evolve(outcome(Undeliverable, step, reason="no", final=False))
    assert (set(box.due), box.attempted, box.refused, box.done) == ({step}, set(), {step}, {})
    box.evolve(outcome(Delivered, step))
    assert (box.due, box.refused) == ({}, set())


def test_a_refusal_that_comes_late_makes_nothing_due_again() -> None:
    box = armed("phone")
    (step,) = box.evolve(decided(event("low")))
    box.evolve(outcome(Delivered, step))
    box.evolve(outcome(Undeliverable, step, reason="no", final=False))
    assert (box.due, box.refused) == ({}, set())


def test_what_could_not_be_said_in_its_time_is_said_by_what_follows() -> None:
    box = armed("phone")
    (first,) = box.evolve(decided(event("low")))
    (other,) = box.evolve(decided(event("high")))
    for step in (first, other):
        box.evolve(outcome(Undeliverable, step, reason="no", final=False))
    box.evolve(decided(event("low", "escalated", 2)))
    assert box.done == {first: "undeliverable"}
    assert box.refused == {other}
    assert {step.sequence_id for step in box.due} == {"low-1-2", "high-1-1"}


def test_an_answer_puts_nothing_right_that_was_refused() -> None:
    box = armed("phone")
    (step,) = box.evolve(decided(event("low")))
    box.evolve(outcome(Undeliverable, step, reason="no", final=False))
    box.evolve(decided(event("low", "acknowledged")))
    assert (set(box.due), box.refused) == ({step}, {step})


def test_what_follows_in_one_alarm_settles_nothing_of_another() -> None:
    box = armed("phone")
    (low,) = box.evolve(decided(event("low")))
    (high,) = box.evolve(decided(event("high")))
    box.evolve(outcome(Undeliverable, low, reason="no", final=False))
    box.evolve(outcome(Undeliverable, high, reason="no", final=False))
    box.evolve(decided(event("high", "escalated", 2)))
    assert box.refused == {low}


def test_an_all_clear_that_arrived_leaves_nothing_shown() -> None:
    box = armed("phone", "tablet")
    steps = box.evolve(decided(event("low")))
    for step in steps:
        box.evolve(outcome(Delivered, step))
    assert box.shown == {("low-1", "phone"): {1}, ("low-1", "tablet"): {1}}
    clears = box.evolve(decided(event("low", "resolved")))
    assert all(box.due[step].event.step == 0 for step in clears)
    box.evolve(outcome(Delivered, clears[0]))
    assert box.shown == {("low-1", clears[1].target): {1}}


def test_an_all_clear_follows_what_will_still_be_said_or_may_have_been() -> None:
    box = armed("phone")
    box.evolve(decided(event("low")))
    assert [step.step for step in box.evolve(decided(event("low", "resolved")))] == [0]
    doubt = armed("phone")
    (step,) = doubt.evolve(decided(event("low")))
    doubt.evolve(outcome(DeliveryAttempted, step))
    del doubt.due[step]
    assert [step.step for step in doubt.evolve(decided(event("low", "resolved")))] == [0]


def test_an_all_clear_of_another_episode_or_target_follows_nothing() -> None:
    box = armed("phone")
    (step,) = box.evolve(decided(event("low")))
    box.evolve(outcome(Undeliverable, step, reason="no"))
    box.evolve(decided(event("high")))
    box.evolve(record(TargetAdded(target="tablet")))
    assert box.evolve(decided(event("low", "resolved"))) == []
    other = armed("phone")
    (high,) = other.evolve(decided(event("high")))
    other.evolve(outcome(Undeliverable, high, reason="no"))
    other.evolve(decided(event("low")))
    assert other.evolve(decided(event("high", "resolved"))) == []


def test_what_expired_is_taken_off_the_phone_without_a_word() -> None:
    box = armed("phone")
    (step,) = box.evolve(decided(event("predicted_low")))
    box.evolve(outcome(Delivered, step))
    assert box.evolve(decided(event("predicted_low", "expired", at=at_ms(T0 + 5)))) == []
    assert box.to_clear == {("predicted_low-1", "phone"): T0 + 5}


# -- who is told -----------------------------------------------------------------------------------


def own(*targets: str, person: str = "me") -> Event:
    return record(PersonTold(targets=targets), person)


def test_who_has_phones_of_their_own_is_told_there_and_everybody_else_at_the_houses_that_were_added() -> None:
    box = Outbox(("phone", "tablet"))
    box.evolve(record(TargetAdded(target="phone")))
    assert box.targets_of("me") == ("phone",)
    box.evolve(own("mine", "ours"))
    assert box.targets_of("me") == ("mine", "ours")
    assert box.targets_of("Ada") == ("phone",)
    box.evolve(own())
    assert box.targets_of("me") == ("phone",)
    assert box.told == {}


def test_what_was_not_yet_sent_goes_along_to_the_new_phones() -> None:
    box = armed("phone")
    (step,) = box.evolve(decided(event("low")))
    (moved,) = box.evolve(own("mine"))
    assert moved == step._replace(target="mine")
    assert set(box.due) == {moved}
    assert box.done == {step: "removed"}
    assert box.handed == {step: [moved]}
    assert box.evolve(own("mine")) == []


def test_what_is_over_or_goes_to_a_phone_that_is_still_told_does_not_go_along() -> None:
    box = armed("phone")
    (low,) = box.evolve(decided(event("low")))
    box.evolve(decided(event("low", "resolved")))
    (high,) = box.evolve(decided(event("high")))
    assert box.evolve(own("phone", "mine")) == []
    assert set(box.due) == {low, low._replace(step=0), high}
    moved = box.evolve(own("mine"))
    assert moved == [high._replace(target="mine")]
    assert set(box.due) == set(moved)


def test_somebody_elses_messages_stay_where_they_are() -> None:
    box = armed("phone")
    box.evolve(record(AlertsDecided(pos=(1, 0, 0), events=(event("low", episode="hers"),)), "Ada"))
    (mine,) = box.evolve(decided(event("low")))
    box.evolve(own("mine"))
    assert {step.target for step in box.due if step.episode == "hers"} == {"phone"}
    assert {step.target for step in box.due if step.episode == mine.episode} == {"mine"}
    box.evolve(own("hers", person="Ada"))
    box.evolve(own("other"))
    other = armed("phone")
    (still,) = other.evolve(decided(event("low")))
    assert other.evolve(own("hers", person="Ada")) == []
    assert set(other.due) == {still}
    assert {step.target for step in box.due if step.episode == mine.episode} == {"other"}
    assert {step.target for step in box.due if step.episode == "hers"} == {"hers"}


def test_what_was_on_its_way_when_it_was_handed_on_rings_once() -> None:
    box = armed("phone")
    (step,) = box.evolve(decided(event("low")))
    box.evolve(outcome(DeliveryAttempted, step))
    box.evolve(own("mine"))
    box.evolve(outcome(Delivered, step))
    assert not box.due
    assert box.done == {step: "delivered", step._replace(target="mine"): "delivered"}
    assert not box.handed


def test_what_the_new_phone_has_got_already_is_not_due_to_it_again() -> None:
    box = armed("phone")
    (step,) = box.evolve(decided(event("low")))
    box.evolve(own("mine"))
    box.evolve(outcome(Delivered, step._replace(target="mine")))
    box.evolve(own("other"))
    assert box.evolve(own("mine")) == []
    assert not box.due


def test_of_two_phones_the_one_that_stays_is_told_nothing_twice() -> None:
    box = armed("phone", "tablet")
    low = box.evolve(decided(event("low")))
    box.evolve(outcome(Delivered, low[0]))
    (high, _) = box.evolve(decided(event("high")))
    assert box.evolve(own("phone")) == [], "it has one of them, and the other is due to it already"
    assert set(box.due) == {high}


def test_the_last_of_two_phones_may_be_removed_and_the_first_stays() -> None:
    box = armed("phone", "tablet")
    box.evolve(decided(event("low")))
    box.evolve(decided(event("predicted_low")))
    box.evolve(decided(event("predicted_low", "expired")))
    box.evolve(record(TargetRemoved(target=new("tablet"))))
    assert {step.target for step in box.due} == {"phone"}
    assert set(box.to_clear) == {("predicted_low-1", "phone")}


def test_a_phone_that_was_removed_is_told_nothing_more_not_even_what_is_due() -> None:
    box = armed("phone", "tablet")
    box.evolve(decided(event("low")))
    box.evolve(decided(event("predicted_low")))
    box.evolve(decided(event("predicted_low", "expired")))
    assert set(box.to_clear) == {("predicted_low-1", "phone"), ("predicted_low-1", "tablet")}
    box.evolve(record(TargetRemoved(target=new("phone"))))
    assert box.armed == {"tablet"}
    assert {step.target for step in box.due} == {"tablet"}
    assert set(box.done.values()) == {"removed"}
    assert set(box.to_clear) == {("predicted_low-1", "tablet")}
    assert {step.target for step in box.evolve(decided(event("high")))} == {"tablet"}
    box.evolve(record(TargetRemoved(target="never there")))


# -- what is forgotten -----------------------------------------------------------------------------


def later(ms: int, kind: str = "high", **more: Any) -> Event:
    return decided(event(kind, at=at_ms(T0 + ms), **more))


def over() -> tuple[Outbox, Step]:
    """A low that rang, was delivered and ended at T0, on a phone that shows its all-clear no more."""
    box = armed("phone")
    (step,) = box.evolve(decided(event("low")))
    box.evolve(outcome(Delivered, step))
    (clear,) = box.evolve(decided(event("low", "resolved")))
    box.evolve(outcome(Delivered, clear))
    return box, step


def test_an_episode_that_is_over_is_forgotten_after_two_days() -> None:
    assert KEPT_MS == 2 * 24 * 3_600_000
    box, step = over()
    box.evolve(later(KEPT_MS))
    assert step in box.done
    assert box.ended == {"low-1": T0}
    box.evolve(later(KEPT_MS + 1, "stale"))
    assert not box.done
    assert not box.ended
    assert set(box.opened) == {"high-1", "stale-1"}


def test_all_that_belongs_to_an_episode_is_forgotten_with_it_and_nothing_else() -> None:
    box = armed("phone")
    for name in ("a", "b"):
        steps = box.evolve(decided(event("low", episode=name)))
        box.evolve(outcome(Delivered, steps[0]))
        box.evolve(decided(event("low", "resolved", episode=name, quiet=True, at=at_ms(T0 + (name == "b")))))
        box.attempted.add(Step(name, 7, "phone"))
        box.handed[Step(name, 8, "phone")] = []
    box.evolve(later(KEPT_MS + 1))
    assert {step.episode for step in box.done} == {"b"}
    assert box.attempted == {Step("b", 7, "phone")}
    assert set(box.handed) == {Step("b", 8, "phone")}
    assert set(box.shown) == {("b", "phone")}
    assert set(box.to_clear) == {("b", "phone")}


def test_what_is_still_due_is_kept_however_long_that_takes() -> None:
    box = armed("phone")
    box.evolve(decided(event("low")))
    box.evolve(decided(event("low", "resolved")))
    box.evolve(later(3 * KEPT_MS))
    assert {step.episode for step in box.due} == {"low-1", "high-1"}
    assert "low-1" in box.ended


def test_what_comes_late_of_an_episode_that_nobody_knows_is_forgotten_in_its_turn() -> None:
    box = armed("phone")
    box.evolve(later(1000))
    box.evolve(outcome(Delivered, Step("unknown", 1, "phone")))
    box.evolve(outcome(DeliveryAttempted, Step("unheard", 1, "phone")))
    assert box.ended == {"unknown": T0 + 1000, "unheard": T0 + 1000}
    box.evolve(later(KEPT_MS, "stale"))
    assert len(box.done) == 1
    box.evolve(later(KEPT_MS + 1001, "low"))
    assert not box.done
    assert not box.attempted


def test_an_outbox_knows_the_latest_time_that_was_decided_at() -> None:
    box = armed("phone")
    box.evolve(later(1000))
    box.evolve(later(0, "low"))
    assert box.newest_ms == T0 + 1000


def test_an_episode_that_opens_again_under_its_name_is_over_no_more() -> None:
    box, _ = over()
    assert box.evolve(decided(event("low", at=at_ms(T0 + 9)))) == [], "its first step has arrived before"
    assert not box.due
    assert (box.opened, box.ended) == ({"low-1": T0 + 9}, {})
