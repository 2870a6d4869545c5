"""The log in one SQLite file (apsw, WAL, synchronous=FULL): one writer with group commit, dense offsets, several
processes at once.

apsw brings its own SQLite, which has the WAL-reset fix that Python's does not; the file must never be opened with the
`sqlite3` module in the same process.
"""

import asyncio
import json
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from processors.archive.format import ArchivedRecord
from schemas.model import Partition
from streams.adapters.logs.sqlite.replacement import refuse_exchanging
from streams.adapters.logs.sqlite.wakeups import Wakeups
from streams.adapters.logs.sqlite.writer import Answer, Append, Commit, Row, Statements, Writer
from streams.errors import FailedPrecondition, LogRefused, NotFound
from streams.ports.log import Position, Record
from streams.storage.files import RESERVE_BYTES, FileLock, free_bytes, refuse_remote
from streams.storage.sqlite import connect, explain_open_errors
from streams.topics import PARTITIONS, TOPICS, Topic, is_essential, partition_of

FORMAT = "1"
_T = TypeVar("_T")
_SPACE_CHECK_S = 1.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta(k TEXT PRIMARY KEY, v TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS topics(id INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL, partitions INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS heads(topic INTEGER, part INTEGER, next INTEGER NOT NULL, PRIMARY KEY(topic,
  part)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS log(topic INTEGER, part INTEGER, off INTEGER, ts INTEGER NOT NULL, k BLOB, v BLOB, h BLOB,
  PRIMARY KEY(topic, part, off)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS commits(grp TEXT, topic TEXT, part INTEGER, off INTEGER NOT NULL, PRIMARY KEY(grp, topic,
  part)) WITHOUT ROWID;
"""


def _die(error: BaseException) -> None:
    said = f"iv3: the disk failed while writing the log ({error!r}); stopping at once so that nothing is said twice\n"
    os.write(2, said.encode())
    os._exit(70)


def _pack(headers: Sequence[tuple[str, bytes]]) -> bytes | None:
    return json.dumps([[k, v.decode("latin-1")] for k, v in headers]).encode() if headers else None


def _unpack(packed: bytes | None) -> tuple[tuple[str, bytes], ...]:
    return tuple((k, v.encode("latin-1")) for k, v in json.loads(packed)) if packed else ()


class SqliteLog:
    """The `Log` port on SQLite, plus the group offsets that its Faust transport needs.

    `demo` stamps a new log; opening one with the other stamp raises FailedPrecondition. `partitions` is how a new log
    is split. `on_fatal` is called (and by default ends the process) when a commit failed in a way that leaves doubt.
    `free` and `vfs` exist so that tests can fill the disk and cut the power.
    """

    def __init__(
        self,
        path: Path,
        *,
        demo: bool = False,
        topics: Mapping[str, Topic] = TOPICS,
        partitions: int = PARTITIONS,
        on_fatal: Callable[[BaseException], None] = _die,
        free: Callable[[], int] | None = None,
        vfs: str | None = None,
    ) -> None:
        self.path = path
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        refuse_remote(path.parent)
        refuse_exchanging(path)
        with explain_open_errors(path):
            self._db = connect(path, vfs=vfs)
        try:
            # Whoever exchanges files looks for us after putting up the sign, so one of the two sees the other.
            refuse_exchanging(path)
        except FailedPrecondition:
            self._db.close()
            raise
        with explain_open_errors(path):
            self._prepare(topics, partitions, demo=demo)
        self.log_id: str = self._meta("log_id")
        self.demo = demo
        self._ids: dict[str, int] = dict(self._db.execute("SELECT name, id FROM topics"))
        self.partitions: dict[str, int] = dict(self._db.execute("SELECT name, partitions FROM topics"))
        self._reader = connect(path, vfs=vfs)
        self._reading = threading.Lock()
        self._version = -1
        self.pool = ThreadPoolExecutor(1, "log-read")
        # Every key is there from the start, so that another thread may look while the writer moves a head.
        self.heads: dict[Partition, int] = {(t, p): 0 for t, n in self.partitions.items() for p in range(n)}
        self._refresh()
        self._subscribers: dict[asyncio.AbstractEventLoop, list[Callable[[frozenset[str]], None]]] = {}
        self._free = free or (lambda: free_bytes(path.parent))
        self._space_at, self._space_low = 0.0, False
        self._closed = False
        self._writer = Writer(self._db, self._written, on_fatal, self.nearly_full)
        self._wakeups = Wakeups(path, self._heard)

    def _prepare(self, topics: Mapping[str, Topic], partitions: int, *, demo: bool) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        self._db.execute(_SCHEMA)
        for key, value in (("log_id", uuid.uuid4().hex), ("format", FORMAT), ("demo", str(int(demo)))):
            self._db.execute("INSERT OR IGNORE INTO meta VALUES (?,?)", (key, value))
        for name in topics:
            self._db.execute("INSERT OR IGNORE INTO topics(name, partitions) VALUES (?,?)", (name, partitions))
        self._db.execute("COMMIT")
        if self._meta("format") != FORMAT:
            raise FailedPrecondition(f"{self.path} was written by a newer release of iv3: upgrade this one.")
        if self._meta("demo") != str(int(demo)):
            self._db.close()
            have, want = ("a demo", "a real person's") if not demo else ("a real person's", "a demo")
            raise FailedPrecondition(f"{self.path} is {have} log, not {want}. Use another folder with --data.")

    def _meta(self, key: str) -> str:
        return str(self._db.execute("SELECT v FROM meta WHERE k=?", (key,)).fetchone()[0])

    # -- reading -----------------------------------------------------------------------------------

    def read_now(
        self, topic: str, partition: int, start: int, to: int | None = None, limit: int = 1000
    ) -> list[Record]:
        """As `read`, in the calling thread."""
        sql = "SELECT off, ts, k, v, h FROM log WHERE topic=? AND part=? AND off>=? AND off<? ORDER BY off LIMIT ?"
        bindings = (self._ids[topic], partition, start, 1 << 62 if to is None else to, limit)
        with self._reading:
            rows = self._reader.execute(sql, bindings).fetchall()
        return [Record(topic, partition, off, ts, k, v, _unpack(h) if h else ()) for off, ts, k, v, h in rows]

    async def read(
        self, topic: str, partition: int, start: int, to: int | None = None, limit: int = 1000
    ) -> list[Record]:
        """See `Log.read`."""
        return await self.in_pool(lambda: self.read_now(topic, partition, start, to, limit))

    async def latest(self, topics: Iterable[str]) -> dict[Partition, int]:
        """See `Log.latest`."""
        wanted = set(topics)
        await self.in_pool(self._heard)
        return {place: head for place, head in dict(self.heads).items() if place[0] in wanted}

    async def fold(
        self, topic: str, partition: int, start: int, to: int | None, step: Callable[[Record], object]
    ) -> int:
        """See `Log.fold`. Yields to the loop after every 1,000 records."""
        if to is None:
            await self.in_pool(self._heard)  # another process may have written and died before it told
            to = self.heads[topic, partition]
        while start < to:
            records = await self.read(topic, partition, start, to)
            if not records:
                break
            for record in records:
                step(record)
            start = records[-1].offset + 1
            await asyncio.sleep(0)
        return start

    async def in_pool(self, work: Callable[[], _T]) -> _T:
        """Run `work` in the one reader thread of this log."""
        return await asyncio.get_running_loop().run_in_executor(self.pool, work)

    def committed(self, group: str) -> dict[Partition, int]:
        """The offsets `group` has committed."""
        with self._reading:
            rows = self._reader.execute("SELECT topic, part, off FROM commits WHERE grp=?", (group,)).fetchall()
        return {(topic, part): off for topic, part, off in rows}

    def _refresh(self) -> frozenset[str]:
        """Read the heads if another process wrote; return the topics that grew."""
        with self._reading:
            version = self._reader.pragma("data_version")
            if version == self._version:
                return frozenset()
            self._version = version
            rows = self._reader.execute("SELECT name, part, next FROM heads JOIN topics ON id=topic").fetchall()
        grown = set()
        for topic, part, head in rows:
            if self.heads.get((topic, part), 0) < head:
                self.heads[topic, part] = head
                grown.add(topic)
        return frozenset(grown)

    # -- writing -----------------------------------------------------------------------------------

    def record(self, topic: str, key: str, values: Sequence[bytes], partition: int | None) -> Append:
        """An append operation, ready for the writer. Raises FailedPrecondition for a topic that was never made."""
        if topic not in self._ids:
            raise NotFound(f"topic {topic} does not exist in {self.path}; topics are made by the admin step")
        where = partition_of(key, self.partitions[topic]) if partition is None else partition
        raw, stamp = key.encode(), int(time.time() * 1000)
        rows: list[Row] = [(stamp, raw, value, None) for value in values]
        return Append(topic, self._ids[topic], where, rows, all(is_essential(topic, value) for value in values))

    async def append_as_was(self, topic: str, partition: int, records: Sequence[ArchivedRecord]) -> None:
        """See `Log.append_as_was`."""
        if topic not in self._ids or partition >= self.partitions[topic]:
            raise NotFound(f"{topic}/{partition} does not exist in this release's logs")
        rows: list[Row] = [(r.timestamp_ms, r.key, r.value, _pack(r.headers)) for r in records]
        await self.submit(Append(topic, self._ids[topic], partition, rows, essential=True))

    def submit(self, operation: Append | Commit | Statements) -> "asyncio.Future[Any]":
        """Hand an operation to the writer. Raises LogRefused after close, otherwise as `Writer.submit`."""
        if self._closed:
            raise LogRefused("the log is closed")
        return self._writer.submit(operation)

    async def append(
        self, topic: str, key: str, values: Sequence[bytes], *, partition: int | None = None
    ) -> list[Position]:
        """See `Log.append`."""
        positions: list[Position] = await self.submit(self.record(topic, key, values, partition))
        return positions

    async def commit(self, group: str, offsets: dict[Partition, int]) -> None:
        """Remember what `group` has handled."""
        await self.submit(Commit(group, offsets))

    async def tidy(self) -> None:
        """See `Log.tidy`: the newest snapshot of each key stays, and a day of heartbeats."""
        for topic in TOPICS.values():
            if topic.name not in self._ids:
                continue
            if topic.compacted:
                await self.compact(topic.name)
            elif topic.retention_s:
                # What was taken before a moment (the log's stamps are the host's) goes, but for a partition's last.
                older = "ts<?3 AND off<(SELECT max(off) FROM log WHERE topic=?1 AND part=?2)"
                await self._forget(topic.name, older, time.time_ns() // 1_000_000 - topic.retention_s * 1000)

    async def compact(self, topic: str) -> None:
        """Keep the newest record of each key. The last record of a partition always stays, so offsets stay known."""
        await self._forget(topic, "off NOT IN (SELECT max(off) FROM log WHERE topic=?1 AND part=?2 GROUP BY k)")

    async def _forget(self, topic: str, which: str, *bindings: int) -> None:
        sql, number = f"DELETE FROM log WHERE topic=?1 AND part=?2 AND {which}", self._ids[topic]
        await self.submit(Statements([(sql, (number, part, *bindings)) for part in range(self.partitions[topic])]))

    def nearly_full(self) -> bool:
        """Whether less than the reserve is left on the disk; looked at most once a second."""
        now = time.monotonic()
        if now - self._space_at > _SPACE_CHECK_S:
            self._space_at = now
            with suppress(OSError):  # what was known last holds
                self._space_low = self._free() < RESERVE_BYTES
        return self._space_low

    @property
    def counters(self) -> dict[str, int]:
        """What the writer did so far."""
        return asdict(self._writer.counters)

    def group_lock(self, group: str) -> FileLock:
        """The membership of `group`: one process at a time holds it, the kernel frees it when that process dies."""
        return FileLock(self.path.with_name(f"{self.path.name}.{group}.lock"))

    # -- waking ------------------------------------------------------------------------------------

    def subscribe(self, wake: Callable[[frozenset[str]], None]) -> Callable[[], None]:
        """See `Log.subscribe`."""
        loop = asyncio.get_running_loop()
        self._subscribers.setdefault(loop, []).append(wake)

        def end() -> None:
            if wake in self._subscribers.get(loop, ()):
                self._subscribers[loop].remove(wake)

        return end

    def _written(self, answers: dict[asyncio.AbstractEventLoop, Answer], heads: dict[Partition, int]) -> None:
        for partition, head in heads.items():
            self.heads[partition] = max(head, self.heads.get(partition, 0))
        self._tell_loops(answers, frozenset(topic for topic, _ in heads))
        if heads:
            self._wakeups.tell()

    def _heard(self) -> None:
        grown = self._refresh()
        if grown:
            self._tell_loops({}, grown)

    def _tell_loops(self, answers: dict[asyncio.AbstractEventLoop, Answer], grown: frozenset[str]) -> None:
        """One call per loop and transaction, whatever the number of writers that wait."""
        for loop in set(answers) | (set(self._subscribers) if grown else set()):
            try:
                loop.call_soon_threadsafe(self._in_loop, loop, answers.get(loop), grown)
            except RuntimeError:  # that loop is closed; nobody waits there any more
                self._subscribers.pop(loop, None)

    def _in_loop(self, loop: asyncio.AbstractEventLoop, answer: Answer | None, grown: frozenset[str]) -> None:
        for future, result, error in answer or ():
            if future.done():
                continue
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)
        if grown:
            for wake in list(self._subscribers.get(loop, ())):
                wake(grown)

    async def close(self) -> None:
        """See `Log.close`."""
        await asyncio.to_thread(self.close_now)

    def close_now(self) -> None:
        """As `close`, for a caller without a loop."""
        if self._closed:
            return
        self._closed = True
        self._writer.stop()
        self._wakeups.close()
        self.pool.shutdown(wait=True)
        self._reader.close()
        self._db.close()
