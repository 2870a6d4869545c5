"""The poller against a Dexcom Share that fails in every way it was seen to fail: no reading is lost, none is appended
twice, no account is locked.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
from pydantic import SecretStr

from processors.simulated_person import simulate
from schemas.envelope import Event, decode
from schemas.facts import GlucoseRead, SourceStateChanged
from streams.adapters.logs.sqlite.log import SqliteLog
from streams.adapters.simulation.faults import FAULTS
from streams.adapters.simulation.share_server import ShareServer
from streams.adapters.sources.dexcom import DexcomShare
from streams.clock import ScaledClock
from streams.errors import DiskReserve
from streams.roles.poller import Poller
from streams.roster import Roster, Watched
from streams.topics import JOURNAL, partition_of
from tests.support.running import app_maker, running, until

T0 = 1_795_500_000_000
MIN = 60_000
HOUR = 60 * MIN
DAY = 24 * HOUR
SPEED = 2000
PERSON = simulate(11, T0 - 2 * DAY, T0 + 4 * DAY)
# What a fault itself changes of values or times is no loss of ours; with these the journal must hold what the server
# *gave*.
ALTERED = {"jitter", "1-minute", "low-high-codes", "int-trends"}
SILENT = {"wrong-password", "lock-out", "zero-uuid", "no-session-holds", "empty-list", "empty-body", "html-403", "429"}


class TimedCalls(Counter[str]):
    """What the fake Share was asked, and when it was sent a password."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        super().__init__()
        self._now_ms = now_ms
        self.log_ins_ms: list[int] = []

    def __setitem__(self, name: str, count: int) -> None:
        if name != "read":
            self.log_ins_ms.append(self._now_ms())
        super().__setitem__(name, count)


@dataclass
class Place:
    """One fake Share, one journal, one clock; pollers come and go."""

    folder: Path
    log: SqliteLog
    clock: ScaledClock
    server: ShareServer
    calls: "TimedCalls"

    @asynccontextmanager
    async def polling(self, password: str = "demo", timeout_s: float = 30.0) -> AsyncIterator[Poller]:
        """A poller; a source that is slow only because the machine is busy is not unreachable."""
        source = DexcomShare(
            username="demo",
            password=SecretStr(password),
            region="ous",
            session_file=self.folder / "session.json",
            base_url=self.server.url,
            timeout_s=timeout_s,
            now_ms=self.clock.now_ms,
        )
        poller = Poller(self.log, self.clock, app_maker(self.log), Roster({"me": Watched(source)}))
        try:
            async with running(poller):
                yield poller
        finally:
            await source.close()

    async def wait(self, minutes: float) -> None:
        """Virtual minutes."""
        await asyncio.sleep(minutes * 60 / self.clock.speed)

    async def journal(self) -> list[Event]:
        return [decode(r.value) for r in await self.log.read(JOURNAL, partition_of("me"), 0, None, 100_000)]

    async def times(self) -> list[int]:
        return [e.time_ms for e in await self.journal() if isinstance(e.data, GlucoseRead)]

    async def states(self) -> list[SourceStateChanged]:
        return [e.data for e in await self.journal() if isinstance(e.data, SourceStateChanged)]

    async def says(self, state: str) -> None:
        """Wait until the journal says that the source is in this state."""
        async with asyncio.timeout(60):
            while state not in {said.state for said in await self.states()}:
                await asyncio.sleep(0.02)

    async def refusals(self) -> list[tuple[int, int]]:
        """Each refused log-in once, as it was first said: its time and until when none may be tried, in ms."""
        first: dict[int, tuple[int, int]] = {}
        for event in await self.journal():
            match event.data:
                case SourceStateChanged(state="refused", refusals=count, no_login_before=at) if at is not None:
                    first.setdefault(count, (event.time_ms, int(at.timestamp() * 1000)))
        return [first[count] for count in sorted(first)]

    async def left_alone_while_it_must_be(self) -> list[tuple[int, int]]:
        """No password was sent between a refusal and the time until which it said to wait; the refusals."""
        refused = await self.refusals()
        assert refused
        waits = [until_ms - at_ms for at_ms, until_ms in refused]
        assert all(b > 0.9 * a for a, b in pairwise(waits)), "ever less often, until it is as seldom as it gets"
        early = [at for at in self.calls.log_ins_ms for begun, ended in refused if begun < at < ended]
        assert not early, "a start in between tries no earlier"
        return refused

    async def complete_since(self, since_ms: int) -> None:
        """Everything that the server had until a little ago is in the journal."""
        until_ms = self.clock.now_ms() - 2 * MIN
        want = {row[0] for row in self.server.readings(since_ms, until_ms)}
        missing = set(want)
        try:
            async with asyncio.timeout(60):
                while missing:
                    missing = want - set(await self.times())
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"{len(missing)} of {len(want)} readings never came") from None


@pytest.fixture
def speed() -> float:
    return SPEED


@pytest.fixture
async def place(tmp_path: Path, speed: float) -> AsyncIterator[Place]:
    log = SqliteLog(tmp_path / "log.db")
    clock = ScaledClock(T0, speed)
    server = ShareServer(PERSON, now_ms=clock.now_ms, slow_s=3.0)
    server.calls = calls = TimedCalls(clock.now_ms)
    await server.start()
    yield Place(tmp_path, log, clock, server, calls)
    await server.stop()
    await log.close()


