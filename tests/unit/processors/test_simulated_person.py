"""The simulated and the recorded person: days that look like days, and the same ones each time."""

import math
from itertools import pairwise
from pathlib import Path
from statistics import mean, pstdev

import pytest

from processors.simulated_person import SimulatedEvent, simulate
from streams.adapters.simulation.recorded import read_recorded

START = 1_763_942_400_000  # a Monday, 00:00 UTC
HOUR = 3_600_000
WEEK = 168 * HOUR
SEEDS = range(6)


@pytest.fixture(scope="module")
def lives() -> list[list[SimulatedEvent]]:
    return [simulate(seed, START, START + 4 * WEEK) for seed in SEEDS]


def glucose(events: list[SimulatedEvent]) -> list[float]:
    return [event.value for event in events if event.kind == "glucose"]


def episodes(values: list[float], limit: float) -> int:
    """How often glucose goes below the limit, counted anew after a quarter of an hour above it."""
    count, above = 0, 3
    for value in values:
        if value >= limit:
            above += 1
        else:
            count += above >= 3
            above = 0
    return count


def test_the_same_seed_lives_the_same_life_and_another_one_does_not() -> None:
    assert simulate(7, START, START + WEEK) == simulate(7, START, START + WEEK)
    assert simulate(7, START, START + WEEK) != simulate(8, START, START + WEEK)


@pytest.mark.parametrize("shorter_ms", [0, 1, 3 * HOUR, 30 * HOUR + 123_457, WEEK])
def test_a_longer_life_begins_with_the_shorter_one(shorter_ms: int) -> None:
    short = simulate(7, START, START + shorter_ms)
    assert simulate(7, START, START + WEEK)[: len(short)] == short
    assert all(START <= event.time_ms < START + shorter_ms for event in short)


def test_the_sensor_reads_every_five_minutes_and_always_something_it_can_show(
    lives: list[list[SimulatedEvent]],
) -> None:
    for events in lives:
        times = [event.time_ms for event in events if event.kind == "glucose"]
        assert {after - before for before, after in pairwise(times)} == {300_000}
        assert all(math.isfinite(value) and 40 <= value <= 400 for value in glucose(events))


def test_events_are_in_order_of_time(lives: list[list[SimulatedEvent]]) -> None:
    for events in lives:
        assert events == sorted(events, key=lambda event: event.time_ms)


def test_there_are_several_lows_a_week_and_an_urgent_one_now_and_then(lives: list[list[SimulatedEvent]]) -> None:
    lows = [episodes(glucose(events), 70) / 4 for events in lives]
    urgent = [episodes(glucose(events), 55) / 4 for events in lives]
    assert all(2 <= count <= 10 for count in lows), lows
    assert 0.5 <= mean(urgent) <= 1.6, urgent


def test_most_of_the_day_is_in_range_and_some_of_it_high(lives: list[list[SimulatedEvent]]) -> None:
    for events in lives:
        values = glucose(events)
        assert 0.70 <= mean(70 <= value <= 180 for value in values) <= 0.93
        assert max(values) > 220


