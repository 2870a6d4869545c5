"""The pulse: through when alarms were decided, partition by partition, as the alerters' heartbeats say, whichever process wrote them."""

import asyncio
import logging
from contextlib import suppress

from schemas.bookkeeping import PartitionEvaluated
from schemas.envelope import Garbage, NewerVersion, decode
from schemas.model import ms
from streams.errors import Transient
from streams.ports import Log, Record
from streams.topics import HEARTBEATS

logger = logging.getLogger("iv3.pulse")

LOOK_S = 5.0
_LOOK_BACK = 3  # heartbeats; the newest is what counts


class Pulse:
    """Reads the heartbeats; asks nobody and writes nothing."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._next: dict[int, int] = {}
        self.through_ms: dict[int, int] = {}

    async def look(self) -> None:
        """Read what is new. Raises LogUnavailable."""
        heads = await self._log.latest([HEARTBEATS])
        for (_, partition), head in heads.items():
            start = self._next.get(partition, max(0, head - _LOOK_BACK))
            if start < head:
                self._next[partition] = await self._log.fold(HEARTBEATS, partition, start, head, self._take)

    def _take(self, record: Record) -> None:
        with suppress(Garbage, NewerVersion):
            data = decode(record.value).data
            if isinstance(data, PartitionEvaluated):
                self.through_ms[data.partition] = max(ms(data.through), self.through_ms.get(data.partition, 0))

    def evaluated_ms(self) -> int:
        """The moment through which every partition was evaluated; 0 while one never was."""
        partitions = self._log.partitions[HEARTBEATS]
        return min((self.through_ms.get(partition, 0) for partition in range(partitions)), default=0)

    async def follow(self, stopping: asyncio.Event) -> None:
        """Look again and again until `stopping`."""
        while not stopping.is_set():
            try:
                await self.look()
            except Transient as error:
                logger.info("the heartbeats cannot be read now: %s", error)
            with suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), LOOK_S)
