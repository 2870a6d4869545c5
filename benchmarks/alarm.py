"""From the append of a low reading to the POST at a local ntfy stand-in: the whole way through log, alerter and
notifier.
"""

import asyncio
import tempfile
import time
from functools import partial
from pathlib import Path

from benchmarks.figures import Figure, ms
from iv3.operations.measuring import quantile
from schemas.envelope import encode, make
from schemas.facts import GlucoseRead
from schemas.model import at_ms
from streams.adapters.logs.sqlite.log import SqliteLog
from streams.adapters.notifiers.ntfy import Ntfy
from streams.adapters.transport.sqlite import Transport
from streams.clock import SystemClock
from streams.delivery.channels import Channels
from streams.ports.log import Log
from streams.roles.alerter import Alerter
from streams.roles.notifier import AlarmNotifier
from streams.runtime.app import make_app
from streams.runtime.supervision import Supervision
from streams.topics import JOURNAL
from tests.standins.ntfy import NtfyStandIn

LOWS = 150


def run() -> list[Figure]:
    took = asyncio.run(_run())
    p50, p99 = quantile(took, 0.5), quantile(took, 0.99)
    return [
        Figure("append of a low → POST at ntfy, p50", f"{ms(p50)} (n = {len(took)})", "< 25 ms", p50 < 0.025),
        Figure("append of a low → POST at ntfy, p99", ms(p99), "< 100 ms", p99 < 0.100),
    ]


async def _run() -> list[float]:
    with tempfile.TemporaryDirectory() as folder:
        log = SqliteLog(Path(folder) / "log.db")
        clock = SystemClock()
        async with NtfyStandIn(burst=100_000) as phone:
            target = Ntfy(server=phone.url, topic="bench", clock=clock)

            def app(group: str) -> object:
                return make_app(group, partial(Transport, log), data_folder=folder)

            roles = [Alerter(log, clock, app), AlarmNotifier(log, clock, app, Channels([target]))]
            stopping = asyncio.Event()
            tasks = [asyncio.ensure_future(Supervision(role).run(stopping)) for role in roles]
            while any(role.state != "running" for role in roles):
                await asyncio.sleep(0.02)
            await asyncio.sleep(0.5)
            took = [await _one(log, phone, f"person{n}") for n in range(LOWS)]
            stopping.set()
            await asyncio.gather(*tasks)
            await target.close()
        await log.close()
    return took


async def _one(log: Log, phone: NtfyStandIn, person: str) -> float:
    before = len(phone.received)
    moment = at_ms(int(time.time() * 1000))
    event = make(
        GlucoseRead(glucose_mgdl=62.0, trend="Flat"),
        id=f"low-{person}",
        source="bench",
        subject=person,
        time=moment,
        recordedtime=moment,
    )
    began = asyncio.get_running_loop().time()
    await log.append(JOURNAL, person, [encode(event)])
    while len(phone.received) == before:
        await asyncio.sleep(0.0005)
    arrived = phone.received[before].loop_s
    await asyncio.sleep(0.03)
    return arrived - began
