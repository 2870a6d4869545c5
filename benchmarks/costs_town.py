"""A town's fake Dexcom Share at a simulation's time: `python -m benchmarks.costs_town PEOPLE CLOCK`. Prints its address
and serves until it is killed.
"""

import asyncio
import sys

from streams.adapters.simulation.town import ShareTown
from streams.clock import SharedClock


async def _main(people: int, clock: str) -> None:
    origin, real, speed = clock.split("/")
    town = ShareTown(people, now_ms=SharedClock(int(origin), int(real), float(speed)).now_ms)
    print(await town.start(), flush=True)
    await asyncio.Event().wait()


asyncio.run(_main(int(sys.argv[1]), sys.argv[2]))
