"""Entries, readings, insulin and carbs at work, units, predictors: small pure rules."""

import math
import random
import sys
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from processors.entries import Conflict, EntryVersion, evolve_entry
from processors.physiology.carbs import Meal, cob_fraction, cob_grams
from processors.physiology.insulin import Dose, iob_fraction, iob_units
from processors.predictors.ar2 import Ar2
from processors.predictors.evaluation import answer
from processors.predictors.registry import PREDICTORS
from processors.readings import CanonicalReadings, Reading, canonical_readings, gaps
from schemas.envelope import Event, make
from schemas.facts import CarbsEaten, Entry, EntryCorrected, EntryDeleted, EntryRestored, Insulin, InsulinTaken
from schemas.identity import entry_id, reading_id
from schemas.model import Fact, Moment, at_ms, ms
from schemas.units import mgdl, mmol, spoken

T0 = 1_795_500_000_000
MIN = 60_000


def event(data: Fact, name: str = "e1", at: int = T0) -> Event:
    return make(data, id=name, source="api", subject="me", time=at_ms(at), recordedtime=at_ms(at), actor="Mum")


# -- entries ---------------------------------------------------------------------------------------


def corrected(units: float, revision: int) -> EntryCorrected:
    content = Entry(type=InsulinTaken.TYPE, time=at_ms(T0), data={"units": units, "insulin": "Humalog"})
    return EntryCorrected(entry_id="e1", revision=revision, entry=content)


def fold(events: list[Event]) -> tuple[EntryVersion | None, list[Conflict]]:
    current, conflicts = None, []
    for one in events:
        after = evolve_entry(current, one)
        if isinstance(after, Conflict):
            conflicts.append(after)
        elif after is not None:
            current = after
    return current, conflicts


def test_a_change_applies_only_to_the_revision_it_was_made_from() -> None:
    made = event(InsulinTaken(units=4.0, insulin="Humalog"))
    first, second = event(corrected(6.0, 2), "c1"), event(corrected(7.0, 2), "c2")
    entry, conflicts = fold([made, first, second])
    assert entry is not None
    assert (entry.data, entry.revision) == (InsulinTaken(units=6.0, insulin="Humalog"), 2)
    assert conflicts == [Conflict("e1", 2, 2)]


def test_deletion_and_its_undoing_are_changes_like_any_other() -> None:
    content = Entry(type=InsulinTaken.TYPE, time=at_ms(T0), data={"units": 4.0, "insulin": "Humalog"})
    made = event(InsulinTaken(units=4.0, insulin="Humalog"))
    deleted = event(EntryDeleted(entry_id="e1", revision=2), "d")
    restored = event(EntryRestored(entry_id="e1", revision=3, as_of=1, entry=content), "r")
    assert fold([made, deleted])[0].deleted  # type: ignore[union-attr]
    entry, _ = fold([made, deleted, restored])
    assert entry is not None
    assert (entry.deleted, entry.revision, entry.data) == (False, 3, made.data)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 3), max_size=12))
def test_repeats_of_what_was_folded_change_nothing(order: list[int]) -> None:
    history = [event(InsulinTaken(units=4.0, insulin="Humalog")), event(corrected(6.0, 2), "c1"), event(EntryDeleted(entry_id="e1", revision=3), "d"),
               event(corrected(7.0, 4), "c2")]  # fmt: skip
    whole, _ = fold(history)
    assert fold(history + [history[n] for n in order])[0] == whole


# -- readings --------------------------------------------------------------------------------------


def reading(minutes: float, source: str = "dexcom-share", glucose: float = 100, name: str | None = None) -> Reading:
    at = T0 + int(minutes * MIN)
    return Reading(at, glucose, None, source, name or f"{source}{at}{glucose}")


def test_of_two_uploaders_a_few_seconds_apart_one_line_is_shown() -> None:
    both = sorted([reading(5 * n) for n in range(10)] + [reading(5 * n + 0.05, "upload/xDrip", 103) for n in range(10)])
    assert {r.source for r in canonical_readings(both)} == {"dexcom-share"}
    assert len(canonical_readings(both)) == 10


