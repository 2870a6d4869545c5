"""The roles on real Faust Apps: what must hold when offsets are lost, state is redelivered, records are poisoned and
processes come and go.
"""

import asyncio
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from processors.alerting.person_state import PersonState
from processors.predictors.forecasting import VERSION
from schemas.bookkeeping import SnapshotTaken
from schemas.envelope import Event, decode, make
from schemas.facts import GlucoseRead, SourceStateChanged
from schemas.forecasts import ForecastMade
from schemas.model import Partition, at_ms
from streams.adapters.logs.sqlite.log import SqliteLog
from streams.adapters.logs.sqlite.writer import Run
from streams.clock import SetClock, SystemClock
from streams.commands.tokens import issue
from streams.delivery.channels import Channels
from streams.ports.log import Record, append_events
from streams.roles.alerter import Alerter
from streams.roles.forecaster import Forecaster
from streams.roles.notifier import AlarmNotifier
from streams.runtime.assignment import Assignment
from streams.runtime.life import Progress
from streams.runtime.process import Process
from streams.runtime.role import Role
from streams.runtime.snapshots import EVERY
from streams.runtime.supervision import Supervision
from streams.topics import ALERTS, DEAD_LETTERS, FORECASTS, HEARTBEATS, JOURNAL, SNAPSHOTS, partition_of
from tests.support.running import app_maker, caught_up, running, until

T0 = 1_795_500_000_000
MIN = 60_000
P = partition_of("me")


def reading(n: int, glucose: float, person: str = "me") -> Event:
    at = at_ms(T0 + n * 5 * MIN)
    return make(
        GlucoseRead(glucose_mgdl=glucose, trend="Flat"),
        id=f"{person}-r{n}",
        source="test",
        subject=person,
        time=at,
        recordedtime=at,
    )


def wave(n: int) -> float:
    """Glucose that goes through lows and out of them again."""
    return float((120, 100, 84, 66, 54, 52, 66, 82, 95, 110)[n % 10])


async def everything(log: SqliteLog, topic: str, partition: int = P) -> list[Record]:
    return await log.read(topic, partition, 0, None, 100_000)


async def forget_offsets(log: SqliteLog, group: str) -> None:
    await log.submit(Run([("DELETE FROM commits WHERE grp=?", (group,))]))


async def play(log: SqliteLog, clock: SetClock, roles: list[Any], first: int, count: int) -> None:
    """Readings as they come, one every five minutes of the clock."""
    for n in range(first, first + count):
        clock.set(T0 + n * 5 * MIN + 10_000)
        await append_events(log, JOURNAL, [reading(n, wave(n))])
        await caught_up(roles)


# -- offsets lost, everything redelivered ----------------------------------------------------------


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
    await log.submit(Run([("DELETE FROM log WHERE topic=(SELECT id FROM topics WHERE name=?)", (SNAPSHOTS,))]))
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
            await alerter._tick()
        rang = len(await everything(log, ALERTS))
        for minutes, more in ((5, 1), (6, 1), (21, 2)):
            clock.set(T0 + minutes * MIN)
            await alerter._tick()
            assert len(await everything(log, ALERTS)) == rang + more


async def test_after_a_restart_time_alone_still_calls_for_alarms_and_the_last_forecast_is_known(log: SqliteLog) -> None:
    clock = SetClock(T0)
    first: list[Any] = [Forecaster(log, clock, app_maker(log)), Alerter(log, clock, app_maker(log))]
    async with running(*first):
        await play(log, clock, first, 0, 4)
        clock.set(T0 + 35 * MIN)
        await first[1]._tick()
    rang = len(await everything(log, ALERTS))
    await log.submit(Run([("DELETE FROM log WHERE topic=(SELECT id FROM topics WHERE name=?)", (SNAPSHOTS,))]))
    clock.set(T0 + 40 * MIN)
    again = Alerter(log, clock, app_maker(log))
    async with running(again):
        await caught_up([again])
        assert again.people["me"].foreseen == 1
        clock.set(T0 + 80 * MIN)
        await again._tick()
    assert len(await everything(log, ALERTS)) > rang


# -- snapshots -------------------------------------------------------------------------------------


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


