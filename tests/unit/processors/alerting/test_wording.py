"""What a notification says."""

import itertools
import re
from datetime import UTC, datetime
from typing import Any

import pytest

from processors.alerting import wording as words
from schemas.alerts import AlertEvent, Evidence
from schemas.model import at_ms
from tests.support.alerts import T0, event

FORBIDDEN = re.compile(r"\b(missed|forgot|forgotten|take|inject now|must inject|you should|dose now)\b", re.IGNORECASE)
KINDS = ("urgent_low", "low", "predicted_low", "high", "stale", "no_long_acting", "system")


# -- wherever the clock stands ---------------------------------------------------------------------


def test_an_age_is_a_difference_of_times() -> None:
    bare = {"name": "", "delta_mgdl": None, "reading_time": at_ms(5), "last_logged": at_ms(5)}
    for now, age in ((60_003, "just now"), (60_005, "1 min ago")):
        assert words.body(known("high", **bare), now).endswith(f"; last reading {age}.")
        assert words.body(known("stale", **bare), now).startswith(f"Last known 3.4 ↓ {age}, nothing since")
        assert words.clear_body(known("low", "resolved", **bare), 5, now).endswith(f"; last reading {age}.")
        assert words.clear_body(known("no_long_acting", "resolved", **bare), 5, now) == f"Logged {age}."
        assert words.page_body(known("high", limit_mgdl=240.0, **bare), 5, None, now).endswith(f"last reading {age}.")
    for at, minutes in ((60_004, 1), (120_004, 1), (120_005, 2)):
        assert words.clear_body(event("system", "resolved", at=at_ms(at)), 5, at) == f"After {minutes} min."
    assert words.hours_words(1) == "0 h"
    for now, hours in ((3_600_004, 0), (3_600_005, 1)):
        assert words.body(known("no_long_acting", **bare), now).startswith(f"No Tresiba logged for {hours} h.")


def test_what_a_clock_a_little_ahead_has_dated_is_from_just_now() -> None:
    assert words.body(known("high", reading_time=at_ms(T0 + 5)), T0).endswith("last reading just now.")
    assert words.body(known("stale", reading_time=at_ms(T0 + 5)), T0).startswith("Last known 3.4 ↓ just now")
    assert words.body(known("no_long_acting", last_logged=at_ms(T0 + 5)), T0).startswith("No Tresiba logged for 0 h.")
    assert words.clear_body(event("system", "resolved"), T0 + 60_000, T0) == "After 1 min."


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


# -- numbers in words ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chance", "said"),
    [
        (0, "Less than 1 in 20"),
        (0.049, "Less than 1 in 20"),
        (0.05, "About 1 in 10"),
        (0.139, "About 1 in 10"),
        (0.14, "About 1 in 5"),
        (0.219, "About 1 in 5"),
        (0.22, "About 1 in 4"),
        (0.289, "About 1 in 4"),
        (0.29, "About 1 in 3"),
        (0.399, "About 1 in 3"),
        (0.40, "About 1 in 2"),
        (0.599, "About 1 in 2"),
        (0.60, "About 2 in 3"),
        (0.709, "About 2 in 3"),
        (0.71, "About 3 in 4"),
        (0.849, "About 3 in 4"),
        (0.85, "About 9 in 10"),
        (1, "About 9 in 10"),
    ],
)
def test_a_chance_is_said_as_the_nearest_natural_frequency(chance: float, said: str) -> None:
    assert words.chance_words(chance) == said


@pytest.mark.parametrize(
    ("age_ms", "said"),
    [
        (-5, "just now"),
        (0, "just now"),
        (59_999, "just now"),
        (60_000, "1 min ago"),
        (3_599_999, "59 min ago"),
        (3_600_000, "1 h ago"),
        (3_660_000, "1 h 1 min ago"),
        (7_199_999, "1 h 59 min ago"),
        (7_200_000, "2 h ago"),
        (1999 * 86_400_000, "1999 d 0 h ago"),
        (86_399_999, "23 h 59 min ago"),
        (86_400_000, "1 d 0 h ago"),
        (2 * 86_400_000 + 3 * 3_600_000 + 3_599_999, "2 d 3 h ago"),
    ],
)
def test_an_age_is_said_in_whole_minutes_hours_or_days(age_ms: int, said: str) -> None:
    assert words.age_words(age_ms) == said


def test_a_length_is_said_in_whole_hours_and_is_never_negative() -> None:
    lengths = (-9_000_000, 0, 3_599_999, 3_600_000, 26 * 3_600_000 + 1)
    assert [words.hours_words(ms) for ms in lengths] == ["0 h", "0 h", "0 h", "1 h", "26 h"]


def test_a_time_of_day_is_that_of_the_persons_zone() -> None:
    assert words.clock_words(at_ms(T0), None) == "06:00 UTC"
    assert words.clock_words(at_ms(T0), "Asia/Kathmandu") == "11:45"


