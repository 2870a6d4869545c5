"""A log split finer: where each record comes to lie, and how records that name places are written for it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.copies.erasing import placeholder
from processors.copies.repartition import Split, UnknownPosition, is_of_a_partition, moved_letter, moved_record
from schemas.alerts import AlertEvent, AlertsDecided, DecisionPosition, Evidence, TargetAdded, TargetRemoved
from schemas.bookkeeping import RecordDeadLettered
from schemas.envelope import SYSTEM, Event, decode, encode, make
from schemas.facts import CarbsEaten
from schemas.forecasts import ForecastWithheld
from schemas.model import Fact, at_ms
from tests.support.night import T0, Night, a_forecast

HOLE = placeholder("log", "iv3.journal", 0, 0, T0)


def by_number(key: bytes, partitions: int) -> int:
    """The partition is the number in the key; the house's is 0."""
    return 0 if key == SYSTEM.encode() else int(key[1:]) % partitions


def key(number: int) -> bytes:
    return b"p%d" % number


def event(data: Fact, subject: str = "p1") -> Event:
    return make(data, id="x", source="test", subject=subject, time=at_ms(T0), recordedtime=at_ms(T0))


def test_an_old_partition_is_dealt_out_among_those_that_share_it() -> None:
    split = Split(1, 2, 6, by_number)
    assert list(split.shares) == [1, 3, 5]
    assert [split.add(n, key(number), b"") for n, number in enumerate((1, 3, 5, 7, 13))] == [1, 3, 5, 1, 1]


def test_a_record_in_a_partition_that_its_key_does_not_say_stays_where_somebody_put_it() -> None:
    split = Split(1, 2, 4, by_number)
    assert split.new_partition(key(2), b"") == 1
    assert split.new_partition(key(3), b"") == 3


def test_what_an_erasure_left_stays_where_it_counts() -> None:
    split = Split(1, 2, 4, by_number)
    assert split.new_partition(SYSTEM.encode(), HOLE) == 1
    assert split.new_partition(key(3), HOLE) == 1
    house = Split(0, 2, 4, by_number)
    assert house.new_partition(key(2), HOLE) == 2, "in the house's own partition it may have a key of its own"


def test_an_old_place_lies_now_among_what_went_to_the_same_partition() -> None:
    split = Split(0, 1, 2, by_number)
    for offset, number in enumerate((0, 1, 1, 0, 1)):
        split.add(offset, key(number), b"")
    assert [split.new_offset(offset, key(0)) for offset in range(5)] == [0, 0, 0, 1, 1]
    assert [split.new_offset(offset, key(1)) for offset in range(5)] == [-1, 0, 1, 1, 2]
    assert split.new_offset(-1, key(0)) == -1
    with pytest.raises(UnknownPosition, match="names journal offset 5, and the journal ends at 5"):
        split.new_offset(5, key(0))


@given(st.lists(st.integers(0, 40), max_size=60), st.sampled_from([(1, 2), (1, 6), (2, 4), (3, 12)]))
def test_each_record_keeps_its_place_among_those_of_its_partition(numbers: list[int], sizes: tuple[int, int]) -> None:
    old, new = sizes
    split = Split(0, old, new, by_number)
    lying: dict[int, int] = dict.fromkeys(split.shares, 0)
    for offset, number in enumerate(n * old for n in numbers):
        there = split.add(offset, key(number), b"")
        assert there in split.shares
        assert split.new_offset(offset, key(number)) == lying[there]
        lying[there] += 1
    assert sum(lying.values()) == len(numbers)


def test_what_is_said_of_a_partition_must_be_in_each_that_takes_from_it() -> None:
    assert is_of_a_partition(event(TargetAdded(target="phone")))
    assert is_of_a_partition(event(TargetRemoved(target="phone")))
    assert not is_of_a_partition(event(CarbsEaten(grams=1)))
    assert not is_of_a_partition(None)


@pytest.fixture
def split() -> Split:
    """Offsets 0 to 4 of one partition; those with an even number went to the first of two."""
    dealt = Split(0, 1, 2, by_number)
    for offset in range(5):
        dealt.add(offset, key(offset), b"")
    return dealt


def test_a_forecast_names_the_new_place_of_its_reading(split: Split) -> None:
    night = Night(foresees=False)
    night.read_all((120, 121, 122, 123))
    for data in (
        a_forecast(night.state),
        ForecastWithheld(based_on="r", pos=3, reading_time=at_ms(T0), reason='"pos":3, it said'),
    ):
        one = event(data)
        moved = decode(moved_record(encode(one), one, key(1), split))
        assert moved.data == data.model_copy(update={"pos": 1})


def test_a_decision_names_the_new_place_of_its_input(split: Split) -> None:
    said = AlertEvent(
        change="opened", episode="e", kind="low", step=1, priority=4, urgency=2, at=at_ms(T0), evidence=Evidence()
    )
    one = event(AlertsDecided(pos=DecisionPosition(3, 1, 9), events=(said,)))
    moved = decode(moved_record(encode(one), one, key(1), split))
    assert moved.data == AlertsDecided(pos=DecisionPosition(1, 1, 9), events=(said,))
    with pytest.raises(UnknownPosition):
        moved_record(encode(one), event(AlertsDecided(pos=DecisionPosition(9, 0, 0), events=(said,))), key(1), split)


def test_anything_else_stays_as_it_was_written(split: Split) -> None:
    one = event(CarbsEaten(grams=1))
    assert moved_record(b"as it was", one, key(1), split) == b"as it was"


def test_a_dead_letter_names_another_place_under_a_name_of_its_own() -> None:
    letter = event(RecordDeadLettered(role="alerter", topic="iv3.journal", partition=0, offset=7, reason="no"))
    moved = json.loads(moved_letter(encode(letter), "new", "iv3.journal", 3, 2))
    assert (moved["id"], moved["data"]["partition"], moved["data"]["offset"]) == ("new", 3, 2)
    assert (moved["data"]["role"], moved["data"]["reason"]) == ("alerter", "no")
