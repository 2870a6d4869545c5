"""The roles on real Faust Apps: what must hold when offsets are lost, state is redelivered, records are poisoned and
processes come and go.
"""

import asyncio
from collections import Counter
from typing import Any

import pytest

from processors.alerting.person_state import PersonState
from processors.predictors.forecasting import VERSION
from schemas.bookkeeping import SnapshotTaken
from schemas.envelope import decode, make
from schemas.forecasts import ForecastMade
from schemas.model import at_ms
from streams.adapters.logs.sqlite.log import SqliteLog
from streams.adapters.logs.sqlite.writer import Statements
from streams.commands.tokens import issue
from streams.delivery.channels import Channels
from streams.ports.log import Record, append_events
from streams.roles.alerter import Alerter
from streams.roles.forecaster import Forecaster
from streams.roles.notifier import AlarmNotifier
from streams.runtime.assignment import Assignment
from streams.runtime.role import Role
from streams.runtime.snapshots import EVERY
from streams.runtime.supervision import Supervision
from streams.topics import ALERTS, DEAD_LETTERS, FORECASTS, JOURNAL, SNAPSHOTS, partition_of
from tests.support.clock import SetClock
from tests.support.offsets import forget_offsets
from tests.support.running import app_maker, caught_up, running, until
from tests.support.waves import MIN, T0, P, everything, play, reading, wave


async def test_the_forecaster_says_nothing_twice_though_its_offsets_are_lost(log: SqliteLog) -> None:
    clock = SetClock(T0)
    first = Forecaster(log, clock, app_maker(log))
    async with running(first):
        await play(log, clock, [first], 0, 40)
    said = await everything(log, FORECASTS)
    await forget_offsets(log, "forecaster")
    again = Forecaster(log, clock, app_maker(log))
    async with running(again):
        await caught_up([again])
        await play(log, clock, [again], 40, 3)
    after = await everything(log, FORECASTS)
    assert after[: len(said)] == said
    assert [decode(r.value).data.pos for r in after] == list(range(43))  # type: ignore[attr-defined]  # this topic holds one type of event


async def test_the_alerter_decides_nothing_twice_though_its_offsets_are_lost(log: SqliteLog) -> None:
    """The alerts it folds are far ahead of the journal that comes again: without the places every low would open once
    more.
    """
    clock = SetClock(T0)
    roles: list[Role] = [Forecaster(log, clock, app_maker(log)), Alerter(log, clock, app_maker(log))]
    async with running(*roles):
        await play(log, clock, roles, 0, 60)
    decided = await everything(log, ALERTS)
    assert len(decided) >= 12
    await forget_offsets(log, "alerter")
    await log.submit(Statements([("DELETE FROM log WHERE topic=(SELECT id FROM topics WHERE name=?)", (SNAPSHOTS,))]))
    again = Alerter(log, clock, app_maker(log))
    async with running(again):
        await caught_up([again])
    assert await everything(log, ALERTS) == decided


