"""Supervision: how any role runs, so that a stuck or broken one cannot hold up another.

Every start builds a fresh Faust App (one consumer group), attached to no Faust worker. At each assignment the role
folds, and says where to start. Before partitions go there is no new work, the background is stopped and the record in
hand finished. A crash of the App, a failing handler or an ended background task stops this App alone; after a pause it
is built again.
"""

import asyncio
import logging
import os
from collections.abc import Sequence
from typing import Any

from schemas.model import Partition
from streams.errors import FailedPrecondition, Transient
from streams.runtime.app_lifetime import AppLifetime
from streams.runtime.assignment import Assignment
from streams.runtime.backoff import Backoff, rest
from streams.runtime.consume import consume
from streams.runtime.dead_letters import given_up
from streams.runtime.role import Role

logger = logging.getLogger("iv3.role")

STOP_DEADLINE_S = 4.0  # longer than an App ever took to stop (0.3 s); past it the process is in an unknown state
EXIT_STUCK = 71
_CANCEL_AGAIN_S = 0.5
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 5.0
_CALM_S = 30.0
_IN_HAND_S = 12.0  # an append is answered within ten
_HAND_OVER_S = 3.0  # what is in hand is finished within milliseconds; past this the new owner need not wait
_REPLACED = (
    "Another worker has joined the group under this one's name, so this one stops. Give each "
    "worker a name of its own (--name)."
)


