"""So many appends at once; who still waits for room when the log is closed writes nothing."""

import asyncio

import pytest

from streams.adapters.logs.kafka.link import KafkaLink, brokers_of
from streams.adapters.logs.kafka.log import MOST_IN_FLIGHT, KafkaLog
from streams.errors import LogRefused
from streams.topics import JOURNAL


async def test_who_waited_for_room_while_the_log_was_closed_writes_nothing() -> None:
    log = KafkaLog(KafkaLink(brokers_of("kafka://127.0.0.1:9")))
    log.partitions = {JOURNAL: 12}
    for _ in range(MOST_IN_FLIGHT):
        await log._room.acquire()
    append = asyncio.ensure_future(log.append(JOURNAL, "me", [b"late"]))
    await asyncio.sleep(0)
    await log.close()
    log._room.release()
    with pytest.raises(LogRefused, match="the log is closed"):
        await append
    assert not log._room.locked(), "its place is free again"
