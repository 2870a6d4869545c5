"""The one writer of a SQLite log: a thread that takes what waits, writes it in one transaction and answers everybody at
once.

Appends and offset commits go through one queue, so an offset can never be committed before the writes it depends on. A
transaction with appends is synced to disk (`synchronous=FULL`); one with offset commits alone is not, for losing it
only redelivers.
"""

import asyncio
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import apsw

from schemas.model import Partition
from streams.errors import DiskReserve, LogOutcomeUnknown, LogRefused, StreamError
from streams.ports.log import Position

MOST_WAITING = 20_000  # operations; a queue longer than this means the disk stands still
_MOST_PER_TRANSACTION = 5_000

Row = tuple[int, bytes | None, bytes | None, bytes | None]  # timestamp, key, value, headers


@dataclass(slots=True)
class Append:
    """Rows for one partition, all or nothing."""

    topic: str
    topic_id: int
    partition: int
    rows: list[Row]
    essential: bool


@dataclass(slots=True)
class Commit:
    """Offsets a group has handled."""

    group: str
    offsets: dict[Partition, int]


@dataclass(slots=True)
class Statements:
    """Anything else that must be written between transactions: compaction, retention."""

    statements: Sequence[tuple[str, tuple[Any, ...]]]


Operation = Append | Commit | Statements
Answer = list[tuple["asyncio.Future[Any]", Any, BaseException | None]]  # what one transaction tells one loop
Waiting = tuple[Operation, asyncio.AbstractEventLoop, "asyncio.Future[Any]"]


@dataclass
class SqliteCounters:
    """What the writer did so far, for /metrics."""

    transactions: int = 0
    records: int = 0
    commits: int = 0
    refused: int = 0


