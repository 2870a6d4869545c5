"""Partitions that come and go, heartbeats, lateness and the watchdog."""

import asyncio
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from schemas.envelope import decode, make
from schemas.facts import SourceStateChanged
from schemas.model import Partition, at_ms
from streams.adapters.logs.sqlite.log import SqliteLog
from streams.clock import SystemClock
from streams.ports.log import Record, append_events
from streams.roles.alerter import Alerter
from streams.roles.forecaster import Forecaster
from streams.runtime.app_lifetime import Progress
from streams.runtime.process import Process
from streams.runtime.role import Role
from streams.runtime.supervision import Supervision
from streams.topics import ALERTS, FORECASTS, HEARTBEATS, JOURNAL
from tests.support.clock import SetClock
from tests.support.running import app_maker, caught_up, running, until
from tests.support.waves import T0, everything, play


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


async def test_every_partition_says_through_when_it_was_evaluated(log: SqliteLog) -> None:
    clock = SetClock(T0)
    alerter = Alerter(log, clock, app_maker(log))
    async with running(alerter):
        await alerter.tick()
        for partition in range(12):
            (beat,) = await everything(log, HEARTBEATS, partition)
            assert decode(beat.value).time_ms == T0
        await alerter.tick()
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
            await alerter.tick()
        told = [decode(r.value).data for r in await everything(log, ALERTS)]
        assert [e.kind for data in told for e in data.events] == ["system"]  # type: ignore[attr-defined]  # this topic holds one type of event
        assert "running late" in told[0].events[0].evidence.reason  # type: ignore[attr-defined]  # this topic holds one type of event
        assert await everything(log, HEARTBEATS, 0) == []


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
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=False)
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
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 72