def test_another_source_fills_what_the_first_one_left_open() -> None:
    mine = [reading(5 * n) for n in range(10) if n not in (4, 5)]
    others = [reading(5 * n + 1, "upload/xDrip") for n in range(10)]
    shown = canonical_readings(sorted(mine + others))
    assert [r.source for r in shown].count("upload/xDrip") == 2
    assert len(shown) == 10


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 4000), st.sampled_from(["dexcom-share", "upload/a", "upload/b"])), max_size=40)
)
def test_no_two_sources_are_ever_shown_within_the_window_and_none_is_invented(rows: list[Any]) -> None:
    given_ = sorted({Reading(T0 + s * 1000, 100.0, None, source, f"{source}{s}") for s, source in rows})
    shown = canonical_readings(given_)
    assert set(shown) <= set(given_)
    assert shown == sorted(shown, key=lambda r: r.time_ms)
    for a in shown:
        for b in shown:
            assert a == b or a.source == b.source or abs(a.time_ms - b.time_ms) > 150_000
    assert [r for r in given_ if r.source == "dexcom-share"] == [r for r in shown if r.source == "dexcom-share"]


def test_the_line_takes_the_first_of_near_ones_and_learns_the_cadence() -> None:
    line = CanonicalReadings()
    assert line.admit(reading(0))
    assert not line.admit(reading(0))
    assert not line.admit(reading(0.1, "upload/xDrip"))
    for n in range(1, 4):
        assert line.admit(reading(n))
    assert line.cadence_s == 60
    assert line.newest == reading(3)


def test_a_revised_value_takes_the_place_of_the_first() -> None:
    line = CanonicalReadings()
    line.admit(reading(0, glucose=100))
    assert line.admit(reading(0, glucose=104))
    assert [r.glucose_mgdl for r in line.recent] == [104]


def test_holes_are_found_and_the_open_one_has_no_end() -> None:
    found = gaps([T0, T0 + 5 * MIN, T0 + 60 * MIN], T0 + 80 * MIN)
    assert [(g.from_ms, g.to_ms) for g in found] == [(T0 + 5 * MIN, T0 + 60 * MIN), (T0 + 60 * MIN, None)]


# -- at work ---------------------------------------------------------------------------------------

INSULINS = (
    Insulin(name="Humalog", action="rapid", duration_min=300, peak_min=75),
    Insulin(name="Tresiba", action="long", duration_min=2520),
)


def published(t: float, td: float, tp: float) -> float:
    tau = tp * (1 - tp / td) / (1 - 2 * tp / td)
    a = 2 * tau / td
    s = 1 / (1 - a + (1 + a) * math.exp(-td / tau))
    return 1 - s * (1 - a) * ((t**2 / (tau * td * (1 - a)) - t / tau - 1) * math.exp(-t / tau) + 1)


def test_insulin_on_board_is_the_published_curve() -> None:
    rnd = random.Random(2)
    for _ in range(1000):
        td = rnd.uniform(180, 480)
        tp = rnd.uniform(20, td / 2.2)
        t = rnd.uniform(0.01, td - 0.01)
        assert iob_fraction(t, td, tp) == pytest.approx(published(t, td, tp), abs=1e-6)


def test_it_begins_whole_ends_at_nothing_and_never_grows() -> None:
    values = [iob_fraction(t, 300, 75) for t in range(301)]
    assert values[0] == 1
    assert values[-1] == 0
    assert all(a >= b for a, b in pairwise(values))


def test_long_acting_and_the_future_count_for_nothing() -> None:
    doses = [Dose(T0, 20, "Tresiba"), Dose(T0 + MIN, 5, "Humalog")]
    assert iob_units(doses, INSULINS, T0) == 0
    assert iob_units([Dose(T0, 4, "Humalog")], INSULINS, T0) == 4


def test_carbs_are_conserved_and_slow_ones_last_longer() -> None:
    assert cob_fraction(0, "fast") == cob_fraction(15, "slow") == 1
    assert cob_fraction(120, "fast") == 0 < cob_fraction(120, "slow")
    assert cob_grams([Meal(T0, 40, "medium"), Meal(T0 + MIN, 99, "fast")], T0) == 40


# -- units and names -------------------------------------------------------------------------------


def test_units_convert_there_and_back_and_speak_low_and_high() -> None:
    assert [mmol(v) for v in (39, 54, 70, 180, 250)] == [2.2, 3.0, 3.9, 10.0, 13.9]
    assert all(mmol(mgdl(tenths / 10)) == tenths / 10 for tenths in range(10, 400))
    assert (spoken(39, "mmol/L"), spoken(401, "mg/dL"), spoken(104, "mmol/L")) == ("LOW", "HIGH", "5.8")


