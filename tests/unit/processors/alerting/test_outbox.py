"""Which messages are due, to whom, and until when."""

from processors.alerting.outbox import Outbox
from schemas.alerts import (
    Delivered,
    DeliveryAttempted,
    TargetAdded,
    Undeliverable,
)
from schemas.model import at_ms
from tests.support.alerts import T0, event
from tests.support.outbox_records import armed, decided, outcome, record


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