def test_a_value_without_a_trend_or_with_one_that_has_no_arrow_stands_alone() -> None:
    assert words.value_words(Evidence(glucose_mgdl=104, unit="mg/dL", trend="SingleUp")) == "104 ↑"
    assert words.value_words(Evidence(glucose_mgdl=104, trend="NotComputable")) == "5.8"
    assert words.value_words(Evidence(glucose_mgdl=104)) == "5.8"
    assert words.value_words(Evidence(trend="Flat")) == ""


def known(kind: str, change: str = "opened", step: int = 1, **evidence: Any) -> AlertEvent:
    one = event(kind, change, step)
    return one.model_copy(update={"evidence": one.evidence.model_copy(update=evidence)})


@pytest.mark.parametrize(
    ("delta", "unit", "said"),
    [
        (-6.0, "mmol/L", ", −0.3"),
        (6.0, "mmol/L", ", +0.3"),
        (0.0, "mmol/L", ", ±0.0"),
        (-6.0, "mg/dL", ", −6"),
        (0.6, "mg/dL", ", +1"),
        (-0.6, "mg/dL", ", −1"),
        (18.01559, "mmol/L", ", +1.0"),
        (None, "mg/dL", ""),
    ],
)
def test_a_change_has_its_sign_and_the_persons_unit(delta: float | None, unit: str, said: str) -> None:
    value = "3.4 ↓ mmol/L" if unit == "mmol/L" else "62 ↓ mg/dL"
    low = known("low", delta_mgdl=delta, unit=unit)
    assert words.body(low, T0) == f"Below the low limit: {value}{said}; last reading 4 min ago."


# -- titles and bodies -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("urgent_low", "URGENT LOW 3.4 ↓"),
        ("low", "Low 3.4 ↓"),
        ("predicted_low", "Low predicted, now 3.4 ↓"),
        ("high", "High 3.4 ↓"),
        ("stale", "No readings"),
        ("no_long_acting", "No Tresiba logged"),
        ("system", "iv3 needs attention"),
    ],
)
def test_a_title_says_what_it_is_and_of_whom(kind: str, said: str) -> None:
    assert words.title(event(kind)) == f"Maya: {said}"
    assert words.title(known(kind, name="")) == said


def test_readings_lost_while_low_are_called_so() -> None:
    lost = event("stale", urgency=1)
    assert words.title(lost) == "Maya: Lost while low"
    assert words.title(event("stale", urgency=0)) == words.title(event("stale", urgency=4)) == "Maya: No readings"


@pytest.mark.parametrize(("kind", "limit", "what"), [("urgent_low", 55.0, "an urgent low"), ("low", 60.0, "a low")])
def test_above_its_limit_a_low_is_not_yet_clear_and_at_its_limit_it_still_is_one(
    kind: str, limit: float, what: str
) -> None:
    above = known(kind, limit_mgdl=limit)
    assert words.body(above, T0) == f"Not yet clear of {what}: 3.4 ↓ mmol/L, −0.3; last reading 4 min ago."
    assert words.title(above) == ("Maya: Still low 3.4 ↓" if kind == "urgent_low" else "Maya: Not yet clear 3.4 ↓")
    at_limit = known(kind, limit_mgdl=float("62"))
    assert words.body(at_limit, T0).startswith(
        "Below the urgent limit" if kind == "urgent_low" else "Below the low limit"
    )
    assert words.body(known(kind, limit_mgdl=limit, glucose_mgdl=None), T0).startswith("Below the")
    assert words.body(known(kind, limit_mgdl=None), T0).startswith("Below the")
    assert words.body(known(kind, limit_mgdl=70.0), T0).startswith("Below the")


def test_each_kind_says_what_happened_how_sure_it_is_and_how_old_it_is() -> None:
    assert words.body(known("predicted_low", limit_mgdl=72.1), T0) == (
        "About 1 in 3 chance below 4.0 within 30 min; last reading 4 min ago."
    )
    assert words.body(known("predicted_low", limit_mgdl=None, chance=None), T0) == (
        "Less than 1 in 20 chance below 3.9 within 30 min; last reading 4 min ago."
    )
    assert words.body(known("predicted_low", unit="mg/dL"), T0).startswith("About 1 in 3 chance below 70 within")
    assert words.body(known("high", reading_time=None), T0) == (
        "Above the high limit for an hour or more: 3.4 ↓ mmol/L, −0.3; no reading yet."
    )
    assert words.body(known("stale", reading_time=None), T0) == "Nothing yet (Dexcom: no data). Check by finger-stick."
    assert words.body(known("no_long_acting", last_logged=None), T0) == (
        "No Tresiba logged. It may have been given and not logged: check before injecting."
    )
    assert words.body(known("no_long_acting"), T0 + 3_600_000) == (
        "No Tresiba logged for 27 h. It may have been given and not logged: check before injecting."
    )
    assert words.body(known("system", reason="the disk is full"), T0) == "The disk is full."


