"""The forecaster's fold of one person."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from processors.predictors.forecasting import ForecastState
from schemas.envelope import Event, make
from schemas.facts import CarbsEaten, GlucoseRead, Limits, ProfileChanged
from schemas.forecasts import ForecastMade, ForecastWithheld
from schemas.model import Fact, at_ms
from tests.support.night import MIN, T0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 20), st.integers(39, 401)), max_size=60), st.integers(0, 1000))
def test_a_forecasters_snapshot_anywhere_changes_nothing(rows: list[Any], cut: int) -> None:
    whole, halved, at = ForecastState(), ForecastState(), 0
    for n, (minutes, glucose) in enumerate(rows):
        at += minutes
        event: Event = make(
            GlucoseRead(glucose_mgdl=float(glucose)),
            id=f"r{n}",
            source="s",
            subject="me",
            time=at_ms(T0 + at * MIN),
            recordedtime=at_ms(T0),
        )
        if n == cut % (len(rows) + 1):
            halved = ForecastState.load(halved.dump(), halved.offset)
        assert halved.take(event, n) == whole.take(event, n)


# -- one by one ------------------------------------------------------------------------------------


class Told:
    """A forecaster's state of one person, and the journal it is told."""

    def __init__(self) -> None:
        self.state, self.offset = ForecastState(), -1

    def __call__(self, data: Fact, minutes: float = 0, recorded: int = 0) -> object:
        self.offset += 1
        at = T0 + round(minutes * MIN)
        event: Event = make(
            data, id=f"e{self.offset}", source="s", subject="me", time=at_ms(at), recordedtime=at_ms(T0 + recorded)
        )
        return self.state.take(event, self.offset)

    def read(self, glucose: float, minutes: float) -> object:
        return self(GlucoseRead(glucose_mgdl=glucose), minutes)


def test_a_forecast_says_on_which_reading_it_rests_and_how_sure_it_is() -> None:
    told = Told()
    told.read(110, 0)
    said = told.read(104, 5)
    assert isinstance(said, ForecastMade)
    assert (said.based_on, said.pos, said.glucose_mgdl, said.predictor) == ("e1", 1, 104, "ar2")
    assert said.reading_time == at_ms(T0 + 5 * MIN)
    assert said.mean_mgdl[:3] == (100.1, 97.6, 96.0)
    assert set(said.shadows) >= {"persistence"}
    assert said.shadows["persistence"] == (104.0,) * 12
    for n in range(12):
        curves = (said.p10_mgdl, said.p25_mgdl, said.mean_mgdl, said.p75_mgdl, said.p90_mgdl)
        assert sorted(curve[n] for curve in curves) == [curve[n] for curve in curves]
    assert 0 <= said.p_urgent < said.p_low < 0.5
    assert said.p_high < 0.01


def test_the_bands_are_those_of_eight_and_of_five_in_ten() -> None:
    """The cone's first step is 0.020: 1.2816 and 0.6745 deviations of it from 100.075."""
    told = Told()
    told.read(110, 0)
    said = told.read(104, 5)
    assert isinstance(said, ForecastMade)
    assert (said.p10_mgdl[0], said.p25_mgdl[0], said.p75_mgdl[0], said.p90_mgdl[0]) == (97.5, 98.7, 101.4, 102.7)


def test_there_is_nothing_honest_to_say_after_too_few_readings_a_gap_or_a_word_instead_of_a_value() -> None:
    told = Told()
    reasons = []
    for glucose, minutes in ((110, 0), (39, 5), (401, 10), (40, 15), (400, 20), (110, 41)):
        said = told.read(glucose, minutes)
        reasons.append(said.reason if isinstance(said, ForecastWithheld) else "")
    word = "the sensor says LOW or HIGH instead of a value"
    assert reasons == ["too few readings", word, word, "", "", "a gap just before this reading"]


def test_chances_are_of_the_limits_in_the_profile() -> None:
    told = Told()
    told(ProfileChanged(limits=Limits(low_mgdl=100, urgent_low_mgdl=80, high_mgdl=100)), recorded=5)
    told(ProfileChanged(), recorded=4)
    told.read(110, 0)
    said = told.read(104, 5)
    assert isinstance(said, ForecastMade)
    assert said.p_low > 0.5
    assert said.p_high > 0.5
    told(ProfileChanged(), recorded=5)
    after = told.read(104, 10)
    assert isinstance(after, ForecastMade)
    assert after.p_low < 0.1


def test_only_the_newest_reading_is_forecast_from_and_each_once() -> None:
    told = Told()
    told.read(110, 0)
    told.read(104, 10)
    assert told.read(107, 5) is None
    assert told(CarbsEaten(grams=5)) is None
    assert told.state.offset == 4
