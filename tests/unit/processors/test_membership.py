"""Whether anybody watches a person: the last word in the log counts."""

from processors.membership import suspended_ms
from schemas.envelope import Event, make
from schemas.facts import CarbsEaten, PersonAdded, PersonSuspended
from schemas.model import Fact, at_ms
from tests.support.night import MIN, T0


def said(data: Fact, *, at: int = T0, recorded: int = T0) -> Event:
    return make(data, id="e", source="api", subject="me", time=at_ms(at), recordedtime=at_ms(recorded))


def test_a_person_is_not_watched_from_the_moment_in_which_that_was_accepted() -> None:
    assert suspended_ms(said(PersonSuspended(), at=T0 - 90 * MIN), 0) == T0, "whatever clock the one who said it had"


def test_who_is_added_again_is_watched_and_nothing_else_changes_that() -> None:
    assert suspended_ms(said(PersonAdded()), T0 - MIN) == 0
    assert suspended_ms(said(CarbsEaten(grams=1)), T0 - MIN) == T0 - MIN
    assert suspended_ms(said(CarbsEaten(grams=1)), 0) == 0
