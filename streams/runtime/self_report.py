"""A process says in the log what of it does not work, so that whoever decides for the house can tell of it, in
whichever process that is.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial

from schemas.bookkeeping import ProcessTroubled
from schemas.envelope import SYSTEM, Author
from schemas.identity import derived_id
from streams.ports.clock import Clock
from streams.ports.log import Log, append_events
from streams.runtime.backoff import look_until
from streams.topics import HEARTBEATS

logger = logging.getLogger("iv3.complaining")

AGAIN_S = 60.0  # of the clock, while it lasts
_LOOK_S = 5.0
_SHORTEST_LOOK_S = 0.5  # real seconds, however fast the clock
_MOST, _LONGEST = 20, 300
_AUTHOR = Author("iv3")


class SelfReport:
    """Looks at the troubles of this process and writes them to the house's partition of the heartbeats: at once when
    they change, else every minute.
    """

    def __init__(self, log: Log, clock: Clock, process: str, troubles: Callable[[], Sequence[str]]) -> None:
        self._log, self._clock, self._process, self._troubles = log, clock, process, troubles
        self._said: tuple[str, ...] = ()
        self._said_ms = 0

    async def follow(self, stopping: asyncio.Event) -> None:
        """Look again and again until `stopping`."""
        pause_s = max(_SHORTEST_LOOK_S, _LOOK_S / self._clock.speed)
        failed = partial(logger.info, "what does not work cannot be written to the log now: %s")
        await look_until(stopping, self.refresh, pause_s, failed)

    async def refresh(self) -> None:
        """Say what has changed, or lasts. Raises as `Log.append`."""
        now_ms = self._clock.now_ms()
        found = tuple(sentence[:_LONGEST] for sentence in dict.fromkeys(self._troubles()))[:_MOST]
        if found == self._said and not (found and now_ms - self._said_ms >= AGAIN_S * 1000):
            return
        troubled = ProcessTroubled(process=self._process, troubles=found)
        event = _AUTHOR.say(troubled, derived_id("troubled", self._process, now_ms), SYSTEM, now_ms)
        await append_events(self._log, HEARTBEATS, [event])
        self._said, self._said_ms = found, now_ms
