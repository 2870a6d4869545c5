"""What iv3 writes for itself."""

import pytest
from pydantic import ValidationError

from schemas.bookkeeping import BOOKKEEPING_FACTS, PartitionEvaluated, ProcessTroubled, SnapshotTaken
from schemas.model import at_ms
from tests.support.night import T0


def test_a_snapshot_of_nobody_is_the_floor_below_which_everybody_is_covered() -> None:
    floor = SnapshotTaken(role="alerter", log_id="log", offset=7, version="3")
    assert (floor.person, floor.state) == (None, "")


def test_an_offset_is_never_negative() -> None:
    with pytest.raises(ValidationError, match="offset"):
        SnapshotTaken(role="alerter", log_id="log", offset=-1, version="3")


def test_a_partition_that_nobody_lives_in_is_evaluated_too() -> None:
    said = PartitionEvaluated(partition=0, through=at_ms(T0))
    assert (said.watched, said.silent) == (0, 0)


def test_a_process_without_trouble_says_so_by_naming_none() -> None:
    assert ProcessTroubled(process="p").troubles == ()


def test_each_has_a_type_of_its_own() -> None:
    assert len({fact.TYPE for fact in BOOKKEEPING_FACTS}) == len(BOOKKEEPING_FACTS)
