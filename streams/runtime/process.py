"""The house: all roles, the API and the followers in one loop. One event stops them together; a watchdog outside the
loop sees to it that a loop that hangs, or a role that makes no progress while it lags, ends the process, for the
supervisor to start it again.
"""

import asyncio
import logging
import os
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Sequence

from streams.errors import FailedPrecondition
from streams.runtime.role import Role
from streams.runtime.supervision import Supervision

logger = logging.getLogger("iv3.house")

LOOP_SILENT_S = 15.0  # nothing of ours keeps the loop for a second
ROLE_SILENT_S = 120.0  # a retry attempt counts as progress, and the longest pause between two is 60 s
EXIT_LOOP, EXIT_ROLE, EXIT_SERVICE = 73, 74, 72

Service = Callable[[asyncio.Event], Awaitable[None]]


class Process:
    """Runs until SIGTERM, SIGINT or `stop`."""

    def __init__(self, roles: Sequence[Role], services: Sequence[Service]) -> None:
        self.roles = list(roles)
        self._services = list(services)
        self.stopping: asyncio.Event
        self._beat = 0.0
        self._over = threading.Event()
        self._lagging_since: dict[str, float] = {}

    async def run(self) -> None:
        """Run everything. A service that ends or fails before the stop ends the process: nothing here may die
        unseen.
        """
        loop = asyncio.get_running_loop()
        self.stopping = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stopping.set)
        self._beat = time.monotonic()
        beating = asyncio.ensure_future(self._keep_beating())
        watchdog = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        watchdog.start()
        services = [asyncio.ensure_future(service(self.stopping)) for service in self._services]
        roles = [asyncio.ensure_future(Supervision(role).run(self.stopping)) for role in self.roles]
        try:
            done, _ = await asyncio.wait([*services, *roles], return_when=asyncio.FIRST_COMPLETED)
            if not self.stopping.is_set():
                self._exit_or_raise(done)
            await asyncio.gather(*roles, *services)
        finally:
            self._over.set()
            beating.cancel()

    @staticmethod
    def _exit_or_raise(done: "set[asyncio.Task[None]]") -> None:
        """A part is gone. What only the configuration can mend is raised; for anything else the process ends and is
        started again.
        """
        for task in done:
            error = task.exception()
            if isinstance(error, FailedPrecondition):
                raise error
            logger.critical("a part of iv3 ended by itself; ending the process", exc_info=error)
        os._exit(EXIT_SERVICE)

    async def _keep_beating(self) -> None:
        while True:
            self._beat = time.monotonic()
            await asyncio.sleep(0.5)

    def _watch(self) -> None:
        while not self._over.wait(1.0):
            now = time.monotonic()  # asyncio's loop time is the same clock
            if now - self._beat > LOOP_SILENT_S:
                logger.critical("the loop has not moved for %.0f s; ending the process", now - self._beat)
                os._exit(EXIT_LOOP)
            for role in self.roles:
                if self._is_stuck(role, now):
                    logger.critical("%s makes no progress; ending the process", role.name)
                    os._exit(EXIT_ROLE)

    def _is_stuck(self, role: Role, now: float) -> bool:
        if role.state != "running" or role.progress.paused or role.lag() == 0:
            self._lagging_since.pop(role.name, None)
            return False
        since = self._lagging_since.setdefault(role.name, now)
        return now - max(role.progress.moved_at, since) > ROLE_SILENT_S