def test_a_reminder_says_which_one_it_is_except_for_readings_that_are_lost() -> None:
    assert "Reminder" not in words.body(event("high"), T0)
    assert "Reminder" not in words.body(event("high", step=0), T0)
    for kind in set(KINDS) - {"stale"}:
        assert words.body(event(kind, step=2), T0).endswith(" Reminder 1, nobody has answered yet.")
    assert words.body(event("high", step=2), T0).endswith(" Reminder 1, nobody has answered yet.")
    assert words.body(event("high", step=5), T0).endswith(" Reminder 4, nobody has answered yet.")
    assert words.body(event("high", step=3, by="Dad"), T0).endswith("ago. Dad answered before, and it is still so.")
    assert words.body(event("stale", step=3), T0).endswith("Check by finger-stick.")
    assert words.body(event("stale", step=3, by="Dad"), T0).endswith("Check by finger-stick.")


# -- the page --------------------------------------------------------------------------------------


def test_the_page_says_since_when_and_how_low_it_went() -> None:
    low = known("low", limit_mgdl=70.0)
    assert words.page_body(low, T0, 50.0, T0) == "Below 3.9 at 07:00, lowest 2.8; last reading 4 min ago."
    assert words.page_body(low, T0, None, T0) == "Below 3.9 at 07:00; last reading 4 min ago."
    urgent = known("urgent_low", limit_mgdl=55.0, unit="mg/dL", zone=None)
    assert words.page_body(urgent, T0, 39.0, T0) == "Below 55 at 06:00 UTC, lowest LOW; last reading 4 min ago."


def test_the_page_says_since_when_it_is_high() -> None:
    high = known("high", limit_mgdl=240.0)
    assert words.page_body(high, T0, 50.0, T0 + 60_000) == (
        "Above 13.3 for an hour or more at 07:00; last reading 5 min ago."
    )


@pytest.mark.parametrize("kind", KINDS)
def test_where_no_limit_or_no_reading_is_known_the_page_says_what_the_message_says(kind: str) -> None:
    for more in ({"limit_mgdl": None}, {"limit_mgdl": 70.0, "reading_time": None}):
        one = known(kind, **more)
        assert words.page_body(one, T0, 50.0, T0) == words.body(one, T0)
    if kind not in ("urgent_low", "low", "high"):
        one = known(kind, limit_mgdl=70.0)
        assert words.page_body(one, T0, 50.0, T0) == words.body(one, T0)


# -- the all-clear ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "title", "body"),
    [
        ("low", "All clear: 3.4 ↓", "Back in range after 10 min; last reading 4 min ago."),
        ("urgent_low", "All clear: 3.4 ↓", "Back in range after 10 min; last reading 4 min ago."),
        ("high", "All clear: 3.4 ↓", "Back in range after 10 min; last reading 4 min ago."),
        ("stale", "Readings are back: 3.4 ↓", "After 10 min without."),
        ("no_long_acting", "Tresiba logged", "Logged 1 d 2 h ago."),
        ("system", "iv3 works again", "After 10 min."),
    ],
)
def test_an_all_clear_says_what_is_over_and_how_long_it_was(kind: str, title: str, body: str) -> None:
    over = event(kind, "resolved")
    assert words.clear_title(over) == f"Maya: {title}"
    assert words.clear_title(known(kind, "resolved", name="")) == title
    assert words.clear_body(over, T0 - 659_999, T0) == body


def test_what_was_over_at_once_lasted_a_minute() -> None:
    assert words.clear_body(event("system", "resolved"), T0, T0) == "After 1 min."
    assert words.clear_body(event("system", "resolved"), T0 - 119_999, T0) == "After 1 min."
    assert words.clear_body(event("system", "resolved"), T0 - 120_000, T0) == "After 2 min."


def test_an_all_clear_without_a_reading_or_a_dose_leaves_out_what_is_not_known() -> None:
    assert (
        words.clear_body(known("low", "resolved", reading_time=None), T0 - 600_000, T0) == "Back in range after 10 min."
    )
    assert words.clear_body(known("no_long_acting", "resolved", last_logged=None), T0, T0) == "Logged."


def test_a_zone_that_this_machine_does_not_know_is_utc_and_says_so() -> None:
    noon = datetime(2026, 11, 1, 12, tzinfo=UTC)
    assert [words.clock_words(noon, zone) for zone in ("Europe/Atlantis", "../etc/passwd", "")] == ["12:00 UTC"] * 3
    assert words.clock_words(noon, "Europe/Berlin") == "13:00"
