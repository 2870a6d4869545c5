"""Moving in: what a row of the older program becomes here."""

import pytest

from processors.legacy.moving import Insulins, LeftOut, LegacyImport, Row, UnknownInsulin
from schemas.envelope import Event
from schemas.facts import CarbsEaten, GlucoseRead, InsulinTaken
from schemas.identity import legacy_entry_id, reading_id
from tests.support.night import INSULINS, T0

NS = 1_000_000
SECOND = 1_000 * NS


@pytest.fixture
def moving() -> LegacyImport:
    return LegacyImport("me", ("dexcom-share", "account"), Insulins(INSULINS, {"Lantus ": "Tresiba"}), T0)


def row(value: float | None, text: str | None = None, at_ns: int = T0 * NS) -> Row:
    return Row(at_ns, value, text)


def event(made: object) -> Event:
    assert isinstance(made, Event)
    return made


def test_a_reading_has_the_name_that_it_has_when_it_is_heard_live(moving: LegacyImport) -> None:
    made = event(moving.reading(row(104, "Flat", T0 * NS + 999)))
    assert made.data == GlucoseRead(glucose_mgdl=104, trend="Flat")
    assert made.id == reading_id("dexcom-share", "account", T0, 104, "Flat")
    assert (made.source, made.subject, made.time_ms, made.recorded_ms) == ("dexcom-share", "me", T0, T0)


def test_a_trend_that_nobody_knows_is_left_out_and_a_value_that_is_none_refuses_the_row(moving: LegacyImport) -> None:
    assert event(moving.reading(row(104, "Sideways"))).data == GlucoseRead(glucose_mgdl=104)
    assert moving.reading(row(None)) == LeftOut(T0, "it has no value")
    low = moving.reading(row(12))
    assert isinstance(low, LeftOut)
    assert low.why == "glucose_mgdl 12: it should be greater than or equal to 39"


@pytest.mark.parametrize(
    ("time_ms", "why"),
    [
        (946_684_799_999, "it lies before the year 2000"),
        (946_684_800_000, None),
        (T0 + 600_000, None),
        (T0 + 600_001, "it lies more than ten minutes ahead"),
    ],
)
def test_a_row_of_an_impossible_time_is_left_out(moving: LegacyImport, time_ms: int, why: str | None) -> None:
    for made in (
        moving.reading(row(104, None, time_ms * NS)),
        moving.meal(row(20, None, time_ms * NS)),
        moving.dose(row(4, "Humalog", time_ms * NS)),
    ):
        assert (made == LeftOut(time_ms, why)) if why else isinstance(made, Event)


def test_a_dose_is_of_an_insulin_of_the_profile_however_it_was_spelled(moving: LegacyImport) -> None:
    made = event(moving.dose(row(4.5, " humalog ")))
    assert made.data == InsulinTaken(units=4.5, insulin="Humalog", action="rapid")
    assert made.id == legacy_entry_id("me", "insulin", T0 // 1000, 4.5, "Humalog", 0)
    assert made.source == "seed-import"
    assert event(moving.dose(row(18, "LANTUS"))).data == InsulinTaken(units=18, insulin="Tresiba", action="long")


def test_an_insulin_that_nobody_knows_is_asked_about_and_never_taken_for_rapid(moving: LegacyImport) -> None:
    assert moving.dose(row(4, "Apidra")) == UnknownInsulin(T0, "Apidra")
    assert moving.dose(row(4, " ")) == moving.dose(row(4)) == LeftOut(T0, "it has no insulin")
    for bad in (0, -1, 301, 1.234):
        assert isinstance(moving.dose(row(bad, "Humalog")), LeftOut)


def test_a_meal_is_carbs_of_a_usual_speed(moving: LegacyImport) -> None:
    made = event(moving.meal(row(20)))
    assert made.data == CarbsEaten(grams=20)
    assert made.id == legacy_entry_id("me", "carbs", T0 // 1000, 20, "", 0)
    left = moving.meal(row(0))
    assert isinstance(left, LeftOut)
    assert left.why == "grams 0.0: it should be greater than 0"


def test_equal_entries_of_one_second_are_several_and_of_two_seconds_each_the_first(moving: LegacyImport) -> None:
    ids = [event(moving.meal(row(20, None, T0 * NS + at))).id for at in (0, 1, SECOND, SECOND + 5)]
    assert ids == [
        legacy_entry_id("me", "carbs", T0 // 1000 + second, 20, "", ordinal)
        for second, ordinal in ((0, 0), (0, 1), (1, 0), (1, 1))
    ]
    assert event(moving.dose(row(20, "Humalog", T0 * NS + SECOND))).id == legacy_entry_id(
        "me", "insulin", T0 // 1000 + 1, 20, "Humalog", 0
    )
