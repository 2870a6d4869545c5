"""The reminder of a long-acting dose: which dose it counts from, and what ends it."""

from schemas.alerts import AlertsDecided, DecisionPosition
from schemas.facts import (
    EntryDeleted,
    Insulin,
    InsulinTaken,
    ProfileChanged,
)
from schemas.model import at_ms
from tests.support.night import (
    INSULINS,
    MIN,
    T0,
    Night,
    a_profile,
    a_source,
    opened,
    stay,
)


def test_a_long_acting_dose_ends_the_alarm_at_once_and_says_which() -> None:
    night = Night(foresees=False)
    a_profile(night)
    a_source(night)
    night.fact(InsulinTaken(units=18, insulin="Tresiba"), at=T0 - 27 * 60 * MIN)
    night.read(120, 0)
    assert night.said == [], "it opens by the clock, not by a reading"
    night.tick(1)
    night.fact(InsulinTaken(units=17, insulin="Tresiba"), at=T0 + MIN, now=T0 + 2 * MIN)
    assert night.steps() == [("no_long_acting", "opened", 1), ("no_long_acting", "resolved", 1)]
    over = night.said[-1]
    assert (over.evidence.insulin, over.evidence.last_logged, over.quiet) == ("Tresiba", at_ms(T0 + MIN), False)


def test_an_alarm_that_was_switched_off_ends_without_a_word() -> None:
    night = Night(foresees=False)
    a_profile(night)
    a_source(night)
    night.fact(InsulinTaken(units=18, insulin="Tresiba"), at=T0 - 27 * 60 * MIN)
    night.tick(1)
    night.fact(ProfileChanged(insulins=INSULINS, no_long_acting_h=0), now=T0 + 2 * MIN)
    assert [(e.change, e.quiet) for e in night.said] == [("opened", False), ("resolved", True)]


def test_a_dose_that_is_gone_ends_it_without_claiming_that_an_earlier_one_was_logged_now() -> None:
    night = Night(foresees=False)
    a_profile(night)
    a_source(night)
    night.fact(InsulinTaken(units=18, insulin="Tresiba"), at=T0 - 28 * 60 * MIN)
    night.fact(InsulinTaken(units=18, insulin="Tresiba"), at=T0 - 27 * 60 * MIN, name="dose")
    night.tick(1)
    night.episodes.through.clear()
    night.state.profile = ProfileChanged(insulins=INSULINS, no_long_acting_h=40)
    night.fact(EntryDeleted(entry_id="dose", revision=2), now=T0 + 2 * MIN)
    assert [(e.change, e.quiet) for e in night.said] == [("opened", False), ("resolved", True)]


def test_of_two_long_acting_insulins_it_names_the_one_that_was_logged_last() -> None:
    night = Night(foresees=False)
    other = Insulin(name="Levemir", action="long", duration_min=1000, every_h=12)
    night.fact(ProfileChanged(insulins=(*INSULINS, other), no_long_acting_h=26))
    a_source(night)
    night.fact(InsulinTaken(units=18, insulin="Tresiba"), at=T0 - 27 * 60 * MIN)
    night.tick(1)
    night.fact(InsulinTaken(units=9, insulin="Levemir"), now=T0 + 2 * MIN)
    assert (night.said[-1].change, night.said[-1].evidence.insulin) == ("resolved", "Levemir")


def test_an_earlier_dose_that_is_logged_late_does_not_end_it() -> None:
    night = Night(foresees=False)
    a_profile(night)
    a_source(night)
    night.fact(InsulinTaken(units=18, insulin="Tresiba"), at=T0 - 27 * 60 * MIN)
    night.tick(1)
    night.fact(InsulinTaken(units=18, insulin="Tresiba"), at=T0 - 50 * 60 * MIN)
    night.tick(2)
    assert night.steps() == [("no_long_acting", "opened", 1)]


def test_an_alarm_that_counted_from_no_dose_ends_with_the_first_one() -> None:
    night = Night(foresees=False)
    a_profile(night)
    alarm = AlertsDecided(pos=DecisionPosition(0, 0, T0), events=(opened("no_long_acting"),))
    night.episodes.evolve("me", alarm)
    night.fact(InsulinTaken(units=18, insulin="Tresiba"), at=T0)
    assert [(e.change, e.quiet) for e in night.said] == [("resolved", False)]


def test_the_reminder_of_a_long_acting_dose_speaks_of_the_dose_it_counts_from() -> None:
    night = Night(foresees=False)
    a_profile(night)
    a_source(night)
    night.fact(InsulinTaken(units=18, insulin="Tresiba"), at=T0 - 27 * 60 * MIN)
    night.tick(1)
    stay(night, 120, 5, 65)
    assert night.rings("no_long_acting") == [1, 65]
    assert [e.priority for e in night.said] == [3, 3]
    assert night.said[-1].evidence.last_logged == at_ms(T0 - 27 * 60 * MIN)
    assert night.said[-1].evidence.glucose_mgdl == night.said[0].evidence.glucose_mgdl
