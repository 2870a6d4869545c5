"""So many at once, and no place is ever lost, whoever gives up waiting when."""

import asyncio
import random

import pytest

from streams.adapters.logs.kafka.in_flight import Room
from streams.adapters.logs.kafka.link import KafkaLink, brokers_of
from streams.adapters.logs.kafka.log import MOST_IN_FLIGHT, KafkaLog
from streams.errors import LogRefused
from streams.topics import JOURNAL


async def test_never_more_than_it_holds_and_whoever_came_first_goes_first() -> None:
    room, inside, most, order = Room(3), 0, 0, list[int]()

    async def one(number: int) -> None:
        nonlocal inside, most
        if not room.take():
            await room.wait()
        order.append(number)
        inside += 1
        most = max(most, inside)
        await asyncio.sleep(0)
        inside -= 1
        room.leave()

    await asyncio.gather(*(one(number) for number in range(50)))
    assert most == 3
    assert order == list(range(50))


async def test_a_place_that_was_given_to_somebody_who_gave_up_goes_to_the_next() -> None:
    rnd = random.Random(7)
    room = Room(2)

    async def one() -> None:
        if not room.take():
            await room.wait()
        try:
            await asyncio.sleep(rnd.random() / 2000)
        finally:
            room.leave()

    for _ in range(200):
        tasks = [asyncio.ensure_future(one()) for _ in range(8)]
        await asyncio.sleep(rnd.random() / 1000)
        for task in rnd.sample(tasks, 4):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert [room.take() for _ in range(3)] == [True, True, False]


async def test_one_who_gives_up_in_the_moment_of_being_let_in_passes_the_place_on() -> None:
    room = Room(1)
    assert room.take()
    first, second = (asyncio.ensure_future(room.wait()) for _ in range(2))
    await asyncio.sleep(0)
    room.leave()  # the first is let in, and has not run yet
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    await asyncio.wait_for(second, 60)


async def test_who_waited_for_room_while_the_log_was_closed_writes_nothing() -> None:
    log = KafkaLog(KafkaLink(brokers_of("kafka://127.0.0.1:9")))
    log.partitions = {JOURNAL: 12}
    for _ in range(MOST_IN_FLIGHT):
        assert log._room.take()
    append = asyncio.ensure_future(log.append(JOURNAL, "me", [b"late"]))
    await asyncio.sleep(0)
    await log.close()
    log._room.leave()
    with pytest.raises(LogRefused, match="the log is closed"):
        await append
    assert log._room.take(), "its place is free again"
