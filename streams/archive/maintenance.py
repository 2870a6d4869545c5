"""What an archive needs once in a while: days merged, a drill, earlier logs removed. Beside the writing of it, never in
its way.
"""

import logging
import time
from collections.abc import Callable
from pathlib import Path

from processors.archive.compaction import DAY_MS, delay_ms
from streams.archive.drill import SCRATCH, DrillOutcome, clear, drill, keep_outcome, read_outcome
from streams.archive.merge import merge
from streams.archive.retention import plan, remove
from streams.errors import ArchiveDamaged
from streams.ports.archive import Archive
from streams.ports.clock import Clock
from streams.ports.log import Log, NewLog

logger = logging.getLogger("iv3.upkeep")

_SETTLE_MS = 3_600_000  # the first drill comes when an hour's worth of starting, catching up and merging is over
_AGAIN_MS = DAY_MS  # after a drill that found something


def host_ms() -> int:
    """The clock that stamps records, whatever the sources say."""
    return time.time_ns() // 1_000_000


class Maintenance:
    """Does what is due, one thing after the other. `drill_days` 0: no drills. `keep_days` None: earlier logs stay for
    ever. `stamp_ms` is the clock of the log's own stamps, which says when a day is over.
    """

    def __init__(
        self,
        log: Log,
        archive: Archive,
        clock: Clock,
        new_log: NewLog,
        data: Path,
        *,
        drill_days: int = 7,
        keep_days: int | None = None,
        stamp_ms: Callable[[], int] = host_ms,
    ) -> None:
        self._log, self._archive, self._clock, self._data = log, archive, clock, data
        self._drill_days, self._keep_days = drill_days, keep_days
        self._stamp_ms, self._new_log = stamp_ms, new_log
        self._since_ms = clock.now_ms()
        self._merged_day = -1
        self.last_drill = read_outcome(data)
        self.merge_problem = ""
        clear(data / SCRATCH)

    async def round(self) -> None:
        """Do what is due. Raises ArchiveUnavailable: nothing was lost, and it is due still."""
        day = (self._stamp_ms() - delay_ms(self._log.log_id)) // DAY_MS
        if day != self._merged_day:
            await self._merge()
            self._merged_day = day
        self.last_drill = read_outcome(self._data) or self.last_drill  # somebody may have tried it by hand
        if self.is_drill_due():
            await self._drill()

    def is_drill_due(self) -> bool:
        """A week after the last one; a day after one that found something; soon, if there never was one."""
        if not self._drill_days:
            return False
        now, last = self._clock.now_ms(), self.last_drill
        if last is None or last.at_ms > now:
            return now - self._since_ms >= _SETTLE_MS
        return now - last.at_ms >= (self._drill_days * DAY_MS if last.ok else _AGAIN_MS)

    async def _merge(self) -> None:
        report = await merge(self._archive, self._log.log_id, self._stamp_ms())
        problem = report.problems[0] if report.problems else ""
        if problem and problem != self.merge_problem:
            logger.warning("the archive cannot be merged everywhere: %s; `iv3 verify` says more", problem)
        self.merge_problem = problem

    async def _drill(self) -> None:
        outcome = await drill(self._log, self._archive, self._new_log, self._data / SCRATCH, self._clock.now_ms())
        self.last_drill = outcome
        keep_outcome(self._data, outcome)
        if not outcome.ok:
            logger.error("the drill could not restore the archive: %s", outcome.problem)
            return
        logger.info("the drill restored %d records and found them as the log has them", outcome.records)
        if self._keep_days is not None:
            await self._forget(self._keep_days)

    async def _forget(self, keep_days: int) -> None:
        """Only now: the archive of the log in use was restored a moment ago."""
        try:
            await remove(self._archive, await plan(self._archive, self._log.log_id, keep_days, self._clock.now_ms()))
        except ArchiveDamaged as error:
            logger.warning("%s", error)

    def trouble(self) -> str:
        """What the page must say of it, or an empty string."""
        last: DrillOutcome | None = self.last_drill
        if last is not None and not last.ok:
            return f"The last drill could not restore it: {last.problem}"
        return self.merge_problem
