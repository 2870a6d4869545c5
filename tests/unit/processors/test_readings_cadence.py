"""How often a source speaks, its newest reading, and its gaps."""

import pytest

from processors.readings import (
    CanonicalReadings,
    Gap,
    gaps,
)
from tests.support.canonical import at, canonical_of
from tests.support.night import MIN


def stepping(*minutes: float) -> float:
    """The cadence of readings so many minutes apart."""
    line, now = CanonicalReadings(), 0.0
    line.admit(at(0))
    for step in minutes:
        now += step
        line.admit(at(round(now * MIN)))
    return line.cadence_s


def test_the_cadence_is_known_after_three_steps() -> None:
    assert stepping(10, 10) == 300
    assert stepping(10, 10, 10) == 600


def test_the_cadence_is_the_median_step_in_whole_minutes() -> None:
    assert stepping(5, 10, 15) == 600
    assert stepping(15, 5, 10) == 600
    assert stepping(5, 5, 10, 10) == 600, "of two in the middle the longer"
    assert stepping(4.4, 4.4, 4.4) == 240
    assert stepping(4.6, 4.6, 4.6) == 300
    assert stepping(5.5, 5.5, 5.5) == 360
    assert stepping(4.5, 4.5, 4.5) == 240, "half a minute goes to the even one"


def test_the_cadence_lies_between_one_minute_and_fifteen() -> None:
    assert stepping(0.4, 0.4, 0.4) == 60
    assert stepping(14, 14, 14) == 840
    assert stepping(16, 16, 16) == 900


def test_the_cadence_is_that_of_the_last_eight_readings() -> None:
    assert stepping(*(5,) * 8, *(1,) * 3) == 300
    assert stepping(*(5,) * 8, *(1,) * 4) == 60


class Counted(CanonicalReadings):
    """Counts how often the cadence is worked out."""

    times = 0

    def _learn_cadence(self) -> None:
        Counted.times += 1
        super()._learn_cadence()


@pytest.mark.parametrize(("step_ms", "cadence_s"), [(300_000, 300), (330_000, 360), (270_000, 240)])
def test_the_cadence_of_a_steady_sensor_is_not_worked_out_again_with_each_reading(step_ms: int, cadence_s: int) -> None:
    """A replay admits millions."""
    line, Counted.times = Counted(), 0
    for n in range(40):
        line.admit(at(step_ms * n))
    assert Counted.times == 8
    assert line.cadence_s == cadence_s


def test_a_reading_that_comes_late_is_counted_in_the_cadence() -> None:
    line = canonical_of(at(0), at(10 * MIN), at(20 * MIN), at(30 * MIN))
    assert line.cadence_s == 600
    for minutes in (5, 15, 25):
        line.admit(at(minutes * MIN))
    assert line.cadence_s == 300


def test_a_steady_sensor_changes_its_cadence_with_the_step_that_moves_the_median() -> None:
    line = canonical_of(*(at(5 * MIN * n) for n in range(12)))
    moments = [55 + minutes for minutes in (10, 20, 30, 40)]
    cadences = []
    for minutes in moments:
        line.admit(at(minutes * MIN))
        cadences.append(line.cadence_s)
    assert cadences == [300, 300, 300, 600]


def test_the_reading_before_one_is_the_last_earlier_one() -> None:
    line = canonical_of(at(0), at(300_000), at(600_000))
    assert line.before(at(600_000)) == at(300_000)
    assert line.before(at(300_001)) == at(300_000)
    assert line.before(at(300_000)) == at(0)
    assert line.before(at(0)) is None


def test_a_run_is_what_lies_at_the_level_or_above_it_up_to_now() -> None:
    line = canonical_of(*(at(300_000 * n, glucose=value) for n, value in enumerate((90, 79, 80, 120, 81))))
    assert [reading.glucose_mgdl for reading in line.run(80)] == [80, 120, 81]
    assert [reading.glucose_mgdl for reading in line.run(80.5)] == [120, 81]
    assert line.run(82) == []
    assert len(line.run(0)) == 5


def test_a_longer_gap_ends_a_run() -> None:
    line = canonical_of(at(0), at(300_000), at(600_001))
    assert len(line.run(0, 300_001)) == 3
    assert line.run(0, 300_000) == [at(600_001)]
    assert len(line.run(0)) == 3


def test_a_line_put_away_and_taken_up_again_is_the_same() -> None:
    line = canonical_of(at(0), at(60_000), at(120_000), at(180_000), at(180_000, glucose=90))
    again = CanonicalReadings.load([[list(r) for r in line.recent], line.cadence_s, dict(line.superseded)])
    assert again == line == CanonicalReadings.load(line.dump())
    again.admit(at(240_000))
    assert line.newest == at(180_000, glucose=90), "they share nothing"


def test_a_gap_is_longer_than_a_quarter_of_an_hour() -> None:
    assert gaps([0, 900_000], None) == []
    assert gaps([0, 900_001], None) == [Gap(0, 900_001)]
    assert gaps([0, 60_001], None, longer_than_s=60) == [Gap(0, 60_001)]


def test_the_last_gap_is_open_until_a_reading_comes() -> None:
    assert gaps([5], 900_005) == []
    assert gaps([5], 900_006) == [Gap(5, None)]
    assert gaps([5], None) == []
    assert gaps([], 900_006) == []
    assert gaps([0, 1_000_000, 1_000_001], 1_900_002) == [Gap(0, 1_000_000), Gap(1_000_001, None)]