@pytest.mark.parametrize("fault", sorted(FAULTS))
async def test_whatever_dexcom_does_for_a_while_no_reading_is_lost_or_doubled(place: Place, fault: str) -> None:
    async with place.polling(timeout_s=2.0) as poller:
        await until(lambda: poller.account("me", "dexcom-share").newest_ms is not None)
        begun = place.clock.now_ms()
        refusing = fault in ("wrong-password", "lock-out", "zero-uuid")
        place.server.set_faults([fault, *(["expired-session"] if refusing else [])])
        await place.wait(65 if fault == "gap-then-backfill" else 20)
        if refusing:
            await place.says("refused")
            assert place.server.log_ins <= 2 + 2 * 3, "an account must never be locked by trying"
        elif fault in SILENT - {"empty-list"}:
            await place.says("unreachable")
        place.server.set_faults([])
        if fault not in ALTERED:
            await place.complete_since(begun - 20 * HOUR)
        times = Counter(e.id for e in await place.journal())
        assert max(times.values()) == 1, "something is in the journal twice"
        values = [e.data.glucose_mgdl for e in await place.journal() if isinstance(e.data, GlucoseRead)]
        assert min(values) >= 39, "a sensor code became glucose"


@pytest.mark.long
async def test_a_day_without_dexcom_is_filled_up_when_it_is_back(place: Place) -> None:
    async with place.polling() as poller:
        await until(lambda: poller.account("me", "dexcom-share").newest_ms is not None)
        begun = place.clock.now_ms()
        place.server.set_faults(["html-403"])
        await place.wait(23 * 60)
        place.server.set_faults([])
        await place.complete_since(begun)
        assert max(Counter(await place.times()).values()) == 1


async def test_a_wrong_password_is_tried_ever_less_often_and_a_restart_does_not_begin_again(place: Place) -> None:
    """Dexcom locks an account after a few wrong tries, and with it the followers of the person's own app."""
    for _ in range(6):
        async with place.polling("wrong") as poller:
            await until(lambda: poller.account("me", "dexcom-share").state is not None, within_s=60)
            await place.wait(5)
    await place.left_alone_while_it_must_be()


@pytest.mark.long
async def test_a_wrong_password_for_a_day_costs_few_tries(place: Place) -> None:
    async with place.polling("wrong") as poller:
        await place.wait(24 * 60)
        await until(lambda: (state := poller.account("me", "dexcom-share").state) is not None and state.refusals >= 3)
    refused = await place.left_alone_while_it_must_be()
    assert refused[-1][1] - refused[-1][0] >= 3 * HOUR, "the longer it is refused, the longer it is left alone"


@pytest.mark.parametrize("speed", [1])
async def test_a_corrected_password_is_tried_at_once(place: Place) -> None:
    """In real time: were the refused password's ten minutes waited out, the log-in would not come before the limit
    below.
    """
    async with place.polling("wrong") as poller:
        await until(lambda: poller.account("me", "dexcom-share").state is not None, within_s=60)
    async with place.polling() as poller:
        await until(
            lambda: (
                poller.account("me", "dexcom-share").state is not None
                and poller.account("me", "dexcom-share").state.state == "ok"
            ),
            within_s=60,
        )
    assert (await place.states())[-1].refusals == 0


async def test_after_a_restart_a_refused_log_in_is_said_again_though_none_may_be_tried(place: Place) -> None:
    """Nothing is called stale before the first answer since the start; so there must be one."""
    for said in range(2):
        async with place.polling("wrong"), asyncio.timeout(60):
            while len(await place.states()) == said:
                await asyncio.sleep(0.01)
    assert [state.state for state in await place.states()] == ["refused", "refused"]


async def test_what_a_phone_kept_for_hours_and_sends_after_the_newest_is_asked_for(place: Place) -> None:
    """It comes back with what is new, and minutes later with the hours it was away."""
    late: list[tuple[int, float]] = []
    whole = place.server._readings
    away = (T0 - 4 * HOUR, T0 + 30 * MIN)
    place.server._readings = [row for row in whole if not away[0] < row[0] < away[1]]
    late = [row for row in whole if away[0] < row[0] < away[1]]
    async with place.polling() as poller:
        await until(lambda: (poller.account("me", "dexcom-share").newest_ms or 0) > away[1])
        await place.wait(4)
        place.server._readings = sorted({*place.server._readings, *late})
        async with asyncio.timeout(60):
            while not {row[0] for row in late} <= set(await place.times()):
                await asyncio.sleep(0.02)


async def test_while_the_log_takes_nothing_dexcom_is_not_asked_more_often(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with place.polling() as poller:
        await until(lambda: poller.account("me", "dexcom-share").newest_ms is not None)
        begun = place.clock.now_ms()
        took = place.log.append

        async def refuse(*_: object, **__: object) -> None:
            raise DiskReserve("the disk is full")

        monkeypatch.setattr(place.log, "append", refuse)
        before = place.server.calls["read"]
        await place.wait(60)
        asked = place.server.calls["read"] - before
        monkeypatch.setattr(place.log, "append", took)
        assert asked <= 30, f"asked {asked} times in an hour"
        await place.complete_since(begun)


async def test_how_dexcom_answers_is_said_at_once_even_if_it_wants_to_be_left_alone(place: Place) -> None:
    place.server.set_faults(["429"])
    async with place.polling():
        async with asyncio.timeout(60):
            while not await place.states():
                await asyncio.sleep(0.01)
        assert (await place.states())[0].state == "unreachable"