# -- poison ----------------------------------------------------------------------------------------


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
            await alerter._tick()
    told = [decode(r.value).data.events[0].kind for r in await everything(log, ALERTS)]  # type: ignore[attr-defined]  # this topic holds one type of event
    assert told[:1] == ["stale"]


async def test_a_role_that_folds_what_only_a_newer_release_knows_says_so_and_still_stops(log: SqliteLog) -> None:
    await log.append(JOURNAL, "me", [b'{"type":"iv3.potion.v1","id":"x"}'])
    await log.submit(Run([("INSERT INTO commits VALUES ('forecaster', ?, ?, 1)", (JOURNAL, P))]))
    role = Forecaster(log, SetClock(T0), app_maker(log))
    stopping = asyncio.Event()
    task = asyncio.ensure_future(Supervision(role).run(stopping))
    await until(lambda: "upgrade this worker" in role.progress.paused)
    assert role.state == "folding"
    stopping.set()
    async with asyncio.timeout(5):
        await task


async def test_a_token_is_a_fact_of_nobody_and_nobody_is_told_of_troubles(log: SqliteLog) -> None:
    clock = SetClock(T0)
    alerter = Alerter(log, clock, app_maker(log), troubles=lambda: ["the disk is nearly full"])
    async with running(alerter):
        _, event = issue("owner", "a test", T0)
        await append_events(log, JOURNAL, [event])
        await append_events(log, JOURNAL, [reading(0, 120)])
        await caught_up([alerter])
        await alerter._tick()
    told = [decode(r.value) for n in range(12) for r in await everything(log, ALERTS, n)]
    assert [(event.subject, event.data.events[0].kind) for event in told] == [("me", "system")]  # type: ignore[attr-defined]  # this topic holds one type of event


# -- assignment ------------------------------------------------------------------------------------


class Folder(Role):
    """Takes its time to fold."""

    name = "folder"
    topics = (JOURNAL,)
    folding: ClassVar[float] = 0.4

    def __init__(self, log: SqliteLog, make_app: Any) -> None:
        super().__init__(log, SystemClock(), make_app)
        self.folded = False
        self.fails = 0
        self.early: list[int] = []
        self.seen: list[int] = []

    async def fold(self, committed: Mapping[Partition, int]) -> Mapping[Partition, int]:
        del committed
        await asyncio.sleep(self.folding)
        if self.fails:
            self.fails -= 1
            raise RuntimeError("the fold failed")
        self.folded = True
        return {}

    async def handle(self, record: Record) -> None:
        (self.seen if self.folded else self.early).append(record.offset)


async def test_nothing_is_delivered_before_the_fold_is_over_and_a_fold_that_fails_starts_again(log: SqliteLog) -> None:
    await log.append(JOURNAL, "me", [b"{}"] * 50)
    role = Folder(log, app_maker(log))
    role.fails = 1
    async with running(role):
        await caught_up([role])
    assert (role.early, role.seen) == ([], list(range(50)))
    assert role.progress.restarts == 1


async def test_a_role_that_falls_is_back_and_the_others_never_noticed(log: SqliteLog) -> None:
    clock = SetClock(T0)
    sound, broken = Forecaster(log, clock, app_maker(log)), Folder(log, app_maker(log))
    async with running(sound, broken):
        await play(log, clock, [sound, broken], 0, 3)
        app = sound.life.app
        await broken.life.app.crash(RuntimeError("from inside"))
        await until(lambda: broken.progress.restarts == 1 and broken.state == "running")
        await play(log, clock, [sound, broken], 3, 3)
        assert (sound.progress.restarts, sound.life.app is app) == (0, True)
    assert len(await everything(log, FORECASTS)) == 6


async def test_a_second_worker_stands_by_and_takes_over_when_the_first_goes(log: SqliteLog, tmp_path: Path) -> None:
    other = SqliteLog(log.path)
    first, second = Folder(log, app_maker(log)), Folder(other, app_maker(other))
    stopping = asyncio.Event()
    async with running(first):
        standby = asyncio.ensure_future(Supervision(second).run(stopping))
        await log.append(JOURNAL, "me", [b"{}"] * 10)
        await caught_up([first])
        await until(lambda: second.life is not None and second.life.app.link.standby)
        assert (first.seen, second.seen) == (list(range(10)), [])
    await log.append(JOURNAL, "me", [b"{}"] * 5)
    await until(lambda: second.seen == list(range(10, 15)))
    stopping.set()
    await standby
    await other.close()


