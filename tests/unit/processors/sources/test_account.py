"""What the journal says of a person's glucose source."""

import pytest

from processors.sources.account import Account, PersonAccounts, is_news
from processors.sources.polling import LoginPolicy
from schemas.envelope import make
from schemas.facts import CarbsEaten, GlucoseRead, PersonAdded, PersonSuspended, SourceStateChanged
from schemas.model import Fact, at_ms
from tests.support.night import HOUR, T0

REFUSED = SourceStateChanged(state="refused", refusals=2, no_login_before=at_ms(T0 + HOUR))


class Told(PersonAccounts):
    def __call__(self, data: Fact, at: int = T0, name: str = "r", source: str = "dexcom-share") -> bool:
        event = make(data, id=name, source=source, subject="me", time=at_ms(at), recordedtime=at_ms(T0 + 5))
        return self.take(event, self.offset)


def test_readings_are_known_by_their_source() -> None:
    told = Told("me")
    assert not told(GlucoseRead(glucose_mgdl=100.0), T0, "a")
    told(GlucoseRead(glucose_mgdl=100.0), T0 - 5, "b")
    told(GlucoseRead(glucose_mgdl=100.0), T0 + 9, "c", "upload/xDrip")
    mine = told.account("dexcom-share")
    assert (mine.known, mine.newest_ms, mine.person) == ({"a": T0, "b": T0 - 5}, T0, "me")
    assert told.account("upload/xDrip").known == {"c": T0 + 9}
    assert told.offset == 3


def test_what_a_source_gives_no_more_is_forgotten_after_26_hours_once_there_are_many() -> None:
    account = Account("me")
    account.saw("old", T0 - 26 * HOUR - 1)
    account.saw("just", T0 - 26 * HOUR)
    for n in range(597):
        account.saw(f"r{n}", T0)
    assert "old" in account.known
    account.saw("last", T0)
    assert "old" not in account.known
    assert "just" in account.known
    assert len(account.known) == 599
    assert account.forget_at == 2 * 599


def test_how_the_source_answers_says_when_a_log_in_may_be_tried() -> None:
    told = Told("me")
    assert not told(REFUSED)
    account = told.account("dexcom-share")
    assert (account.state, account.login) == (REFUSED, LoginPolicy(2, T0 + HOUR))
    told(SourceStateChanged(state="ok"))
    assert account.login == LoginPolicy()


def test_the_last_word_in_the_log_says_whether_somebody_is_watched() -> None:
    told = Told("me")
    assert told.suspended_ms == 0
    assert told(PersonSuspended())
    assert told.suspended_ms == T0 + 5
    assert told(PersonAdded())
    assert told.suspended_ms == 0
    assert not told(CarbsEaten(grams=1))


def test_a_ledger_put_away_and_taken_up_again_knows_the_same() -> None:
    told = Told("me")
    told(GlucoseRead(glucose_mgdl=100.0), T0, "a")
    told(REFUSED)
    told(SourceStateChanged(state="ok"), source="upload/xDrip")
    told(PersonSuspended())
    again = PersonAccounts.load(told.dump(), told.offset)
    assert (again.person, again.offset, again.suspended_ms) == ("me", 4, T0 + 5)
    assert again.accounts == told.accounts
    assert PersonAccounts.load(PersonAccounts("me").dump(), 0) == PersonAccounts("me")
    without = PersonAccounts("me", accounts={"s": Account("me", {"a": T0}, T0)})
    assert PersonAccounts.load(without.dump(), 0) == without


@pytest.mark.parametrize(
    ("change", "news"),
    [
        ({}, False),
        ({"reason": "another"}, False),
        ({"state": "ok"}, True),
        ({"refusals": 3}, True),
        ({"no_login_before": None}, True),
        ({"clock_skew_s": None}, True),
        ({"clock_skew_s": 130.0}, False),
        ({"clock_skew_s": 130.1}, True),
        ({"clock_skew_s": 69.9}, True),
    ],
)
def test_the_journal_is_told_of_what_changed_and_of_a_clock_that_is_wrong_by_more_than_half_a_minute_more(
    change: dict[str, object], news: bool
) -> None:
    known = REFUSED.model_copy(update={"clock_skew_s": 100.0})
    assert is_news(known, known.model_copy(update=change)) == news


def test_a_clock_that_was_and_is_right_is_no_news_and_one_that_goes_wrong_is() -> None:
    right = SourceStateChanged(state="ok")
    assert not is_news(right, right)
    assert is_news(right, right.model_copy(update={"clock_skew_s": 0.0}))
