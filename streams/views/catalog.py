"""The catalog: what is true now. Every API process follows all partitions of journal and alerts by itself, in no group,
and keeps what it learned in a SQLite file of its own, so that a restart goes on from where it was.

It knows entries by id with their history, the profile, tokens, episodes, snoozes, how the source answers, and the
newest readings.
"""

import asyncio
import json
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from processors.entries import is_entry_event
from processors.readings import CanonicalReadings, Reading, reading_of
from schemas.envelope import Event, Garbage, NewerVersion, decode
from schemas.model import Partition
from streams.errors import LogUnavailable, Transient
from streams.ports.log import Log, Record
from streams.runtime.backoff import rest
from streams.storage.sqlite import SqliteError
from streams.topics import ALERTS, JOURNAL
from streams.views.catalog_alerts import CatalogAlerts
from streams.views.catalog_entries import CatalogEntries
from streams.views.catalog_store import lines_in, open_catalog, positions_in

logger = logging.getLogger("iv3.catalog")

FOLLOWED = (JOURNAL, ALERTS)
_RETRY_S = 1.0
_SAVE_EVERY = 1_000  # records per transaction while it catches up


class Catalog(CatalogEntries, CatalogAlerts):
    """The `Catalog` port: follows the log, and answers from what it has seen, in a file."""

    def __init__(self, log: Log, path: Path) -> None:
        self._log = log
        self._db = open_catalog(path, log.log_id)
        self._position, self._lines = positions_in(self._db), lines_in(self._db)
        self._grew = asyncio.Event()
        self._moved = asyncio.Event()
        self._listeners: list[Callable[[frozenset[tuple[str, str]]], None]] = []
        self.paused = self.failing = ""
        self._goal = dict(log.heads)  # the heads seen at start: until they are reached nothing is answered

    # -- what is asked -----------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Whether the heads seen at start have been reached."""
        return not self.paused and self._has(self._goal)

    def newest_reading(self, person: str) -> tuple[Reading | None, Reading | None]:
        """The newest canonical reading, and the one before it."""
        line = self._lines.get(person)
        newest = line.newest if line else None
        return newest, (line.before(newest) if line and newest else None)

    def lowest_since(self, person: str, since_ms: int) -> float | None:
        """The lowest canonical reading from a moment on, as far as two hours are remembered."""
        line = self._lines.get(person)
        return min((r.glucose_mgdl for r in line.recent if r.time_ms >= since_ms), default=None) if line else None

    def behind(self) -> int:
        """Records it has yet to see."""
        return sum(max(0, h - self._position.get(p, 0)) for p, h in dict(self._log.heads).items() if p[0] in FOLLOWED)

    async def caught_up(self, within_s: float = 1.0) -> bool:
        """Whether everything that is in the log now has been seen before the time was over."""
        goal: dict[Partition, int] = {}
        with suppress(TimeoutError, LogUnavailable):
            async with asyncio.timeout(within_s):
                goal = await self._log.latest(FOLLOWED)
                while not self._has(goal):
                    self._moved.clear()
                    await self._moved.wait()
        return bool(goal) and self._has(goal)

    def _has(self, goal: dict[Partition, int]) -> bool:
        return all(self._position.get(p, 0) >= head for p, head in goal.items() if p[0] in FOLLOWED)

    def subscribe(self, listener: Callable[[frozenset[tuple[str, str]]], None]) -> Callable[[], None]:
        """Call `listener` with what changed, as (person, readings|entries|alerts|source|profile|people|tokens); return
        what ends it.
        """
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def reopen(self, path: Path) -> None:
        """Go on from another file of this log: a replay made it anew. What it has not seen yet is caught up at once."""
        old, self._db = self._db, open_catalog(path, self._log.log_id)
        old.close()
        self._position, self._lines = positions_in(self._db), lines_in(self._db)
        self._goal = dict(self._log.heads)
        self._grew.set()

    # -- following ---------------------------------------------------------------------------------

    async def follow(self, stopping: asyncio.Event) -> None:
        """Follow the log until `stopping`."""
        end = self._log.subscribe(lambda _: self._grew.set())
        stop = asyncio.ensure_future(stopping.wait())
        try:
            while not stopping.is_set():
                self._grew.clear()
                if not await self._caught_up_for_now():
                    await rest(stopping, _RETRY_S)
                    continue
                grew = asyncio.ensure_future(self._grew.wait())
                await asyncio.wait({grew, stop}, return_when=asyncio.FIRST_COMPLETED)
                grew.cancel()
        finally:
            end()
            stop.cancel()
            self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    async def _caught_up_for_now(self) -> bool:
        """False where its file cannot be written (a full disk, most often) or the log cannot be read: it says so once
        and tries again, for the log has everything.
        """
        try:
            await self.catch_up()
        except (SqliteError, Transient) as error:
            if not self.failing:
                logger.error("the catalog cannot be kept up: %r", error)  # noqa: TRY400 - the sentence says it all
            what = "the log cannot be read" if isinstance(error, Transient) else "the catalog's file cannot be written"
            self.failing = f"{what}: {error}"
            with suppress(SqliteError):
                self._lines = lines_in(self._db)  # what was admitted meanwhile was rolled back
            return False
        self.failing = ""
        return True

    async def catch_up(self) -> None:
        """See everything that is in the log now."""
        for (topic, partition), head in dict(self._log.heads).items():
            if topic not in FOLLOWED:
                continue
            while not self.paused and (start := self._position.get((topic, partition), 0)) < head:
                records = await self._log.read(topic, partition, start, head, _SAVE_EVERY)
                if not records:
                    break
                if self._position.get((topic, partition), 0) != start:
                    continue  # another file was taken up meanwhile; what was read belongs to the old one
                self._see(topic, partition, records)
                await asyncio.sleep(0)

    def _see(self, topic: str, partition: int, records: list[Record]) -> None:
        pairs: list[tuple[Record, Event]] = []
        seen = records[-1].offset + 1
        for record in records:
            try:
                pairs.append((record, decode(record.value)))
            except NewerVersion as error:
                self.paused, seen = f"{error}", record.offset
                logger.error("the catalog is paused: %s", error)  # noqa: TRY400 - the sentence says it all
                break
            except Garbage as error:
                logger.warning("the catalog leaves out %s/%s/%s: %s", topic, partition, record.offset, error)
        try:
            self.take((topic, partition), pairs, seen)
        except (SqliteError, Transient):
            raise
        except Exception:  # a record that no fold foresaw; the next start would only meet the same
            logger.exception("the catalog could not take records of %s/%s; it takes them one by one", topic, partition)
            self._one_by_one((topic, partition), pairs, seen)

    def _one_by_one(self, place: Partition, pairs: Sequence[tuple[Record, Event]], seen: int) -> None:
        """Fold each record by itself, and leave out those that raise: everybody else's must be seen."""
        self._lines = lines_in(self._db)  # what was admitted with them was rolled back
        for record, event in pairs:
            try:
                self.take(place, [(record, event)], record.offset + 1)
            except SqliteError:
                raise
            except Exception:
                logger.exception("the catalog leaves out %s/%s/%s", *place, record.offset)
                self._lines = lines_in(self._db)
        self.take(place, [], seen)

    def take(self, place: Partition, pairs: Sequence[tuple[Record, Event]], seen: int) -> None:
        """Fold decoded records of one partition in, which leads to offset `seen`; a replay that has decoded them anyway
        calls it too.
        """
        changed: set[tuple[str, str]] = set()
        touched: set[str] = set()
        with self._db:
            for record, event in pairs:
                changed.add((event.subject, self._one(event, record, touched)))
            lines = [(person, json.dumps(self._lines[person].dump())) for person in touched]
            self._db.executemany("INSERT OR REPLACE INTO lines VALUES (?,?)", lines)
            self._db.execute("INSERT OR REPLACE INTO positions VALUES (?,?,?)", (*place, seen))
        self._position[place] = seen
        self._moved.set()
        words = frozenset((person, word) for person, word in changed if word)
        if words:
            for listener in list(self._listeners):
                listener(words)

    def _one(self, event: Event, record: Record, touched: set[str]) -> str:
        """Fold an event in; the word for what it changed, or an empty one."""
        reading = reading_of(event)
        if reading is None and is_entry_event(event):
            return self.evolve_entry(event, record.partition, record.offset)
        if reading is None:
            return self.evolve_people(event) or self.evolve_alerts(event)
        if self._lines.setdefault(event.subject, CanonicalReadings()).admit(reading, event.recorded_ms):
            touched.add(event.subject)
        return "readings"
