"""The catalog beside trouble: a record that no fold foresaw, a log that cannot be read."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from processors.alerting.person_state import PersonState
from schemas.alerts import AlertEvent, AlertsDecided, DecisionPosition, Evidence
from schemas.envelope import Author
from schemas.facts import AlertAcknowledged, AlertsSnoozed, CarbsEaten, PersonAdded, PersonSuspended, SourceStateChanged
from schemas.model import Fact, at_ms
from streams.adapters.logs.sqlite.log import SqliteLog
from streams.errors import LogUnavailable
from streams.ports.log import append_events
from streams.topics import ALERTS, JOURNAL
from streams.views.catalog import Catalog
from tests.support.running import until

T0 = 1_795_500_000_000


async def ate(log: SqliteLog, *names: str) -> None:
    author = Author("api", "Mum")
    for name in names:
        await append_events(log, JOURNAL, [author.say(CarbsEaten(grams=20), name, "me", T0)])


async def test_a_record_that_no_fold_foresaw_is_left_out_and_all_others_are_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the next start would only meet the same, and with the catalog its process ends, alarms and all."""
    log = SqliteLog(tmp_path / "log.db")
    await ate(log, "first", "odd", "last")
    catalog = Catalog(log, tmp_path / "catalog-1.db")
    right = catalog._one

    def wrong(event: Any, *more: Any) -> Any:
        if event.id == "odd":
            raise KeyError(event.id)
        return right(event, *more)

    monkeypatch.setattr(catalog, "_one", wrong)
    await catalog.catch_up()
    assert [catalog.entry(name) is not None for name in ("first", "odd", "last")] == [True, False, True]
    await ate(log, "later")
    await catalog.catch_up()
    assert catalog.entry("later") is not None
    catalog.close()
    await log.close()


async def test_while_the_log_cannot_be_read_the_catalog_says_so_and_goes_on_once_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = SqliteLog(tmp_path / "log.db")
    catalog = Catalog(log, tmp_path / "catalog-1.db")
    read = log.read

    async def gone(*_: Any) -> Any:
        raise LogUnavailable("Kafka does not answer")

    monkeypatch.setattr(log, "read", gone)
    monkeypatch.setattr("streams.views.catalog._RETRY_S", 0.02)
    stopping = asyncio.Event()
    following = asyncio.ensure_future(catalog.follow(stopping))
    await ate(log, "one")
    await until(lambda: "the log cannot be read" in catalog.failing)
    monkeypatch.setattr(log, "read", read)
    await until(lambda: catalog.entry("one") is not None)
    await until(lambda: not catalog.failing)
    stopping.set()
    await following
    await log.close()


async def test_page_and_alerter_agree_on_which_word_counts_though_a_clock_went_back(tmp_path: Path) -> None:
    """The last in the log: a host whose clock was an hour fast must not have the page say quiet what rings."""
    log = SqliteLog(tmp_path / "log.db")
    catalog, state, author = Catalog(log, tmp_path / "catalog-1.db"), PersonState("me"), Author("api", "Mum")
    hour = 3_600_000
    said: list[Fact] = [
        AlertsSnoozed(kind="high", until=at_ms(T0 + 3 * hour)),
        AlertAcknowledged(episode="e1", treated=True),
        SourceStateChanged(state="refused"),
        PersonSuspended(),
        AlertsSnoozed(kind="high", until=at_ms(T0)),
        AlertAcknowledged(episode="e1"),
        SourceStateChanged(state="ok"),
        PersonAdded(name="Maya"),
    ]
    for offset, fact in enumerate(said):
        event = author.say(fact, f"f{offset}", "me", T0 + hour if offset < 4 else T0)
        await append_events(log, JOURNAL, [event])
        state.take(event, offset)
    await catalog.catch_up()
    quiet, answer = catalog.snooze("me", "high"), catalog.acknowledgement("e1")
    source = catalog.source("me")
    assert quiet is not None
    assert answer is not None
    assert source is not None
    assert state.source is not None
    assert (quiet.until_ms, answer.treated) == (state.snoozes["high"], state.acknowledged["e1"].treated)
    assert (source.state.state, catalog.is_suspended("me")) == (state.source.state, bool(state.suspended_ms))
    catalog.close()
    await log.close()


async def test_of_two_episodes_that_one_decision_opened_none_is_lost_between_two_pages(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path / "log.db")
    catalog = Catalog(log, tmp_path / "catalog-1.db")
    opened = [
        AlertEvent(
            change="opened",
            kind=kind,
            episode=f"{kind}-1",
            step=1,
            priority=4,
            urgency=4,
            at=at_ms(T0),
            evidence=Evidence(glucose_mgdl=250),
        )
        for kind in ("high", "no_long_acting", "stale")
    ]
    decided = AlertsDecided(pos=DecisionPosition(0, 0, T0), events=tuple(opened))
    await append_events(log, ALERTS, [Author("alerter").say(decided, "d1", "me", T0)])
    await catalog.catch_up()
    found, after = [], None
    while page := catalog.episodes("me", 0, T0 + 1, 1, after):
        found += [episode.id for episode in page]
        after = (page[-1].opened_ms, page[-1].id)
    assert found == ["high-1", "no_long_acting-1", "stale-1"]
    catalog.close()
    await log.close()
