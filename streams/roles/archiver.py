"""The archiver: keeps the archive at most a minute behind the log, and in order.

Its group says whose partitions it looks after; how far it is, the archive itself says. So it acknowledges at once and
reads from the log what it writes: after any crash it goes on behind the last manifest, and the archive being away for
days costs nothing but the wait.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from processors.alerting.wording import age_words
from streams.archive.maintenance import Maintenance
from streams.archive.writer import ArchiveWriter
from streams.errors import ArchiveDamaged, ArchiveUnavailable, Transient
from streams.ports.archive import Archive
from streams.ports.clock import Clock
from streams.ports.log import Log, Record
from streams.runtime.backoff import Backoff
from streams.runtime.report import HealthLine, Metric, RoleReport
from streams.runtime.role import MakeApp, Role
from streams.topics import ARCHIVED, JOURNAL

logger = logging.getLogger("iv3.archiver")

FLUSH_S = 30.0  # with a retry it stays below the minute that is promised
BEHIND_MS = 3_600_000  # the log itself is safe meanwhile; nobody need be woken for a short outage
UPKEEP_S = 60.0  # how often is looked whether something is due
_FIRST_RETRY_S, _LONGEST_RETRY_S = 1.0, 60.0
_LONGEST_UPKEEP_RETRY_S = 3600.0
_LAST_FLUSH_S = 1.5  # a stop waits no longer; what is left goes out at the next start


class Archiver(Role):
    """Journal, forecasts, alerts and dead letters into segments."""

    name = "archiver"
    topics = ARCHIVED
    batch: ClassVar[int] = 500

    def __init__(
        self,
        log: Log,
        clock: Clock,
        make_app: MakeApp,
        archive: Archive,
        *,
        flush_s: float = FLUSH_S,
        upkeep: Maintenance | None = None,
    ) -> None:
        super().__init__(log, clock, make_app)
        self._writer = ArchiveWriter(log, archive, clock)
        self._flush_s = flush_s
        self._new = asyncio.Event()
        self.trouble = ""  # why the archive is not kept up
        self.archived_ms = 0
        self._failing_since_ms = 0
        self.upkeep = upkeep

    async def handle_batch(self, records: Sequence[Record]) -> None:
        """There is something to archive."""
        del records
        self._new.set()

    async def work(self) -> None:
        """Flush soon after something came; look after the rest meanwhile."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_up())
            tasks.create_task(self._keep_in_order())

    async def _keep_up(self) -> None:
        delays = Backoff(_FIRST_RETRY_S, _LONGEST_RETRY_S)
        while True:
            try:
                await self._writer.catch_up()
            except (ArchiveUnavailable, ArchiveDamaged) as error:
                self._failing_since_ms = self._failing_since_ms or self.clock.now_ms()
                if str(error) != self.trouble:
                    logger.warning("the archive is not kept up: %s", error)
                self.trouble = str(error)
                await asyncio.sleep(delays.next_s())
                continue
            delays.reset()
            self.trouble, self._failing_since_ms = "", 0
            self.archived_ms = self.clock.now_ms()
            self._new.clear()
            if not self._writer.waiting():
                await self._new.wait()
            await asyncio.sleep(self._flush_s)

    async def _keep_in_order(self) -> None:
        """One worker's task: his who has the first partition. Twice would be harmless, and twice the work."""
        if self.upkeep is None:
            return
        retry = UPKEEP_S
        while True:
            await asyncio.sleep(retry)
            if self.trouble or not self.archived_ms or (JOURNAL, 0) not in self.progress.next_offset:
                continue
            try:
                await self.upkeep.round()
                retry = UPKEEP_S
            except (Transient, ArchiveDamaged, OSError) as error:
                retry = min(retry * 2, _LONGEST_UPKEEP_RETRY_S)
                logger.warning("the archive cannot be looked after now: %s", error)
            except Exception:  # a mistake in what is done once a day must not end what is done each minute
                retry = _LONGEST_UPKEEP_RETRY_S
                logger.exception("looking after the archive failed")

    async def closed(self) -> None:
        """One more flush, if it is quick."""
        if self.trouble or not self._writer.waiting():
            return
        try:
            await asyncio.wait_for(self._writer.catch_up(), _LAST_FLUSH_S)
        except (TimeoutError, ArchiveUnavailable, ArchiveDamaged):
            logger.info("the last records are archived at the next start")

    def waiting(self) -> int:
        """Records that are not archived yet."""
        return self._writer.waiting()

    def is_behind(self) -> bool:
        """Whether it could not be kept up for so long that somebody must be told."""
        return self._failing_since_ms > 0 and self.clock.now_ms() - self._failing_since_ms > BEHIND_MS

    def report(self, person: str = "") -> RoleReport:
        """See `Role.report`: how far the archive is behind, and whether it could be restored."""
        common, keeper = super().report(person), self.upkeep
        troubles = []
        if self.is_behind():
            troubles.append("the archive could not be brought up to date for an hour")
        if keeper is not None and keeper.trouble():
            troubles.append("the archive must be looked at (iv3 archive drill says more)")
        metrics = [
            Metric("iv3_archive_waiting", self.waiting()),
            Metric("iv3_archive_failing", int(bool(self.trouble))),
        ]
        if keeper is not None and keeper.last_drill is not None:
            metrics.append(Metric("iv3_archive_drill_ok", int(keeper.last_drill.ok)))
        return replace(
            common,
            troubles=(*troubles, *common.troubles),
            lines=(self._archive_line(), *self._drill_lines()),
            metrics=(*common.metrics, *metrics),
        )

    def _archive_line(self) -> HealthLine:
        if self.trouble:
            return HealthLine("Archive", False, "not kept up", self.trouble)
        last = age_words(self.clock.now_ms() - self.archived_ms) if self.archived_ms else "starting"
        return HealthLine("Archive", True, f"brought up to date {last}", f"{self.waiting():,} events waiting")

    def _drill_lines(self) -> tuple[HealthLine, ...]:
        if self.upkeep is None:
            return ()
        last, trouble = self.upkeep.last_drill, self.upkeep.trouble()
        when = f"tried {age_words(self.clock.now_ms() - last.at_ms)}" if last is not None else "not tried yet"
        if trouble:
            return (HealthLine("Restore", False, when, trouble),)
        said = (
            f"{last.records:,} records came back as they are" if last is not None else "iv3 archive drill tries it now"
        )
        return (HealthLine("Restore", True, when, said),)