class Writer:
    """Owns the writing connection; `done(answers, heads)` is called in the writer's thread after every transaction."""

    def __init__(
        self,
        connection: apsw.Connection,
        done: Callable[[dict[asyncio.AbstractEventLoop, Answer], dict[Partition, int]], None],
        on_fatal: Callable[[BaseException], None],
        nearly_full: Callable[[], bool],
    ) -> None:
        self._db = connection
        self._done = done
        self._on_fatal = on_fatal
        self._nearly_full = nearly_full
        self._queue: queue.SimpleQueue[Waiting | None] = queue.SimpleQueue()
        self._full_sync = True
        self.broken: BaseException | None = None
        self.counters = SqliteCounters()
        self._thread = threading.Thread(target=self._work, name="log-writer", daemon=True)
        self._thread.start()

    def submit(self, operation: Operation) -> "asyncio.Future[Any]":
        """Put an operation in the queue; the future has its answer. Raises LogOutcomeUnknown once the log is broken,
        LogRefused when it lags.
        """
        if self.broken is not None:
            raise LogOutcomeUnknown(f"the log stopped after an I/O error: {self.broken!r}")
        if self._queue.qsize() > MOST_WAITING:
            self.counters.refused += 1
            raise LogRefused(f"{MOST_WAITING} writes are waiting for the disk")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._queue.put((operation, loop, future))
        return future

    def stop(self) -> None:
        """Write what waits, then end the thread."""
        self._queue.put(None)
        self._thread.join(10)

    def _work(self) -> None:
        while True:
            batch = [self._queue.get()]
            while len(batch) < _MOST_PER_TRANSACTION and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            waiting = [item for item in batch if item is not None]
            if waiting:
                try:
                    self._transact(waiting)
                except Exception as error:  # noqa: BLE001 - a writer that dies unseen would leave everybody waiting for ever
                    self.broken = error
                    self._on_fatal(error)
                    self._answer(waiting, LogOutcomeUnknown(f"the log's writer failed: {error!r}"))
            if len(waiting) < len(batch):
                return

    def _transact(self, batch: list[Waiting]) -> None:
        if self.broken is not None:
            self._answer(batch, LogOutcomeUnknown(f"the log stopped after an I/O error: {self.broken!r}"))
            return
        if any(_can_wait(operation) for operation, _, _ in batch) and self._nearly_full():
            batch = self._turn_away(batch)
            if not batch:
                return
        committing = False
        heads: dict[Partition, int] = {}
        results: list[Any] = []
        try:
            self._synchronous(full=any(not isinstance(op, Commit) for op, _, _ in batch))
            self._db.execute("BEGIN IMMEDIATE")
            for operation, _, _ in batch:
                results.append(self._write(operation, heads))
            committing = True
            self._db.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - every failure must be answered, whatever it is
            self._failed(batch, error, committing=committing)
            return
        self.counters.transactions += 1
        self._answer(batch, None, results, heads)

    def _synchronous(self, *, full: bool) -> None:
        if full != self._full_sync:
            self._db.execute(f"PRAGMA synchronous={'FULL' if full else 'NORMAL'}")
            self._full_sync = full

    def _write(self, operation: Operation, heads: dict[Partition, int]) -> list[Position] | None:
        match operation:
            case Append(topic, topic_id, partition, rows, _):
                first = heads.get((topic, partition))
                if first is None:
                    first = self._head(topic_id, partition)
                self._db.executemany(
                    "INSERT INTO log(topic, part, off, ts, k, v, h) VALUES (?,?,?,?,?,?,?)",
                    [(topic_id, partition, first + n, *row) for n, row in enumerate(rows)],
                )
                self._db.execute(
                    "INSERT INTO heads VALUES (?1,?2,?3) ON CONFLICT DO UPDATE SET next=?3",
                    (topic_id, partition, first + len(rows)),
                )
                heads[topic, partition] = first + len(rows)
                self.counters.records += len(rows)
                return [Position(topic, partition, first + n) for n in range(len(rows))]
            case Commit(group, offsets):
                self._db.executemany(
                    "INSERT INTO commits VALUES (?,?,?,?) ON CONFLICT DO UPDATE SET off=excluded.off",
                    [(group, topic, partition, offset) for (topic, partition), offset in offsets.items()],
                )
                self.counters.commits += 1
            case Statements(statements):
                for sql, bindings in statements:
                    self._db.execute(sql, bindings)
        return None

    def _head(self, topic_id: int, partition: int) -> int:
        row = self._db.execute("SELECT next FROM heads WHERE topic=? AND part=?", (topic_id, partition)).fetchone()
        return int(row[0]) if row else 0

    def _turn_away(self, batch: list[Waiting]) -> list[Waiting]:
        away = [item for item in batch if _can_wait(item[0])]
        self.counters.refused += len(away)
        self._answer(
            away, DiskReserve("the disk is nearly full: only readings and alarms are still taken. Free some space.")
        )
        return [item for item in batch if not _can_wait(item[0])]

    def _failed(self, batch: list[Waiting], error: Exception, *, committing: bool) -> None:
        """A full disk shows at COMMIT and leaves nothing behind; any other I/O error leaves doubt, and doubt ends the
        process.
        """
        doubt = isinstance(error, apsw.IOError | apsw.CorruptError) or (
            committing and not isinstance(error, apsw.FullError)
        )
        try:
            if not self._db.get_autocommit():
                self._db.execute("ROLLBACK")
        except apsw.Error:
            doubt = True
        if doubt:
            self.broken = error
            self._answer(batch, LogOutcomeUnknown(f"the disk failed while writing: {error!r}"))
            self._on_fatal(error)
            return
        self.counters.refused += len(batch)
        full = isinstance(error, apsw.FullError)
        why = "the disk is full: nothing was written. Free some space." if full else f"nothing was written: {error!r}"
        self._answer(batch, DiskReserve(why) if full else LogRefused(why))

    def _answer(
        self,
        batch: list[Waiting],
        error: StreamError | None,
        results: list[Any] | None = None,
        heads: dict[Partition, int] | None = None,
    ) -> None:
        answers: dict[asyncio.AbstractEventLoop, Answer] = {}
        for number, (_, loop, future) in enumerate(batch):
            result = results[number] if results is not None else None
            answers.setdefault(loop, []).append((future, result, error))
        self._done(answers, heads or {})


def _can_wait(operation: Operation) -> bool:
    """Whether it is turned away while the disk is nearly full."""
    return isinstance(operation, Append) and not operation.essential