async def test_whoever_comes_late_works_off_what_waits_without_asking_the_log_about_each_and_rings_for_the_newest(
    log: SqliteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    people, rounds = [f"p{n}" for n in range(5)], 100
    for n in range(rounds):
        for person in people:
            await append_events(log, JOURNAL, [reading(n, 110, person)])
    await append_events(log, JOURNAL, [reading(rounds, 50, "p3")])
    asked: list[int] = []
    fold = SqliteLog.fold

    async def counted(self: SqliteLog, topic: str, partition: int, *rest: Any) -> int:
        asked.extend([partition] * (topic == ALERTS))
        return await fold(self, topic, partition, *rest)

    monkeypatch.setattr(SqliteLog, "fold", counted)
    alerter = Alerter(log, SetClock(T0 + rounds * 5 * MIN), app_maker(log))
    async with running(alerter):
        await caught_up([alerter])
    assert len(asked) < len(people) * rounds / 4
    rang = [decode(record.value) for record in await everything(log, ALERTS, partition_of("p3"))]
    assert [(event.subject, event.data.events[0].kind) for event in rang] == [("p3", "urgent_low")]  # type: ignore[attr-defined]  # alerts decided


async def test_what_was_in_hand_when_the_partitions_moved_does_not_go_on_in_the_next_tenure(
    log: SqliteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next fold begins before it: a record that slipped in behind it would hide those between."""
    for n, glucose in enumerate((50, 100, 110)):
        await append_events(log, JOURNAL, [reading(n, glucose)])
    hangs, answered, append = asyncio.Event(), asyncio.Event(), SqliteLog.append

    async def slow(self: SqliteLog, topic: str, *rest: Any, **more: Any) -> Any:
        done = await append(self, topic, *rest, **more)
        if topic == ALERTS:
            hangs.set()
            await answered.wait()
        return done

    monkeypatch.setattr(SqliteLog, "append", slow)
    alerter = Alerter(log, SetClock(T0 + 10 * MIN), app_maker(log))
    async with running(alerter):
        await hangs.wait()
        life, before = alerter.life, alerter.assignment
        assert life is not None
        assert before is not None
        before.end()
        life.assignment, alerter.people = Assignment(before.partitions, lambda: True), {}
        begun = dict(alerter.progress.next_offset)
        answered.set()
        await until(life.idle.is_set)
        await asyncio.sleep(0.05)
        assert alerter.people == {}
        assert alerter.progress.next_offset == begun


def test_a_forecast_that_comes_again_after_an_outage_is_not_late_for_that(log: SqliteLog) -> None:
    alerter, watch = Alerter(log, SetClock(T0), app_maker(log)), PersonState("me", newest_offset=7)
    made = ForecastMade.model_construct(pos=5)
    came = Record(FORECASTS, P, 3, T0, b"me", b"")
    assert [alerter._foresee(watch, came, made) for _ in range(4)] == [False] * 4
    assert watch.late_forecasts == 1


async def test_a_clock_that_is_set_back_stops_no_alarm_that_time_alone_calls_for(log: SqliteLog) -> None:
    clock = SetClock(T0)
    alerter = Alerter(log, clock, app_maker(log))
    async with running(alerter):
        await append_events(log, JOURNAL, [reading(0, 60)])
        await caught_up([alerter])
        for minutes in (16, 32):
            clock.set(T0 + minutes * MIN)
            await alerter.tick()
        rang = len(await everything(log, ALERTS))
        for minutes, more in ((5, 1), (6, 1), (21, 2)):
            clock.set(T0 + minutes * MIN)
            await alerter.tick()
            assert len(await everything(log, ALERTS)) == rang + more


async def test_after_a_restart_time_alone_still_calls_for_alarms_and_the_last_forecast_is_known(log: SqliteLog) -> None:
    clock = SetClock(T0)
    first: list[Any] = [Forecaster(log, clock, app_maker(log)), Alerter(log, clock, app_maker(log))]
    async with running(*first):
        await play(log, clock, first, 0, 4)
        clock.set(T0 + 35 * MIN)
        await first[1].tick()
    rang = len(await everything(log, ALERTS))
    await log.submit(Statements([("DELETE FROM log WHERE topic=(SELECT id FROM topics WHERE name=?)", (SNAPSHOTS,))]))
    clock.set(T0 + 40 * MIN)
    again = Alerter(log, clock, app_maker(log))
    async with running(again):
        await caught_up([again])
        assert again.people["me"].decision_stage == 1
        clock.set(T0 + 80 * MIN)
        await again.tick()
    assert len(await everything(log, ALERTS)) > rang


async def test_a_start_folds_from_the_last_snapshot_and_not_from_the_beginning(log: SqliteLog) -> None:
    clock = SetClock(T0)
    first = Forecaster(log, clock, app_maker(log))
    async with running(first):
        for n in range(EVERY + 20):
            await append_events(log, JOURNAL, [reading(n, wave(n))])
        await caught_up([first])
    folded: list[int] = []
    again = Forecaster(log, clock, app_maker(log))
    quietly = again._quietly
    again._quietly = lambda record: (folded.append(record.offset), quietly(record))  # type: ignore[assignment,func-returns-value,method-assign]  # the test listens in
    async with running(again):
        await caught_up([again])
    assert folded
    assert folded[0] >= EVERY, "what is covered by the snapshot is not read again"
    assert again.people["me"].dump() == first.people["me"].dump()


async def test_snapshots_lie_in_the_persons_own_partition(log: SqliteLog) -> None:
    clock = SetClock(T0)
    role = Forecaster(log, clock, app_maker(log))
    people = [f"p{n}" for n in range(6)]
    async with running(role):
        for person in people:
            for n in range(EVERY):
                await append_events(log, JOURNAL, [reading(n, wave(n), person)])
        await caught_up([role])
    for person in people:
        snapshots = [decode(r.value).data for r in await everything(log, SNAPSHOTS, partition_of(person))]
        assert person in {data.person for data in snapshots if isinstance(data, SnapshotTaken)}


async def test_a_snapshot_of_another_version_is_left_alone(log: SqliteLog) -> None:
    clock = SetClock(T0)
    now = at_ms(T0)
    for person, offset in (("me", 5), (None, 5)):
        taken = SnapshotTaken(
            role="forecaster",
            person=person,
            log_id=log.log_id,
            offset=offset,
            version=f"not {VERSION}",
            state="nonsense",
        )
        event = make(taken, id=f"s{person}", source="test", subject=person or "x", time=now, recordedtime=now)
        await log.append(SNAPSHOTS, "k", [event.model_dump_json(exclude_none=True).encode()], partition=P)
    role = Forecaster(log, clock, app_maker(log))
    async with running(role):
        await play(log, clock, [role], 0, 6)
    assert len(await everything(log, FORECASTS)) == 6


async def test_garbage_in_the_journal_becomes_one_dead_letter_a_role_and_stays_skipped(log: SqliteLog) -> None:
    clock = SetClock(T0)

    def roles() -> list[Role]:
        return [Forecaster(log, clock, app_maker(log)), Alerter(log, clock, app_maker(log))]

    begun = roles()
    async with running(*begun):
        await play(log, clock, begun, 0, 5)
        await log.append(JOURNAL, "me", [b"\x00 no event"])
        await play(log, clock, begun, 5, 5)
    letters = [r for n in range(12) for r in await everything(log, DEAD_LETTERS, n)]
    assert sorted(decode(r.value).data.role for r in letters) == ["alerter", "forecaster"]  # type: ignore[attr-defined]  # this topic holds one type of event
    assert len(await everything(log, FORECASTS)) == 10
    for group in ("forecaster", "alerter"):
        await forget_offsets(log, group)
    again = roles()
    async with running(*again):
        await caught_up(again)
        assert all(role.progress.restarts == 0 for role in again), "a silent fold must leave out what was given up"
        await play(log, clock, again, 10, 2)
    assert len(await everything(log, FORECASTS)) == 12
    assert len([r for n in range(12) for r in await everything(log, DEAD_LETTERS, n)]) == 2


async def test_garbage_among_the_alerts_silences_nobody(log: SqliteLog) -> None:
    """Alerter and notifier read them too; before a start and while they run."""
    clock = SetClock(T0)
    await log.append(ALERTS, "me", [b"{no event"])
    alerter = Alerter(log, clock, app_maker(log))
    async with running(alerter):
        await append_events(log, JOURNAL, [reading(0, 60)])
        await caught_up([alerter])
        await log.append(ALERTS, "me", [b"{no event either"])
        await append_events(log, JOURNAL, [reading(1, 50)])
        await caught_up([alerter])
        assert alerter.progress.restarts == 0
    again = AlarmNotifier(log, clock, app_maker(log), Channels())
    async with running(again):
        assert {episode.kind for box in again.outboxes.values() for episode in box.episodes.open.values()} == {
            "urgent_low"
        }
    assert again.progress.restarts == 0
    letters = [decode(r.value).data for n in range(12) for r in await everything(log, DEAD_LETTERS, n)]
    assert Counter(letter.role for letter in letters) == {"alerter": 2, "notifier": 2}  # type: ignore[attr-defined]  # this topic holds one type of event


async def test_a_person_whose_record_was_given_up_is_looked_at_by_ticks_again(
    log: SqliteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug in a decision costs that record after three stops, never the alarms that time alone calls for."""
    clock = SetClock(T0)
    alerter = Alerter(log, clock, app_maker(log))
    async with running(alerter):
        await append_events(log, JOURNAL, [reading(0, 75)])
        await caught_up([alerter])
        right = alerter._decide

        async def fails(*given: Any, **more: Any) -> None:
            if given[2][2] == 0:
                raise RuntimeError("a bug")
            await right(*given, **more)

        monkeypatch.setattr(alerter, "_decide", fails)
        await append_events(log, JOURNAL, [reading(1, 74)])
        await until(lambda: alerter.progress.dead_letters == 1, 20)
        await caught_up([alerter])
        for minutes in (30, 45):
            clock.set(T0 + minutes * MIN)
            await alerter.tick()
    told = [decode(r.value).data.events[0].kind for r in await everything(log, ALERTS)]  # type: ignore[attr-defined]  # this topic holds one type of event
    assert told[:1] == ["stale"]


async def test_a_role_that_folds_what_only_a_newer_release_knows_says_so_and_still_stops(log: SqliteLog) -> None:
    await log.append(JOURNAL, "me", [b'{"type":"iv3.potion.v1","id":"x"}'])
    await log.submit(Statements([("INSERT INTO commits VALUES ('forecaster', ?, ?, 1)", (JOURNAL, P))]))
    role = Forecaster(log, SetClock(T0), app_maker(log))
    stopping = asyncio.Event()
    task = asyncio.ensure_future(Supervision(role).run(stopping))
    await until(lambda: "upgrade this worker" in role.progress.paused)
    assert role.state == "folding"
    stopping.set()
    async with asyncio.timeout(60):
        await task


async def test_a_token_is_a_fact_of_nobody_and_nobody_is_told_of_troubles(log: SqliteLog) -> None:
    clock = SetClock(T0)
    alerter = Alerter(log, clock, app_maker(log), troubles=lambda: ["the disk is nearly full"])
    async with running(alerter):
        _, event = issue("owner", "a test", T0)
        await append_events(log, JOURNAL, [event])
        await append_events(log, JOURNAL, [reading(0, 120)])
        await caught_up([alerter])
        await alerter.tick()
    told = [decode(r.value) for n in range(12) for r in await everything(log, ALERTS, n)]
    assert [(event.subject, event.data.events[0].kind) for event in told] == [("me", "system")]  # type: ignore[attr-defined]  # this topic holds one type of event


async def test_one_persons_trouble_at_a_tick_holds_up_nobody_elses_alarm(
    log: SqliteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two of one partition: the first's tick fails in a way that nobody foresaw, and the second's readings stop."""
    clock = SetClock(T0)
    alerter = Alerter(log, clock, app_maker(log))
    people = [name for n in range(200) if partition_of(name := f"p{n:03}") == partition_of("p000")][:2]
    async with running(alerter):
        for person in people:
            await append_events(log, JOURNAL, [reading(0, 120, person)])
        await caught_up([alerter])
        right = alerter._decide

        async def wrong(state: Any, *more: Any) -> None:
            if state.person == people[0]:
                raise ZeroDivisionError
            await right(state, *more)

        monkeypatch.setattr(alerter, "_decide", wrong)
        for _ in range(25):
            clock.advance(60)
            await alerter.tick()
        told = [
            (event.subject, change.kind)
            for partition in range(log.partitions[ALERTS])
            for event in (decode(record.value) for record in await log.read(ALERTS, partition, 0))
            for change in event.data.events  # type: ignore[attr-defined]  # this topic holds one type of event
        ]
        assert (people[1], "stale") in told
        assert ("_system", "system") in told, "and whoever runs the house is told"
        assert people[0] not in " ".join(alerter.met), "without a name: another's phone may read it"
        assert alerter.evaluated_ms == clock.now_ms()
        assert not any(subject == people[0] for subject, _ in told)
