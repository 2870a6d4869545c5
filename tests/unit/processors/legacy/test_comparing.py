"""What the older program has and iv3 has not, and the other way round."""

from hypothesis import given
from hypothesis import strategies as st

from processors.legacy.comparing import Difference, KnownByIv3, LegacyRow, differ
from schemas.envelope import make
from schemas.facts import CarbsEaten, EntryDeleted, GlucoseRead, InsulinTaken, NoteWritten
from schemas.model import Fact, at_ms
from tests.support.night import T0

rows = st.lists(st.builds(LegacyRow, st.integers(0, 3), st.sampled_from([1.0, 2.0]), st.sampled_from(["", "Humalog"])))


def test_equal_things_are_counted_so_two_equal_doses_are_two() -> None:
    one, other = LegacyRow(1, 4.0, "Humalog"), LegacyRow(2, 5.0, "Humalog")
    assert differ([one, one, other], [one]) == Difference(1, (one, other), ())
    assert differ([], [other, one]) == Difference(0, (), (one, other))


@given(rows, rows)
def test_what_is_in_one_is_in_both_or_in_that_one_alone(old: list[LegacyRow], new: list[LegacyRow]) -> None:
    found = differ(old, new)
    assert found.both + len(found.only_old) == len(old)
    assert found.both + len(found.only_iv3) == len(new)
    assert not set(found.only_old) & set(found.only_iv3)
    assert list(found.only_old) == sorted(found.only_old)


class Heard(KnownByIv3):
    def __call__(
        self, data: Fact, at: int = T0, name: str = "e", source: str = "dexcom-share", person: str = "me"
    ) -> None:
        self.take(make(data, id=name, source=source, subject=person, time=at_ms(at), recordedtime=at_ms(T0)))


def heard() -> Heard:
    return Heard("me", "dexcom-share", T0, T0 + 10_000)


def test_readings_are_one_persons_of_one_source_within_the_time() -> None:
    known = heard()
    for at in (T0 - 1, T0, T0 + 9_999, T0 + 10_000):
        known(GlucoseRead(glucose_mgdl=100.0), at)
    known(GlucoseRead(glucose_mgdl=101.0), T0 + 5000, source="upload/xDrip")
    known(GlucoseRead(glucose_mgdl=102.0), T0 + 5000, person="ada")
    assert known.readings() == [LegacyRow(T0 // 1000, 100.0), LegacyRow(T0 // 1000 + 9, 100.0)]


def test_of_two_readings_in_one_second_the_last_in_the_log_counts() -> None:
    known = heard()
    known(GlucoseRead(glucose_mgdl=100.0), T0 + 500)
    known(GlucoseRead(glucose_mgdl=104.0), T0 + 100)
    assert known.readings() == [LegacyRow(T0 // 1000, 104.0)]


def test_doses_and_carbs_are_what_is_there_now_within_the_time() -> None:
    known = heard()
    for n, at in enumerate((T0 - 1, T0, T0 + 9_999, T0 + 10_000)):
        known(InsulinTaken(units=4, insulin="Humalog"), at, f"dose{n}")
        known(CarbsEaten(grams=20), at, f"meal{n}")
    known(NoteWritten(text="x"), name="note")
    known(InsulinTaken(units=9, insulin="Humalog"), name="hers", person="ada")
    assert known.doses() == [LegacyRow(T0 // 1000, 4, "Humalog"), LegacyRow(T0 // 1000 + 9, 4, "Humalog")]
    assert known.carbs() == [LegacyRow(T0 // 1000, 20), LegacyRow(T0 // 1000 + 9, 20)]
    known(EntryDeleted(entry_id="dose1", revision=2), name="d")
    known(EntryDeleted(entry_id="meal1", revision=7), name="late")
    assert known.doses() == [LegacyRow(T0 // 1000 + 9, 4, "Humalog")]
    assert len(known.carbs()) == 2
