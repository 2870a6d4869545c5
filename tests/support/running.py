"""Run roles inside a test: real Faust Apps on the SQLite log, stopped when the block ends."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from streams.adapters.logs.kafka.log import KafkaLog
from streams.adapters.logs.sqlite.log import SqliteLog
from streams.adapters.transport.kafka import Transport as KafkaTransport
from streams.adapters.transport.sqlite import Transport as SqliteTransport
from streams.runtime.app import group_of, kafka_settings, make_app
from streams.runtime.role import Role
from streams.runtime.supervision import Supervision


def app_maker(log: SqliteLog | KafkaLog, worker: str = "w1") -> Callable[[str], Any]:
    """Makes Apps on this log."""
    if isinstance(log, KafkaLog):
        return lambda group: make_app(
            group_of(log, group),
            partial(KafkaTransport, log),
            data_folder="/nonexistent",
            broker_commit_interval=0.05,
            **kafka_settings(worker, 5.0),
        )
    return lambda group: make_app(
        group, partial(SqliteTransport, log), data_folder=str(log.path.parent), broker_commit_interval=0.05
    )


@asynccontextmanager
async def running(*roles: Role) -> AsyncIterator[asyncio.Event]:
    """Supervise the roles for the length of the block; yields the event that stops them."""
    stopping = asyncio.Event()
    tasks = [asyncio.ensure_future(Supervision(role).run(stopping)) for role in roles]
    try:
        await until(lambda: all(role.state == "running" for role in roles))
        yield stopping
    finally:
        stopping.set()
        await asyncio.gather(*tasks)


async def until(true: Callable[[], bool], within_s: float = 60.0) -> None:
    """Wait until it is true; fail the test if it never is."""
    async with asyncio.timeout(within_s):
        while not true():
            await asyncio.sleep(0.005)


async def caught_up(roles: Sequence[Role], within_s: float = 60.0) -> None:
    """Wait until the roles have handled all there is."""
    await until(lambda: all(role.state == "running" and role.lag() == 0 for role in roles), within_s)