async def test_a_full_buffer_takes_no_partition_away(log: SqliteLog) -> None:
    """Upstream would, and then sleep a whole second when all are gone."""
    role = Folder(log, app_maker(log))
    async with running(role):
        consumer = role.life.app.consumer
        before = set(consumer._active_partitions or consumer.assignment())
        for tp in before:
            consumer.on_buffer_full(tp)
        assert set(consumer._active_partitions or consumer.assignment()) == before


# -- heartbeats, lateness --------------------------------------------------------------------------


async def test_every_partition_says_through_when_it_was_evaluated(log: SqliteLog) -> None:
    clock = SetClock(T0)
    alerter = Alerter(log, clock, app_maker(log))
    async with running(alerter):
        await alerter._tick()
        for partition in range(12):
            (beat,) = await everything(log, HEARTBEATS, partition)
            assert decode(beat.value).time_ms == T0
        await alerter._tick()
        assert len(await everything(log, HEARTBEATS, 0)) == 1, "one a minute is enough"


async def test_alarms_that_run_late_are_told_and_no_heartbeat_claims_otherwise(
    log: SqliteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.roles.alerter._CATCH_UP_S", 0.05)
    monkeypatch.setattr("streams.roles.alerter.BEHIND_S", 0.2)
    clock = SetClock(T0)
    alerter = Alerter(log, clock, app_maker(log))
    async with running(alerter):
        at = at_ms(T0)
        state = SourceStateChanged(state="ok")
        await append_events(log, JOURNAL, [make(state, id="s", source="t", subject="me", time=at, recordedtime=at)])
        await caught_up([alerter])
        monkeypatch.setattr(alerter, "reached", lambda *_: asyncio.sleep(0.05, False))
        for _ in range(8):
            await alerter._tick()
        told = [decode(r.value).data for r in await everything(log, ALERTS)]
        assert [e.kind for data in told for e in data.events] == ["system"]  # type: ignore[attr-defined]  # this topic holds one type of event
        assert "running late" in told[0].events[0].evidence.reason  # type: ignore[attr-defined]  # this topic holds one type of event
        assert await everything(log, HEARTBEATS, 0) == []


# -- the watchdog ----------------------------------------------------------------------------------


class Still:
    """A role as the watchdog sees it."""

    name = "still"

    def __init__(self, *, state: str = "running", paused: str = "", lag: int = 3, moved_at: float = 0.0) -> None:
        self.state, self._lag = state, lag
        self.progress = Progress(paused=paused, moved_at=moved_at)

    def lag(self) -> int:
        return self._lag


@pytest.mark.parametrize(
    ("role", "stuck"),
    [
        (Still(), True),
        (Still(lag=0), False),
        (Still(paused="newer"), False),
        (Still(state="folding"), False),
        (Still(moved_at=950.0), False),
    ],
    ids=["lags and does nothing", "nothing to do", "waits for an upgrade", "folds", "retried lately"],
)
def test_a_role_is_stuck_that_lags_and_has_tried_nothing_for_two_minutes(role: Any, stuck: bool) -> None:
    house = Process([], [])
    assert not house._is_stuck(role, 800.0)
    assert house._is_stuck(role, 1000.0) == stuck


def test_a_loop_that_hangs_ends_the_process(tmp_path: Path) -> None:
    code = textwrap.dedent("""
        import asyncio, time
        from streams.runtime import process as house
        house.LOOP_SILENT_S = 1.0
        async def hang(stopping):
            await asyncio.sleep(0.1)
            time.sleep(60)
        asyncio.run(house.Process([], [hang]).run())
    """)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 73
    assert "has not moved" in done.stderr


def test_a_part_that_ends_by_itself_ends_the_process() -> None:
    code = textwrap.dedent("""
        import asyncio
        from streams.runtime import process as house
        async def ends(stopping):
            await asyncio.sleep(0.1)
        asyncio.run(house.Process([], [ends]).run())
    """)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 72