class Supervision:
    """Runs one role, life after life."""

    def __init__(self, role: Role) -> None:
        self.role = role
        self._working: asyncio.Future[None] | None = None
        self._life: AppLifetime

    async def run(self, stopping: asyncio.Event) -> None:
        """Run the role until `stopping`, building it again whenever it fails. Raises FailedPrecondition where that
        would only meet the same.
        """
        role, loop = self.role, asyncio.get_running_loop()
        stops: dict[Any, int] = {}
        pauses = Backoff(_FIRST_PAUSE_S, _LONGEST_PAUSE_S)
        while not stopping.is_set():
            began, before = loop.time(), role.progress.handled
            self._life = role.life = AppLifetime(role.make_app(role.name), stops)
            why = await self._live(stopping)
            if self._life.ended.done() and isinstance(self._life.ended.exception(), FailedPrecondition):
                self._life.ended.result()
            if stopping.is_set():
                break
            role.progress.restarts += 1
            logger.error("%s: %s; starting this role again", role.name, why)
            if role.progress.handled != before or loop.time() - began > _CALM_S:
                pauses.reset()
            await rest(stopping, pauses.next_s())
        role.state = "stopped"

    # -- one App -----------------------------------------------------------------------------------

    def _connect(self, life: AppLifetime) -> None:
        """Give the App its agent, and the link to its driver."""
        role, app = self.role, life.app
        app.link.before_revoke = self._lost
        app.link.found_hole = self._found_hole
        app.link.replaced = lambda: life.fail_for_good(_REPLACED)
        # One agent over all topics: one order, one record at a time.
        channel = app.topic(*role.topics, key_serializer="raw", value_serializer="raw")

        # Awaited by Faust before it seeks and before the flow resumes, with no timeout. (`perform_seek` runs under one
        # and dies silently.)
        @app.on_rebalance_complete.connect
        async def assigned(app: Any, **_: Any) -> None:  # noqa: ANN401 - Faust is untyped
            del app
            await self._assigned()

        async def body(stream: Any) -> None:  # noqa: ANN401 - Faust is untyped
            await consume(role, life, stream)

        app.agent(channel, name=f"iv3.{role.name}")(body)

    async def _assigned(self) -> None:
        role, life = self.role, self._life
        await self._lost()
        # What hangs in the log's hands is answered within its deadline. A fold beside it would know less than what it
        # then does.
        await rest(life.idle, _IN_HAND_S)
        generation = life.app.consumer_generation_id
        role.state = "folding"
        start = await self._learn(generation)
        if start is None or life.app.consumer_generation_id != generation:
            return  # the partitions moved once more meanwhile; that assignment has a call of its own
        life.app.link.start_offsets = start
        life.app.link.may_seek = True
        role.progress.next_offset = dict(start)
        role.progress.paused = ""
        role.progress.assignments += 1
        role.progress.moved_at = asyncio.get_running_loop().time()
        life.begin(Assignment(start, life.app.link.lease_holds))
        self._working = asyncio.ensure_future(role.work())
        self._working.add_done_callback(self._work_ended)
        role.state = "running"

    async def _learn(self, generation: object) -> dict[Partition, int] | None:
        """Fold, trying until the log answers; the offset at which each partition starts, or None where the partitions
        moved once more.
        """
        role, app = self.role, self._life.app
        delays = Backoff()
        while app.consumer_generation_id == generation and not app.should_stop:
            try:
                from_group = await app.consumer.committed_offsets()
                committed: dict[Partition, int] = {
                    (tp.topic, tp.partition): int(from_group.get(tp, 0)) for tp in app.consumer.assignment()
                }
                role.skip = await given_up(role.log, role.name)
                start = {**committed, **await role.fold(committed)}
            except Transient as error:
                if str(error) != role.progress.failing:
                    logger.warning("%s waits before it can begin: %s", role.name, error)
                role.progress.fails(str(error), asyncio.get_running_loop().time())
                await asyncio.sleep(delays.next_s(error.retry_after_s, most_s=delays.longest_s))
            else:
                role.progress.failing = ""
                return start
        return None

    def _found_hole(self, partition: Partition, expected: int, offset: int) -> None:
        self._life.holes[partition, expected] = offset

    def _work_ended(self, done: "asyncio.Future[None]") -> None:
        if not done.cancelled():
            self._life.fail(done.exception() or RuntimeError("its background work ended"))

    async def _lost(self) -> None:
        """The partitions go: no new work, the background stopped, what is in hand finished, or its append would land
        behind the new owner's fold.
        """
        role, life = self.role, self._life
        if life.end_assignment() is None:
            return
        role.state = "handing over"
        if self._working is not None:
            await self._cancel(self._working)
            self._working = None
        await rest(life.idle, _HAND_OVER_S)
        if not life.idle.is_set():
            role.progress.late_hand_overs += 1
            logger.warning("%s gives its partitions away with a record still in hand", role.name)
        if not await role.log.settled(_HAND_OVER_S):
            role.progress.late_hand_overs += 1
        role.progress.next_offset = {}

    async def _live(self, stopping: asyncio.Event) -> str:
        """One life, from start to end; why it ended."""
        life, app = self._life, self._life.app
        self.role.state = "starting"
        self._connect(life)
        # `start` returns only after the fold, and on a standby only when it takes over.
        starting = asyncio.ensure_future(app.start())
        crashed = asyncio.ensure_future(app._crashed.wait())  # noqa: SLF001 - pinned by tests/roles
        stop = asyncio.ensure_future(stopping.wait())
        try:
            while True:
                watched: set[asyncio.Future[Any]] = {crashed, stop, life.ended}
                if not starting.done():
                    watched.add(starting)
                done, _ = await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
                if done - {starting} or (starting.done() and starting.exception()):
                    return self._why(app, done)
        finally:
            self.role.state = "stopping"
            await self._end(app, [starting, crashed, stop])

    def _why(self, app: Any, done: set["asyncio.Future[Any]"]) -> str:  # noqa: ANN401 - Faust is untyped
        reasons = [repr(f.exception() or f.result()) for f in done if not f.cancelled()]
        return f"crashed: {app.crash_reason!r}" if app.crash_reason else ", ".join(reasons)

    async def _cancel(self, working: "asyncio.Future[Any]") -> None:
        """Cancel the background work until it has ended: a library may swallow a cancellation that comes at the wrong
        moment.
        """
        for _ in range(round(STOP_DEADLINE_S / _CANCEL_AGAIN_S)):
            working.cancel()
            done, _ = await asyncio.wait({working}, timeout=_CANCEL_AGAIN_S)
            if done:
                return
        logger.critical("%s: its background work did not stop; ending the process", self.role.name)
        os._exit(EXIT_STUCK)

    async def _end(self, app: Any, tasks: Sequence["asyncio.Future[Any]"]) -> None:  # noqa: ANN401 - Faust is untyped
        await self._lost()
        self.role.state = "stopping"
        try:
            await asyncio.wait_for(app.stop(), STOP_DEADLINE_S)
        except Exception as error:  # noqa: BLE001 - an App that will not stop leaves the process in an unknown state
            logger.critical("%s: the App did not stop (%r); ending the process", self.role.name, error)
            os._exit(EXIT_STUCK)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.role.closed()
