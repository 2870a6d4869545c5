"""Readings: which of several counts."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.readings import (
    CADENCE_S,
    STALE_S,
    CanonicalReadings,
    Gap,
    Reading,
    canonical_readings,
    gaps,
    rank,
    reading_of,
    window_s,
)
from schemas.envelope import make
from schemas.facts import FingerstickTaken, GlucoseRead
from schemas.model import at_ms
from tests.support.canonical import at, canonical_of, reading
from tests.support.night import HOUR, MIN, T0


def test_how_near_readings_are_is_a_difference_of_times_wherever_the_clock_stands() -> None:
    for apart_ms, shown in ((150_000, 1), (150_001, 2)):
        one, other = Reading(2, 100, None, "a", "r1"), Reading(2 + apart_ms, 100, None, "b", "r2")
        assert len(canonical_readings([one, other])) == shown
        line = CanonicalReadings()
        assert line.admit(one, 2)
        assert line.admit(other, 2 + apart_ms) == (shown == 2)
    ahead = CanonicalReadings()
    ahead.admit(Reading(5_000_000, 100, None, "a", "ahead"), 2)
    ahead.admit(Reading(2, 100, None, "a", "now"), 2)
    assert "ahead" in ahead.superseded
    late = CanonicalReadings()
    late.admit(Reading(7_200_002, 100, None, "a", "r1"), 7_200_002)
    assert late.admit(Reading(2, 100, None, "a", "r2"), 7_200_002)
    assert not late.admit(Reading(1, 100, None, "a", "r3"), 7_200_002)


def test_how_long_a_gap_is_and_how_far_apart_readings_come_are_differences_of_times_wherever_the_clock_stands() -> None:
    assert gaps([2, 900_002], None) == gaps([2], 900_002) == gaps([32, 900032], None) == gaps([32], 900032) == []
    assert gaps([2, 900_003], None) == [Gap(2, 900_003)]
    assert gaps([2], 900_003) == [Gap(2, None)]
    assert gaps([5], 10) == []
    line = CanonicalReadings()
    for n, ms in enumerate((2, 600_002, 1_200_002, 1_500_002)):
        line.admit(Reading(ms, 100, None, "a", f"r{n}"))
    assert line.cadence_s == 600
    short = CanonicalReadings([Reading(2, 100, None, "a", "r1"), Reading(600_002, 100, None, "a", "r2")])
    assert [len(short.run(0, longest)) for longest in (600_000, 599_999)] == [2, 1]


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


def test_only_a_sensors_reading_is_one() -> None:
    about = {"id": "r", "source": "s", "subject": "me", "time": at_ms(T0), "recordedtime": at_ms(T0 + 1)}
    assert reading_of(make(GlucoseRead(glucose_mgdl=104.5, trend="Flat"), **about)) == Reading(
        T0, 104.5, "Flat", "s", "r"
    )
    assert reading_of(make(FingerstickTaken(glucose_mgdl=104.0), **about)) is None


def test_until_more_is_known_a_sensor_reads_every_five_minutes_and_is_old_after_fifteen() -> None:
    assert (CADENCE_S, STALE_S) == (300, 900)
    assert CanonicalReadings().cadence_s == 300


def test_two_readings_are_one_within_half_the_cadence_and_at_most_two_and_a_half_minutes() -> None:
    assert [window_s(cadence) for cadence in (60, 61, 180, 300, 900)] == [30, 30.5, 90, 150, 150]


def test_sources_are_ranked_as_they_are_named_and_all_others_by_name_behind_them() -> None:
    names = ["upload/b", "dexcom-share", "upload/a", "x"]
    assert sorted(names, key=rank) == ["dexcom-share", "upload/a", "upload/b", "x"]
    assert sorted(names, key=lambda name: rank(name, ("x", "upload/b"))) == [
        "x",
        "upload/b",
        "dexcom-share",
        "upload/a",
    ]


@pytest.mark.parametrize(("apart_ms", "shown"), [(150_000, 1), (150_001, 2)])
def test_another_sources_reading_is_hidden_within_two_and_a_half_minutes(apart_ms: int, shown: int) -> None:
    for ms in (apart_ms, -apart_ms):
        both = sorted([at(0), at(ms, "upload/a")])
        line = canonical_readings(both)
        assert len(line) == shown
        assert line == [reading for reading in both if reading in line], "in the order of time"
        assert at(0) in line


def test_a_quick_sensors_window_is_half_its_cadence() -> None:
    for apart_ms, shown in ((30_000, 1), (30_001, 2)):
        assert len(canonical_readings([at(0), at(apart_ms, "upload/a")], cadence_s=60)) == shown


def test_who_is_primary_may_be_chosen() -> None:
    both = [at(0), at(1, "upload/a")]
    assert canonical_readings(both, primary=("upload/a",)) == [at(1, "upload/a")]


def test_one_source_alone_is_shown_as_it_is() -> None:
    mine = [at(0), at(1), at(2)]
    assert canonical_readings(mine) == mine
    assert canonical_readings([]) == []


def test_a_third_source_fills_what_both_others_left_open() -> None:
    line = canonical_readings(
        sorted([at(0), at(300_000, "upload/a"), at(300_100, "upload/b"), at(600_000, "upload/b"), at(600_200)])
    )
    assert [(r.time_ms - T0, r.source) for r in line] == [
        (0, "dexcom-share"),
        (300_000, "upload/a"),
        (600_200, "dexcom-share"),
    ]


def test_a_week_of_readings_is_shown_as_an_hour_is() -> None:
    shown = [at(300_000 * n) for n in range(2016)]
    others = [at(300_000 * 2016 + 200_000 * n, "upload/a") for n in range(3)]
    assert canonical_readings([*shown, *others]) == [*shown, *others]


def test_near_ones_are_looked_for_among_all_that_are_shown() -> None:
    shown = [at(300_000 * n) for n in range(6)]
    others = [at(300_000 * n + 100, "upload/a") for n in range(6)] + [at(2_000_000, "upload/a")]
    assert canonical_readings(sorted(shown + others)) == [*shown, at(2_000_000, "upload/a")]


def test_a_line_without_readings_knows_nothing() -> None:
    line = CanonicalReadings()
    assert (line.newest, line.recent, line.superseded, line.run(0)) == (None, [], {}, [])
    assert line.before(at(0)) is None


@pytest.mark.parametrize(("apart_ms", "counts"), [(150_000, False), (150_001, True)])
def test_of_two_sources_the_first_one_counts_within_two_and_a_half_minutes(apart_ms: int, counts: bool) -> None:
    for ms in (apart_ms, -apart_ms):
        line = canonical_of(at(0))
        assert line.admit(at(ms, "upload/a")) == counts
        assert (at(ms, "upload/a").id in line.superseded) != counts
        assert len(line.recent) == 1 + counts
        assert line.recent == sorted(line.recent)


def test_of_two_sources_the_first_one_counts_whichever_it_is() -> None:
    line = canonical_of(at(0, "upload/a"))
    assert not line.admit(at(1000))
    assert line.recent == [at(0, "upload/a")]


def test_what_is_off_the_line_stays_off_it_however_often_it_comes() -> None:
    line = canonical_of(at(0))
    hidden = at(1000, "upload/a")
    assert not line.admit(hidden)
    assert line.superseded == {hidden.id: hidden.time_ms}
    assert not line.admit(hidden)
    assert not line.admit(at(700_000, "upload/a", name=hidden.id)), "known by its name, wherever it says it lies"
    assert line.recent == [at(0)]


def test_the_same_source_may_read_as_often_as_it_likes() -> None:
    line = canonical_of(at(0))
    assert line.admit(at(20_000))
    assert line.admit(at(21_000))
    assert line.admit(at(10_000)), "also late"
    assert [reading.time_ms - T0 for reading in line.recent] == [0, 10_000, 20_000, 21_000]


@pytest.mark.parametrize(("ms", "replaces"), [(0, True), (999, True), (1000, False), (-1, False)])
def test_a_revised_value_is_one_of_the_same_source_and_second(ms: int, replaces: bool) -> None:
    line = canonical_of(at(0))
    assert line.admit(at(ms, glucose=104))
    assert (at(0) not in line.recent) == replaces
    assert (at(0).id in line.superseded) == replaces
    assert not line.admit(at(0)), "what it replaced does not come back"
    within = canonical_of(at(400))
    assert within.admit(at(700, glucose=104))
    assert [reading.glucose_mgdl for reading in within.recent] == [104]


def test_a_revised_value_of_before_takes_the_place_of_its_own_only() -> None:
    line = canonical_of(at(0), at(300_000), at(600_000))
    assert line.admit(at(300_000, glucose=90))
    assert [reading.glucose_mgdl for reading in line.recent] == [100, 90, 100]
    assert line.superseded == {at(300_000).id: T0 + 300_000}


def test_a_quick_sensors_twin_counts_after_half_its_cadence() -> None:
    line = canonical_of(*(at(60_000 * n) for n in range(4)))
    assert line.cadence_s == 60
    assert not line.admit(at(210_000, "upload/a"))
    assert line.admit(at(210_001, "upload/a"))


def test_for_a_sensor_that_seems_very_quick_a_second_still_is_one() -> None:
    line = canonical_of(at(0))
    line.cadence_s = 1
    assert line.admit(at(999, glucose=104))
    assert [reading.glucose_mgdl for reading in line.recent] == [104]


def test_two_hours_are_remembered() -> None:
    for length, kept in ((2 * HOUR, 2), (2 * HOUR + 1, 1)):
        assert len(canonical_of(at(0), at(length)).recent) == kept


def test_what_comes_more_than_two_hours_late_is_not_taken_in() -> None:
    for length, counts in ((2 * HOUR, True), (2 * HOUR + 1, False)):
        line = canonical_of(at(length))
        assert line.admit(at(0)) == counts
        assert len(line.recent) == 1 + counts


def test_what_is_off_the_line_is_remembered_for_two_hours_too() -> None:
    for length, kept in ((2 * HOUR, True), (2 * HOUR + 1, False)):
        line = canonical_of(at(0), at(1000, "upload/a"), at(0, glucose=101))
        assert len(line.superseded) == 2
        line.admit(at(300_000))
        line.admit(at(length))
        assert (at(0).id in line.superseded) == kept
        assert at(1000, "upload/a").id in line.superseded, "it lies a second later"


def test_a_reading_dated_after_its_arrival_makes_room_for_one_with_a_possible_time() -> None:
    ahead = at(600_000 + 300_001, name="ahead")
    line = canonical_of(at(0))
    assert line.admit(ahead, T0)
    assert line.newest == ahead
    assert line.admit(at(300_000), T0 + 300_000)
    assert line.newest == at(300_000)
    assert line.superseded == {"ahead": ahead.time_ms}
    assert not line.admit(ahead, T0 + 300_000), "it does not come back"


def test_a_clock_that_is_less_than_ten_minutes_ahead_may_be_right() -> None:
    line = canonical_of(at(0))
    assert line.admit(at(600_000, name="ahead"), T0)
    assert line.admit(at(-300_000), T0)
    assert line.newest is not None
    assert line.newest.id == "ahead"


def test_what_may_be_at_most_ten_minutes_ahead_of_its_arrival_makes_room_itself() -> None:
    for ahead_ms, room in ((600_000, True), (600_001, False)):
        line = canonical_of(at(0))
        line.admit(at(5_000_000, name="far ahead"), T0)
        line.admit(at(ahead_ms), T0)
        assert ("far ahead" in line.superseded) == room


def test_a_known_reading_that_comes_again_makes_no_room() -> None:
    line = canonical_of(at(0))
    line.admit(at(5_000_000, name="ahead"), T0)
    assert not line.admit(at(0), T0)
    assert "ahead" not in line.superseded
    hidden = canonical_of(at(0), at(1000, "upload/a"))
    hidden.admit(at(5_000_000, name="ahead"), T0)
    assert not hidden.admit(at(1000, "upload/a"), T0)
    assert "ahead" not in hidden.superseded


def test_where_nobody_says_when_it_arrived_nothing_makes_room() -> None:
    line = canonical_of(at(0))
    line.admit(at(5_000_000, name="ahead"))
    assert line.admit(at(300_000))
    assert line.newest is not None
    assert line.newest.id == "ahead"


def test_what_lies_just_as_far_ahead_as_may_be_stays() -> None:
    line = canonical_of(at(0))
    line.admit(at(900_000), T0)
    line.admit(at(5_000_000), T0)
    line.admit(at(300_000), T0 + 300_000)
    assert line.recent == [at(0), at(300_000), at(900_000)]


def test_all_that_lie_ahead_make_room_and_what_does_not_stays() -> None:
    line = canonical_of(at(0))
    for ms in (5_000_000, 5_300_000, 5_600_000):
        line.admit(at(ms), T0)
    line.admit(at(300_000), T0 + 300_000)
    assert line.recent == [at(0), at(300_000)]
    assert len(line.superseded) == 3
