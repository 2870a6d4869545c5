"""Power loss, simulated under SQLite: every write and sync of the log's writer is recorded, and the disk is rebuilt as
it may look after a cut at random points: what was synced is there, what was not is there, gone or torn. No acknowledged
record may be missing.
"""

import asyncio
import os
import random
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import apsw
import pytest

from streams.adapters.logs.sqlite.log import _SCHEMA
from streams.adapters.logs.sqlite.writer import Append, Commit, Writer
from streams.storage.sqlite import connect
from streams.topics import JOURNAL

POINTS = int(os.environ.get("IV3_TEST_POWER_POINTS", "500"))
APPENDS = 300
SECTOR = 512
RECORDED: list[tuple[Any, ...]] = []


class _File(apsw.VFSFile):  # type: ignore[misc] # apsw is untyped here
    def __init__(self, base: str, name: Any, flags: Any) -> None:
        self._name = Path(name.filename() if hasattr(name, "filename") else str(name)).name if name else "temporary"
        super().__init__(base, name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - SQLite's name
        RECORDED.append(("write", self._name, offset, bytes(data)))
        super().xWrite(data, offset)

    def xTruncate(self, size: int) -> None:  # noqa: N802 - SQLite's name
        RECORDED.append(("truncate", self._name, size))
        super().xTruncate(size)

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's name
        RECORDED.append(("sync", self._name))
        super().xSync(flags)


class _Recorder(apsw.VFS):  # type: ignore[misc] # apsw is untyped here
    def __init__(self) -> None:
        super().__init__("recorder", "")

    def xOpen(self, name: Any, flags: Any) -> _File:  # noqa: N802 - SQLite's name
        return _File("", name, flags)

    def xDelete(self, name: str, sync: bool) -> None:  # noqa: N802 - SQLite's name
        RECORDED.append(("delete", Path(name).name))
        super().xDelete(name, sync)


async def record(folder: Path, synchronous: str) -> list[tuple[Any, ...]]:
    """The operations of 300 appends with offset commits between them, and when each was acknowledged."""
    recorder = _Recorder()
    RECORDED.clear()
    plain = apsw.Connection(str(folder / "log.db"), vfs="recorder")
    plain.execute("PRAGMA locking_mode=EXCLUSIVE")  # no shared memory, which a recording VFS cannot offer
    for pragma in ("journal_mode=WAL", f"synchronous={synchronous}", "wal_autocheckpoint=40"):
        plain.execute(f"PRAGMA {pragma}")
    plain.execute(_SCHEMA)
    fatal: list[BaseException] = []

    def answered(answers: Any, _heads: Any) -> None:
        for loop, answer in answers.items():
            loop.call_soon_threadsafe(lambda a=answer: [future.set_result(result) for future, result, _ in a])

    writer = Writer(plain, answered, fatal.append, lambda: False)
    if synchronous != "FULL":
        writer._synchronous = lambda **_: None  # type: ignore[method-assign] # the control: what would happen without
    for n in range(APPENDS):
        waits = [writer.submit(Append(JOURNAL, 1, 0, [(n, b"me", b"%06d" % n + b"x" * 180, None)], essential=True))]
        if n % 5 == 0:
            waits.append(writer.submit(Commit("group", {(JOURNAL, 0): n})))
        await asyncio.gather(*waits)
        RECORDED.append(("acknowledged", n))
    operations = list(RECORDED)
    writer.stop()
    plain.close()
    del recorder
    assert not fatal
    return operations


def rebuild(operations: list[tuple[Any, ...]], cut: int, rnd: random.Random, folder: Path) -> int:
    """The disk after a cut; returns the last acknowledged append."""
    files: dict[str, tuple[bytearray, list[tuple[Any, ...]]]] = {}
    last = -1
    for operation in operations[:cut]:
        if operation[0] == "acknowledged":
            last = operation[1]
            continue
        if operation[0] == "delete":
            files.pop(operation[1], None)
            continue
        durable, waiting = files.setdefault(operation[1], (bytearray(), []))
        if operation[0] == "sync":
            for write in waiting:
                _apply(durable, write)
            waiting.clear()
        else:
            waiting.append(operation)
    for name, (durable, waiting) in files.items():
        for write in waiting:
            fate = rnd.random()
            if fate < 0.4:
                continue
            if write[0] == "write" and fate < 0.6 and len(write[3]) > SECTOR:
                torn = SECTOR * rnd.randrange(1, len(write[3]) // SECTOR + 1)
                write = ("write", name, write[2], write[3][:torn])  # noqa: PLW2901 - a torn copy
            _apply(durable, write)
        (folder / name).write_bytes(durable)
    return last


def _apply(durable: bytearray, operation: tuple[Any, ...]) -> None:
    if operation[0] == "truncate":
        del durable[operation[2] :]
        durable.extend(bytes(operation[2] - len(durable)))
        return
    _, _, offset, data = operation
    if len(durable) < offset:
        durable.extend(bytes(offset - len(durable)))
    durable[offset : offset + len(data)] = data


def judge(operations: list[tuple[Any, ...]], points: int, folder: Path) -> Counter[str]:
    """What the cuts did: lost, corrupt, with a hole."""
    rnd = random.Random(7)
    found: Counter[str] = Counter(points=points)
    begin = next(n for n, operation in enumerate(operations) if operation == ("acknowledged", 0))
    for point in range(points):
        place = folder / f"p{point}"
        place.mkdir()
        last = rebuild(operations, rnd.randrange(begin, len(operations) + 1), rnd, place)
        try:
            after = connect(place / "log.db")
            if after.execute("PRAGMA integrity_check").fetchone() != ("ok",):
                found["corrupt"] += 1
            rows = after.execute("SELECT off, substr(v, 1, 6) FROM log ORDER BY off").fetchall()
            after.close()
        except apsw.Error:
            found["corrupt"] += 1
            continue
        finally:
            shutil.rmtree(place)
        if [(off, int(value)) for off, value in rows] != [(n, n) for n in range(len(rows))]:
            found["hole"] += 1
        found["lost"] += len(rows) < last + 1
    return found


@pytest.mark.chaos
@pytest.mark.timeout(600)
async def test_no_accepted_event_is_lost_when_the_power_goes(tmp_path: Path) -> None:
    operations = await record(tmp_path, "FULL")
    found = judge(operations, POINTS, tmp_path)
    print(f"\npower cuts: {dict(found)}")
    assert (found["lost"], found["corrupt"], found["hole"]) == (0, 0, 0)


async def test_the_simulation_sees_the_loss_that_a_lazier_setting_would_cause(tmp_path: Path) -> None:
    operations = await record(tmp_path, "NORMAL")
    assert judge(operations, 60, tmp_path)["lost"] > 0