def test_nights_are_flat(lives: list[list[SimulatedEvent]]) -> None:
    for events in lives:
        nights: dict[int, list[float]] = {}
        for event in events:
            day, minute = divmod(event.time_ms // 60_000, 1440)
            if event.kind == "glucose" and 60 <= minute < 360:
                nights.setdefault(day, []).append(event.value)
        assert mean(pstdev(values) for values in nights.values()) < 15 < pstdev(glucose(events)) / 2


def test_doses_are_those_of_pens(lives: list[list[SimulatedEvent]]) -> None:
    for events in lives:
        rapid = [event for event in events if event.kind == "rapid"]
        long = [event for event in events if event.kind == "long"]
        assert {event.name for event in rapid} == {"Humalog"}
        assert {event.name for event in long} == {"Tresiba"}
        assert all(event.value * 2 == int(event.value * 2) and 0.5 <= event.value <= 15 for event in rapid)
        assert len(long) == 28
        assert all(21 <= event.time_ms // HOUR % 24 <= 22 for event in long)
        assert 10 <= sum(event.value for event in rapid) / 28 <= 25


def test_a_meal_raises_and_juice_ends_a_low(lives: list[list[SimulatedEvent]]) -> None:
    for events in lives:
        readings = {event.time_ms // 300_000: event.value for event in events if event.kind == "glucose"}
        meals = [event for event in events if event.name in ("breakfast", "lunch", "dinner")]
        rises = [
            max(readings.get(meal.time_ms // 300_000 + step, 0.0) for step in range(36))
            - readings[meal.time_ms // 300_000]
            for meal in meals[:-1]
        ]
        assert mean(rises) > 30
        juice = [event for event in events if event.name == "juice"]
        assert len(juice) >= 4
        after = [readings.get(event.time_ms // 300_000 + 9, 100.0) for event in juice]
        assert mean(value >= 70 for value in after) > 0.7


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("hour", [3, 9, 13, 20])
def test_a_low_that_was_ordered_comes_as_quickly_as_a_body_may_and_passes(seed: int, hour: int) -> None:
    low_at = START + (72 + hour) * HOUR + 98_765
    events = simulate(seed, START, START + 5 * 24 * HOUR, lows_at_ms=[low_at])
    plain = simulate(seed, START, START + 5 * 24 * HOUR)
    assert [e for e in events if e.time_ms < low_at] == [e for e in plain if e.time_ms < low_at]
    readings = [(event.time_ms - low_at, event.value) for event in events if event.kind == "glucose"]
    began = next(value for when, value in readings if when >= 0)
    fall = max(26, (began - 43) * 0.45) / 60 * HOUR
    low = [when for when, value in readings if 0 <= when <= fall + 0.5 * HOUR and value < 55]
    assert len(low) >= 3
    assert low[0] <= fall + 0.2 * HOUR
    assert any(event.name == "juice" and low_at < event.time_ms < low_at + fall + HOUR for event in events)
    assert all(70 <= value <= 260 for when, value in readings if fall + 1.25 * HOUR <= when <= fall + 1.5 * HOUR)
    steps = [b - a for (_, a), (when, b) in pairwise(readings) if 0 < when <= fall]
    assert min(steps) >= -(3.5 * 5 + 8), "as steep as insulin and a sensor's noise, no steeper"


def test_ordered_lows_come_one_after_another_and_the_first_does_not_know_of_the_second() -> None:
    first, second = START + 30 * HOUR, START + 55 * HOUR
    one = simulate(7, START, START + 54 * HOUR, lows_at_ms=[first])
    both = simulate(7, START, START + 72 * HOUR, lows_at_ms=[first, second])
    assert both[: len(one)] == one
    assert sum(e.value < 55 for e in both if e.kind == "glucose" and e.time_ms > second) >= 3


def test_meals_follow_the_persons_own_clock() -> None:
    tokyo = simulate(3, START, START + WEEK, utc_offset_min=540)
    long = [event for event in tokyo if event.kind == "long"]
    assert all(12 <= event.time_ms // HOUR % 24 <= 13 for event in long)


CSV = """subject,time,glucose_mgdl,insulin_bolus_u,insulin_basal_uph,insulin_long_u,carbs_g
a,2023-12-08T00:04:00Z,151,,0.8,,
a,2023-12-08T00:09:00Z,152,2.5,,,30
a,2023-12-08T00:30:00Z,,,,9,
b,2023-12-08T00:00:00Z,99,,,,
"""


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "person.csv"
    path.write_text(CSV)
    return path


def test_a_recorded_life_begins_when_it_is_told_to(recording: Path) -> None:
    assert read_recorded(recording, start_ms=START) == [
        (START, "glucose", 151.0, ""),
        (START + 300_000, "glucose", 152.0, ""),
        (START + 300_000, "rapid", 2.5, "Humalog"),
        (START + 300_000, "carbs", 30.0, "meal"),
        (START + 1_560_000, "long", 9.0, "Tresiba"),
    ]


def test_another_subject_and_another_moment_can_be_chosen(recording: Path) -> None:
    assert read_recorded(recording, start_ms=START, subject="b")[0] == (START, "glucose", 99.0, "")
    later = read_recorded(recording, start_ms=START, at="2023-12-08T00:09:00Z")
    assert [event.time_ms - START for event in later[:2]] == [-300_000, 0]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("glucose_mgdl", "sugar"), "no column glucose_mgdl"),
        (("152", "lots"), "row 3: glucose_mgdl is 'lots', which is no number"),
        (("152", "nan"), "row 3: glucose_mgdl is 'nan'; it must be a number from 0 up"),
        (("152,2.5", "152,-2.5"), "row 3: insulin_bolus_u is '-2.5'"),
        (("2023-12-08T00:09:00Z", "yesterday"), "row 3: the time 'yesterday' is no ISO 8601 time"),
        (("00:09:00Z", "00:09:00"), "row 3: the time '2023-12-08T00:09:00' has no time zone"),
        ((CSV, ""), "no column subject or time or glucose_mgdl"),
    ],
)
def test_a_recording_that_cannot_be_read_says_where(recording: Path, change: tuple[str, str], says: str) -> None:
    recording.write_text(CSV.replace(*change))
    with pytest.raises(ValueError, match=says.replace("(", r"\(")):
        read_recorded(recording, start_ms=START)


def test_an_unknown_subject_a_missing_file_and_a_wrong_moment_say_so(recording: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no events of subject 'c'; it knows a, b"):
        read_recorded(recording, start_ms=START, subject="c")
    with pytest.raises(ValueError, match="There is no file"):
        read_recorded(tmp_path / "nobody.csv", start_ms=START)
    with pytest.raises(ValueError, match="the time to start at, 'noon', is no ISO"):
        read_recorded(recording, start_ms=START, at="noon")
    with pytest.raises(ValueError, match="cannot be read"):
        read_recorded(tmp_path, start_ms=START)
