"""What is wrong with iv3 itself is told to the house, once, however many people it watches and in whichever process it
shows.
"""

import asyncio

import pytest

from schemas.envelope import decode, make
from schemas.facts import SourceStateChanged
from schemas.model import at_ms
from streams.adapters.logs.sqlite.log import SqliteLog
from streams.ports.log import append_events
from streams.roles.alerter import LATE, Alerter
from streams.roster import Roster, Watched
from streams.runtime.heartbeats import COMPLAINT_LASTS_MS, Heartbeats
from streams.runtime.self_report import AGAIN_S, SelfReport
from streams.topics import ALERTS, HEARTBEATS, JOURNAL
from tests.support.clock import SetClock
from tests.support.phone import Phone
from tests.support.running import app_maker, caught_up, running
from tests.support.waves import T0, everything, reading

FULL = "the disk is nearly full: only readings and alarms are still saved"
PEOPLE = ("anna", "ben", "cleo", "dora")


async def told(log: SqliteLog) -> list[tuple[str, str, str]]:
    """(about whom, what changed, why) of every alarm about iv3 itself."""
    found = [decode(r.value) for n in range(12) for r in await everything(log, ALERTS, n)]
    return [
        (event.subject, said.change, said.evidence.reason)
        for event in found
        for said in event.data.events  # type: ignore[attr-defined]  # this topic holds one type of event
        if said.kind == "system"
    ]


async def peopled(log: SqliteLog, *, skew_s: float | None = None) -> None:
    """Four people, each with a source."""
    for number, person in enumerate(PEOPLE):
        at = at_ms(T0)
        state = SourceStateChanged(state="ok", clock_skew_s=skew_s)
        await append_events(
            log,
            JOURNAL,
            [
                make(state, id=f"s{number}", source="t", subject=person, time=at, recordedtime=at),
                reading(number, 120, person),
            ],
        )


async def test_a_full_disk_is_told_once_and_its_end_too(log: SqliteLog) -> None:
    troubles = [FULL]
    alerter = Alerter(log, SetClock(T0), app_maker(log), troubles=lambda: troubles)
    async with running(alerter):
        await peopled(log)
        await caught_up([alerter])
        for _ in range(3):
            await alerter.tick()
        assert await told(log) == [("_system", "opened", FULL)]
        troubles.clear()
        await alerter.tick()
        assert [change for _, change, _ in await told(log)] == ["opened", "resolved"]


async def test_where_the_house_has_no_phone_peoples_own_are_told(log: SqliteLog) -> None:
    own = Roster({"anna": Watched(target=Phone("annas"))})  # type: ignore[arg-type] # what a notifier asks of a phone here
    alerter = Alerter(log, SetClock(T0), app_maker(log), troubles=lambda: [FULL], roster=own)
    async with running(alerter):
        await peopled(log)
        await caught_up([alerter])
        await alerter.tick()
        assert ("anna", "opened", FULL) in await told(log)


async def test_a_wrong_clock_that_shows_in_everybodys_data_is_told_once(log: SqliteLog) -> None:
    alerter = Alerter(log, SetClock(T0), app_maker(log))
    async with running(alerter):
        await peopled(log, skew_s=180.0)
        await caught_up([alerter])
        await alerter.tick()
        (only,) = await told(log)
        assert only[0] == "_system"
        assert "3 min fast" in only[2]
        assert alerter.met == [only[2]], "so that this process can complain of it to a house elsewhere"


async def test_alarms_that_run_late_for_many_are_told_once(log: SqliteLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.roles.alerter._CATCH_UP_S", 0.05)
    monkeypatch.setattr("streams.roles.alerter.BEHIND_S", 0.2)
    alerter = Alerter(log, SetClock(T0), app_maker(log))
    async with running(alerter):
        await peopled(log)
        await caught_up([alerter])
        reached = alerter.reached
        monkeypatch.setattr(alerter, "reached", lambda *_: asyncio.sleep(0.05, False))
        for _ in range(8):
            await alerter.tick()
        assert alerter.late
        assert await told(log) == [("_system", "opened", LATE)]
        monkeypatch.setattr(alerter, "reached", reached)
        await alerter.tick()
        assert not alerter.late
        assert [change for _, change, _ in await told(log)] == ["opened", "resolved"]


async def test_what_is_wrong_in_another_process_reaches_the_house(log: SqliteLog) -> None:
    behind = "the archive could not be brought up to date for an hour"
    clock, elsewhere = SetClock(T0), [behind]
    archiver = SelfReport(log, clock, "w2", lambda: elsewhere)
    alerter = Alerter(log, clock, app_maker(log))
    async with running(alerter):
        await peopled(log)
        await caught_up([alerter])
        await archiver.refresh()
        await alerter.tick()
        assert await told(log) == [("_system", "opened", behind)]
        elsewhere.clear()
        await archiver.refresh()
        await alerter.tick()
        assert [change for _, change, _ in await told(log)] == ["opened", "resolved"]


async def test_of_one_person_alone_another_process_tells_that_person(log: SqliteLog) -> None:
    clock = SetClock(T0)
    alerter = Alerter(log, clock, app_maker(log))
    async with running(alerter):
        await append_events(log, JOURNAL, [reading(0, 120)])
        await caught_up([alerter])
        await SelfReport(log, clock, "w2", lambda: [FULL]).refresh()
        await alerter.tick()
        assert await told(log) == [("me", "opened", FULL)]


async def test_a_complaint_is_said_again_every_minute_and_ends_with_its_process(log: SqliteLog) -> None:
    clock, pulse, troubles = SetClock(T0), Heartbeats(log), [FULL, FULL, "x" * 400]
    complaints = SelfReport(log, clock, "w2", lambda: troubles)
    for second in range(0, 181, 10):
        clock.set(T0 + second * 1000)
        await complaints.refresh()
    said = [r for n in range(12) for r in await everything(log, HEARTBEATS, n)]
    assert len(said) == 1 + 180 / AGAIN_S
    await pulse.refresh()
    assert pulse.self_reports(T0 + 180_000) == [FULL, "x" * 300]
    assert pulse.self_reports(T0 + 180_000 + COMPLAINT_LASTS_MS) == [FULL, "x" * 300]
    assert pulse.self_reports(T0 + 180_001 + COMPLAINT_LASTS_MS) == [], "whoever is gone complains no more"
    troubles.clear()
    await complaints.refresh()
    await complaints.refresh()
    await pulse.refresh()
    assert pulse.self_reports(T0 + 180_000) == []
    assert len([r for n in range(12) for r in await everything(log, HEARTBEATS, n)]) == len(said) + 1
