"""Insulin and carbs at work, from entries as they are kept."""

from processors.entries import EntryVersion
from processors.physiology.at_work import LOOK_BACK_MS, AtWork, at_work
from processors.physiology.carbs import Meal, cob_grams
from processors.physiology.insulin import Dose, iob_units
from schemas.facts import CarbsEaten, Insulin, InsulinTaken, NoteWritten, ProfileChanged
from schemas.model import Fact
from tests.support.night import HOUR, MIN, T0

PROFILE = ProfileChanged(
    insulins=(
        Insulin(name="Humalog", action="rapid", duration_min=300, peak_min=75),
        Insulin(name="Tresiba", action="long", duration_min=2_520),
    )
)
NOTHING = AtWork(None, 0, None, None, None)


def entry(fact: Fact, time_ms: int) -> EntryVersion:
    return EntryVersion(f"e{time_ms}", "me", "x", time_ms, 1, deleted=False, data=fact, recorded_ms=time_ms, actor=None)


def test_of_what_was_never_logged_nothing_is_known_and_that_is_not_zero() -> None:
    assert at_work([], PROFILE, T0) == NOTHING
    assert at_work([entry(NoteWritten(text="x"), T0)], PROFILE, T0) == NOTHING


def test_rapid_doses_and_meals_are_at_work_and_the_last_of_each_is_named() -> None:
    now = T0 + 2 * HOUR
    entries = [
        entry(InsulinTaken(units=4, insulin="humalog"), T0),
        entry(CarbsEaten(grams=60, speed="slow"), T0 + MIN),
        entry(InsulinTaken(units=2.5, insulin="Humalog"), T0 + HOUR),
        entry(CarbsEaten(grams=10), T0 + HOUR + MIN),
        entry(InsulinTaken(units=1, insulin="Humalog"), T0 + HOUR + 2 * MIN),
        entry(CarbsEaten(grams=11), T0 + HOUR + 3 * MIN),
    ]
    found = at_work(entries, PROFILE, now)
    doses = [Dose(T0, 4, "humalog"), Dose(T0 + HOUR, 2.5, "Humalog"), Dose(T0 + HOUR + 2 * MIN, 1, "Humalog")]
    meals = [Meal(T0 + MIN, 60, "slow"), Meal(T0 + HOUR + MIN, 10, "medium"), Meal(T0 + HOUR + 3 * MIN, 11, "medium")]
    exact_iob, exact_cob = iob_units(doses, PROFILE.insulins, now), cob_grams(meals, now)
    assert (found.iob_units, found.cob_grams) == (round(exact_iob, 2), round(exact_cob, 1))
    assert abs(exact_iob - round(exact_iob, 1)) > 0.005, "so that a hundredth tells"
    assert abs(exact_cob - round(exact_cob)) > 0.05, "so that a tenth tells"
    assert (found.iob_last_ms, found.cob_last_ms, found.unknown_doses) == (
        T0 + HOUR + 2 * MIN,
        T0 + HOUR + 3 * MIN,
        0,
    )


def test_nothing_that_is_older_than_twelve_hours_is_at_work() -> None:
    assert LOOK_BACK_MS == 12 * HOUR
    longest = PROFILE.insulins[0].model_copy(update={"duration_min": 600.0})
    assert iob_units([Dose(T0, 10, "Humalog")], (longest,), T0 + LOOK_BACK_MS) == 0
    assert cob_grams([Meal(T0, 100, "slow")], T0 + LOOK_BACK_MS) == 0


def test_a_long_acting_dose_is_not_on_board_and_one_of_a_name_nobody_knows_is_counted_apart() -> None:
    doses = [entry(InsulinTaken(units=9, insulin=name), T0 + n) for n, name in enumerate(("Tresiba", "Humalgo"))]
    assert at_work(doses, PROFILE, T0 + HOUR) == NOTHING._replace(unknown_doses=1)