def test_names_tell_apart_what_differs_and_join_what_is_the_same() -> None:
    assert reading_id("s", "a", T0, 100, "Flat") == reading_id("s", "a", T0 + 400, 100.0, "Flat")
    assert len({reading_id("s", "a", T0, v, t) for v in (100, 101) for t in ("Flat", None)}) == 4
    assert entry_id("ab", "c", "k", "d") != entry_id("a", "bc", "k", "d")
    with pytest.raises(ValueError, match="decimals"):
        CarbsEaten(grams=1.234)


# -- predictors ------------------------------------------------------------------------------------

SHARED = Path(__file__).resolve().parents[4] / "shared" / "predict"


def test_ar2_gives_the_figures_of_its_formula() -> None:
    predictor = Ar2()
    assert predictor.take(Reading(T0, 110, None, "", "")) is None
    said = predictor.take(Reading(T0 + 5 * MIN, 104, None, "", ""))
    assert said is not None
    older, newer = math.log(110 / 140), math.log(104 / 140)
    for n in range(12):
        older, newer = newer, -0.723 * older + 1.716 * newer
        assert said.mean_mgdl[n] == pytest.approx(140 * math.exp(newer), abs=1e-9)


def test_ar2_answers_as_the_evaluators_own_does() -> None:
    if not SHARED.exists():
        pytest.skip("the evaluator is not beside the checkout")
    sys.path.insert(0, str(SHARED))
    try:
        from evaluate import AR2  # type: ignore[import-not-found]
    finally:
        sys.path.pop(0)
    rnd, ours, theirs = random.Random(4), Ar2(), AR2()
    ts, value = T0 // 1000, 140.0
    for _ in range(3000):
        ts += rnd.choice([180, 300, 300, 300, 305, 900, 1300])
        value = min(400, max(39, value + rnd.uniform(-15, 15)))
        asked = {"type": "glucose", "ts": ts, "value": round(value)}
        mine, other = answer(ours, asked), theirs.on_event(asked)
        assert mine is not None
        for key, curve in other["pred"].items():
            assert mine["pred"][key] == pytest.approx(curve, abs=1e-9)
        for key in ("alert_low", "score_low", "score_high"):
            if key in other:
                assert mine[key] == pytest.approx(other[key], abs=1e-9)


@pytest.mark.parametrize("name", PREDICTORS)
def test_a_predictor_takes_up_its_own_state_and_says_the_same(name: str) -> None:
    whole, halved = PREDICTORS[name](), PREDICTORS[name]()
    for n in range(20):
        one = Reading(T0 + n * 5 * MIN, 100 + 7 * (n % 5), None, "", "")
        if n == 9:
            state = halved.dump()
            halved = PREDICTORS[name]()
            halved.load(state)
        assert whole.take(one) == halved.take(one)


def test_after_a_gap_there_is_nothing_honest_to_say() -> None:
    predictor = Ar2()
    predictor.take(Reading(T0, 110, None, "", ""))
    assert predictor.take(Reading(T0 + 21 * MIN, 104, None, "", "")) is None


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([1, 4, 5, 5, 5, 6, 15, 40]), min_size=1, max_size=40))
def test_the_cadence_is_the_median_of_the_last_steps_whatever_was_not_worked_out_again(steps: list[int]) -> None:
    line, at = CanonicalReadings(), T0
    for number, minutes in enumerate(steps):
        at += minutes * MIN
        line.admit(Reading(at, 100.0, None, "s", f"r{number}"), at)
        known = line.cadence_s
        line._learn_cadence()
        assert line.cadence_s == known


# -- time ------------------------------------------------------------------------------------------


@given(
    st.datetimes(
        timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=45)), timezone(timedelta(hours=-9))])
    )
)
def test_a_moment_has_the_same_milliseconds_however_it_was_read(moment: datetime) -> None:
    moment = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    read = TypeAdapter(Moment).validate_json(f'"{moment.astimezone(UTC).isoformat()}"'.replace("+00:00", "Z"))
    assert ms(read) == ms(moment) == ms(moment.astimezone(UTC)) == round(moment.timestamp() * 1000)
    assert at_ms(ms(read)) == moment
