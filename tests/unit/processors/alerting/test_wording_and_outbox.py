"""What a notification says, and which messages are due."""

import itertools
import re
from typing import Any

import pytest

from processors.alerting import wording as words
from processors.alerting.outbox import Outbox, Step
from schemas.alerts import AlertEvent, AlertsDecided, Delivered, DeliveryAttempted, Evidence, TargetAdded
from schemas.envelope import Event, make
from schemas.model import at_ms

T0 = 1_795_500_000_000
FORBIDDEN = re.compile(r"\b(missed|forgot|forgotten|take|inject now|must inject|you should|dose now)\b", re.IGNORECASE)
KINDS = ("urgent_low", "low", "predicted_low", "high", "stale", "no_long_acting", "system")


def event(kind: str, change: str = "opened", step: int = 1, **more: Any) -> AlertEvent:
    evidence = Evidence(
        glucose_mgdl=62.0, delta_mgdl=-6.0, trend="SingleDown", reading_time=at_ms(T0 - 240_000), chance=0.33, insulin="Tresiba",
        last_logged=at_ms(T0 - 26 * 3_600_000), reason="Dexcom: no data", name="Maya", unit=more.pop("unit", "mmol/L"), zone="Europe/Berlin",
    )  # fmt: skip
    fields = {
        "change": change,
        "kind": kind,
        "step": step,
        "episode": f"{kind}-1",
        "priority": 4,
        "urgency": 2,
        "at": at_ms(T0),
        "evidence": evidence,
    }
    return AlertEvent.model_validate(fields | more)


@pytest.mark.parametrize("kind", KINDS)
def test_no_sentence_orders_anybody_to_act_or_says_that_something_was_missed(kind: str) -> None:
    cases = itertools.product((1, 2, 5), ("mmol/L", "mg/dL"), ("", "Dad"), (None, 55.0, 70.0), (False, True))
    for step, unit, by, limit, bare in cases:
        ring, over = event(kind, step=step, unit=unit, by=by), event(kind, change="resolved", unit=unit)
        known = Evidence(reason="Dexcom: no data", insulin="Tresiba") if bare else ring.evidence
        ring = ring.model_copy(update={"evidence": known.model_copy(update={"limit_mgdl": limit})})
        said = (words.title(ring), words.body(ring, T0), words.page_body(ring, T0 - 600_000, 50.0, T0))
        for text in (*said, words.clear_title(over), words.clear_body(over, T0 - 600_000, T0)):
            assert not FORBIDDEN.search(text), text
            assert text
            assert "None" not in text
        assert "%" not in words.body(ring, T0)


def test_a_reminder_never_says_that_nobody_answered_when_somebody_had() -> None:
    assert "nobody has answered" in words.body(event("low", "escalated", 2), T0)
    answered = words.body(event("low", "escalated", 2, by="Dad"), T0)
    assert ("Dad answered before" in answered, "nobody" in answered) == (True, False)


def test_an_urgent_low_is_called_urgent_only_while_it_is() -> None:
    rising = event("urgent_low", "escalated", 3)
    rising = rising.model_copy(update={"evidence": rising.evidence.model_copy(update={"limit_mgdl": 55.0})})
    assert words.title(rising) == "Maya: Still low 3.4 ↓"
    assert "urgent limit" not in words.body(rising, T0)


def test_a_message_says_how_old_what_it_knows_is_at_the_moment_of_sending() -> None:
    low = event("low")
    assert "last reading 4 min ago" in words.body(low, T0)
    assert "last reading 1 h 4 min ago" in words.body(low, T0 + 3_600_000)
    assert words.body(low, T0) == "Below the low limit: 3.4 ↓ mmol/L, −0.3; last reading 4 min ago."
    assert words.title(low) == "Maya: Low 3.4 ↓"
    assert (
        words.body(event("stale"), T0)
        == "Last known 3.4 ↓ 4 min ago, nothing since (Dexcom: no data). Check by finger-stick."
    )
    assert words.body(event("no_long_acting"), T0).startswith(
        "No Tresiba logged for 26 h. It may have been given and not logged"
    )
    assert words.body(event("predicted_low"), T0).startswith("About 1 in 3 chance below 3.9 within 30 min")


def test_low_and_high_are_words_never_39_or_401() -> None:
    for value, word in ((39.0, "LOW"), (401.0, "HIGH")):
        evidence = event("urgent_low").evidence.model_copy(update={"glucose_mgdl": value, "trend": None})
        assert words.value_words(evidence) == word


def test_a_time_without_a_known_zone_says_that_it_is_utc() -> None:
    assert words.clock_words(at_ms(T0), None).endswith(" UTC")
    assert words.clock_words(at_ms(T0), "Asia/Kathmandu") != words.clock_words(at_ms(T0), "Europe/Berlin")


# -- outbox ----------------------------------------------------------------------------------------

numbers = itertools.count(1)


def record(data: Any) -> Event:
    n = next(numbers)
    return make(data, id=f"a{n}", source="test", subject="me", time=at_ms(T0 + n), recordedtime=at_ms(T0 + n))


def decided(*events: AlertEvent) -> Event:
    return record(AlertsDecided(pos=(next(numbers), 0, 0), events=events))


def armed(*targets: str) -> Outbox:
    box = Outbox(targets)
    for target in targets:
        box.evolve(record(TargetAdded(target=target)))
    return box


def outcome(kind: Any, step: Step, **more: Any) -> Event:
    return record(kind(episode=step.episode, step=step.step, target=step.target, sequence_id=step.sequence_id, **more))


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
