"""Who is told of an alarm, and what the outbox forgets."""

from typing import Any

from processors.alerting.outbox import KEPT_MS, Outbox, Step
from schemas.alerts import (
    AlertsDecided,
    Delivered,
    DeliveryAttempted,
    PersonTold,
    TargetAdded,
    TargetRemoved,
)
from schemas.envelope import Event
from schemas.model import at_ms
from tests.support.alerts import T0, event
from tests.support.outbox_records import armed, decided, new, outcome, record


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
