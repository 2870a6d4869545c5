"""The pulse: through when alarms were decided and delivered, partition by partition, as the heartbeats say, whichever
process wrote them.
"""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from functools import partial

from schemas.bookkeeping import DeadManArmed, PartitionDelivered, PartitionEvaluated, ProcessTroubled
from schemas.envelope import SYSTEM, Garbage, NewerVersion, decode
from schemas.model import ms
from streams.ports.log import AppendableLog, Log, Record
from streams.runtime.backoff import look_until
from streams.topics import HEARTBEATS, partition_of

logger = logging.getLogger("iv3.pulse")

LOOK_S = 5.0
_LOOK_BACK = 20  # heartbeats; the newest is what counts
COMPLAINT_LASTS_MS = 180_000  # said every minute while it is so; a process that is gone complains no more
_HOUSE_LOOK_BACK = 5_000  # a day and a half of them: among these is when the dead-man's switch was put off last


class Heartbeats:
    """Reads the heartbeats; asks nobody and writes nothing."""

    def __init__(self, log: AppendableLog) -> None:
        self._log = log
        self._next: dict[int, int] = {}
        self.through_ms: dict[int, int] = {}
        self.people: dict[int, tuple[int, int]] = {}  # partition -> (watched, silent), as of its newest heartbeat
        self._delivered: dict[int, tuple[int, str]] = {}
        self._complaints: dict[str, tuple[int, tuple[str, ...]]] = {}  # process -> when it complained last, of what
        self.switches: dict[str, bytes] = {}  # id under which it was put off -> the record that says so
        self.fires_ms = 0  # when the dead-man's switch goes off unless it is put off again; 0: it was never set

    async def refresh(self) -> None:
        """Read what is new. Raises LogUnavailable."""
        heads = await self._log.latest([HEARTBEATS])
        house = partition_of(SYSTEM, self._log.partitions[HEARTBEATS])
        for (_, partition), head in heads.items():
            back = _HOUSE_LOOK_BACK if partition == house else _LOOK_BACK
            start = self._next.get(partition, max(0, head - back))
            if start < head:
                self._next[partition] = await self._log.fold(HEARTBEATS, partition, start, head, self._take)

    def _take(self, record: Record) -> None:
        with suppress(Garbage, NewerVersion):
            event = decode(record.value)
            data = event.data
            if isinstance(data, ProcessTroubled):
                self._complaints[data.process] = (event.time_ms, data.troubles)
            elif isinstance(data, PartitionEvaluated):
                if ms(data.through) >= self.through_ms.get(data.partition, 0):
                    self.people[data.partition] = (data.watched, data.silent)
                    self.through_ms[data.partition] = ms(data.through)
            elif isinstance(data, PartitionDelivered):
                self._delivered[data.partition] = (ms(data.through), data.trouble)
            elif isinstance(data, DeadManArmed):
                self.fires_ms = max(self.fires_ms, ms(data.fires))
                self.switches[data.sequence_id] = record.value or b""

    def counted(self) -> tuple[int, int]:
        """(people watched, those of them whose readings have stopped coming) in all partitions."""
        return sum(watched for watched, _ in self.people.values()), sum(silent for _, silent in self.people.values())

    def evaluated_ms(self) -> int:
        """The moment through which every partition was evaluated; 0 while one never was."""
        return self._in_all(self.through_ms)

    def delivered_ms(self) -> int:
        """The moment through which everything that was due has been sent; 0 while a partition's notifier never said."""
        return self._in_all({partition: through_ms for partition, (through_ms, _) in self._delivered.items()})

    def _in_all(self, through_ms: Mapping[int, int]) -> int:
        return min((through_ms.get(number, 0) for number in range(self._log.partitions[HEARTBEATS])), default=0)

    def trouble(self) -> str:
        """Why something that is due cannot be sent, or an empty string."""
        return next((trouble for _, trouble in self._delivered.values() if trouble), "")

    def self_reports(self, now_ms: int, lasts_ms: float = COMPLAINT_LASTS_MS) -> list[str]:
        """What does not work in any process, each sentence once."""
        said = [said for at_ms, said in self._complaints.values() if now_ms - at_ms <= lasts_ms]
        return list(dict.fromkeys(sentence for sentences in said for sentence in sentences))

    async def follow(self, stopping: asyncio.Event) -> None:
        """Look again and again until `stopping`."""
        await look_until(stopping, self.refresh, LOOK_S, partial(logger.info, "the heartbeats cannot be read now: %s"))


async def carry_switch(source: Log, target: Log) -> None:
    """Let a copy of a log know under which ids the switch of the first was put off, so that whoever runs on the copy
    takes that back.
    """
    pulse = Heartbeats(source)
    await pulse.refresh()
    if pulse.switches:
        await target.append(HEARTBEATS, SYSTEM, list(pulse.switches.values()))
