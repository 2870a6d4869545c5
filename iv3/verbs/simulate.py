"""`iv3 simulate`: the fake Dexcom Share server on its own."""

import asyncio
import signal
import sys
import time
from pathlib import Path

from iv3.demo import LOW_AFTER_MS, DemoPerson
from streams.errors import Misconfigured
from streams.simulation.faults import FAULTS, parse_faults


def simulate(*, port: int, csv: Path | None, subject: str | None, fault: str, speed: float) -> None:
    """Serve until a signal."""
    if fault == "help":
        for name, said in FAULTS.items():
            sys.stdout.write(f"{name:24} {said}\n")
        return
    try:
        faults = parse_faults(fault)
    except ValueError as error:
        raise Misconfigured(str(error)) from None
    now_ms = int(time.time() * 1000)
    if csv is not None:
        person = DemoPerson.recorded(csv, subject, now_ms - 86_400_000, now_ms, speed)
    else:
        person = DemoPerson.simulated(now_ms, now_ms, speed, [now_ms + LOW_AFTER_MS])
    person.server.set_faults(faults)
    asyncio.run(_serve(person, port))


async def _serve(person: DemoPerson, port: int) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    try:
        await person.server.start(port=port)
    except OSError as error:
        raise Misconfigured(f"Port {port} cannot be used: {error.strerror}.") from None
    sys.stdout.write(
        f"A fake Dexcom Share server. In config.yaml:\n  dexcom: {{account: demo, password: demo, url: {person.server.url}}}\n"
    )
    sys.stdout.flush()
    await stopping.wait()
    await person.server.stop()
