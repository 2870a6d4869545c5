"""Small segments become one per day: the same records, the same chain, whatever stops a merge and whoever else is at
work.
"""

import asyncio
import json
import random
import shutil
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from processors.archive import format as segments
from processors.archive.compaction import DAY_MS, delay_ms
from streams.adapters.archives.folder import FolderArchive
from streams.adapters.archives.s3.archive import S3Archive
from streams.adapters.logs.sqlite.log import SqliteLog
from streams.archive.inventory import take_inventory
from streams.archive.merge import MergeReport, merge
from streams.archive.restore import restore
from streams.archive.verify import read_back
from streams.archive.writer import ArchiveWriter
from streams.clock import SystemClock
from streams.errors import ArchiveDamaged
from streams.topics import FORECASTS, JOURNAL
from tests.support.archiving import NOW, T0, lived, logged, put, records_of


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.servers)])
def archive(request: Any, tmp_path: Path) -> Any:
    if request.param == "folder":
        return FolderArchive(tmp_path / "archive")
    return S3Archive(request.getfixturevalue("s3").settings())


async def everything(archive: Any, log: SqliteLog) -> dict[str, bytes]:
    return {key: await archive.get(key) for key in await archive.list(f"v1/{log.log_id}/")}


async def test_a_day_becomes_one_segment_and_nothing_else_changes(log: SqliteLog, archive: Any, tmp_path: Path) -> None:
    await lived(log, archive)
    before = await everything(archive, log)
    report = await merge(archive, log.log_id, NOW)
    assert (report.days, report.merged, report.problems) == (6, 36, [])
    after = await everything(archive, log)
    assert len(before) == 2 * 36 + 1
    assert len(after) == 2 * 6 + 1
    assert after[segments.head_key(log.log_id)] == before[segments.head_key(log.log_id)]
    assert await records_of(archive, log) == await logged(log)
    again = await merge(archive, log.log_id, NOW)
    assert (again.days, again.deleted) == (0, 0)
    assert await everything(archive, log) == after
    await restore(archive, SqliteLog, tmp_path / "new")
    fresh = SqliteLog(tmp_path / "new" / "log.db")
    assert await logged(fresh) == await logged(log)
    await fresh.close()


async def test_a_day_that_is_not_over_stays_small_and_the_writer_goes_on(log: SqliteLog, archive: Any) -> None:
    writer = await lived(log, archive)
    soon = T0 + 2 * DAY_MS + 21 * 3_600_000
    assert (await merge(archive, log.log_id, soon)).days == 4
    assert (await merge(archive, log.log_id, T0 + 3 * DAY_MS + delay_ms(log.log_id) - 1)).days == 0
    await put(log, JOURNAL, 3, soon, b"later")
    await writer.catch_up()
    await put(log, JOURNAL, 3, soon + 1, b"later still")
    await ArchiveWriter(log, archive, SystemClock()).catch_up()
    assert await records_of(archive, log) == await logged(log)
    assert (await merge(archive, log.log_id, T0 + 3 * DAY_MS + delay_ms(log.log_id))).days == 2
    assert await records_of(archive, log) == await logged(log)
    await put(log, JOURNAL, 3, NOW, b"and the next day")
    await ArchiveWriter(log, archive, SystemClock()).catch_up()
    await writer.catch_up()
    assert await records_of(archive, log) == await logged(log)


async def test_a_day_that_a_clock_wrote_in_the_future_keeps_nobody_small(log: SqliteLog, archive: Any) -> None:
    writer = ArchiveWriter(log, archive, SystemClock())
    for stamp in (T0, T0 + 1000, T0 + 3_650 * DAY_MS, T0 + 2000, T0 + 3000, T0 + DAY_MS):
        await put(log, JOURNAL, 3, stamp, b"x")
        await writer.catch_up()
    report = await merge(archive, log.log_id, NOW)
    assert (report.days, report.merged) == (4, 6)
    assert await records_of(archive, log) == await logged(log)


@pytest.mark.skipif(not (shutil.which("zstd") and shutil.which("jq")), reason="zstd and jq are not installed")
async def test_a_merged_archive_is_read_with_zstd_and_jq_alone(log: SqliteLog, tmp_path: Path) -> None:
    archive = FolderArchive(tmp_path / "archive")
    await lived(log, archive)
    await merge(archive, log.log_id, T0 + 2 * DAY_MS + delay_ms(log.log_id))  # the third day is not over
    said = subprocess.run(
        f"zstd -dc {tmp_path}/archive/v1/*/iv3.journal/*/*.jsonl.zst | jq -c '[.offset, .value]'",
        shell=True,
        capture_output=True,
        text=True,
        check=True,
    )
    rows = [json.loads(line) for line in said.stdout.splitlines()]
    assert sorted(row[0] for row in rows) == list(range(36))
    assert rows[0][1] == '{"n":0}'


# -- stopped anywhere ------------------------------------------------------------------------------


class Stopped(Exception):
    """As if the process had been killed."""


class Failing:
    """An archive whose `at`-th change is the last one: `after` says whether it still arrives."""

    def __init__(self, archive: Any, at: int, *, after: bool) -> None:
        self.archive, self.at, self.after, self.changes = archive, at, after, 0

    async def _change(self, work: Callable[[], Awaitable[Any]]) -> Any:
        self.changes += 1
        if self.changes > self.at:
            raise Stopped
        if self.changes == self.at and not self.after:
            raise Stopped
        result = await work()
        if self.changes == self.at:
            raise Stopped
        return result

    async def put_if_absent(self, key: str, data: bytes) -> bool:
        return bool(await self._change(lambda: self.archive.put_if_absent(key, data)))

    async def replace(self, key: str, data: bytes) -> None:
        await self._change(lambda: self.archive.replace(key, data))

    async def delete(self, key: str) -> None:
        await self._change(lambda: self.archive.delete(key))

    async def get(self, key: str) -> Any:
        return await self.archive.get(key)

    async def list(self, prefix: str) -> Any:
        return await self.archive.list(prefix)


@pytest.mark.parametrize("after", [False, True])
async def test_a_merge_that_is_stopped_at_any_change_costs_nothing(log: SqliteLog, tmp_path: Path, after: bool) -> None:
    await lived(log, FolderArchive(tmp_path / "archive"), days=2, each=3)
    want, at = await logged(log), 0
    while True:
        at += 1
        place = tmp_path / f"copy-{at}-{after}"
        shutil.copytree(tmp_path / "archive", place)
        archive = FolderArchive(place)
        try:
            await merge(Failing(archive, at, after=after), log.log_id, NOW)
        except Stopped:
            pass
        else:
            break
        assert await records_of(archive, log) == want
        await ArchiveWriter(log, archive, SystemClock()).catch_up()
        report = await merge(archive, log.log_id, NOW)
        assert report.problems == []
        assert await records_of(archive, log) == want
        assert len(await archive.list("v1/")) == 2 * 4 + 1, "nothing is left over"
        shutil.rmtree(place)
    assert at > 4 * 8


async def test_what_is_left_over_is_no_damage_but_is_told(log: SqliteLog, archive: Any) -> None:
    await lived(log, archive, days=1)
    before = await everything(archive, log)
    await merge(archive, log.log_id, NOW)
    for key in [key for key in before if JOURNAL in key][:3]:
        await archive.put_if_absent(key, before[key])
    report = await read_back(archive, log.log_id)
    assert (report.problems, report.leftovers) == ([], 3)
    assert (await merge(archive, log.log_id, NOW)).deleted == 3
    assert (await read_back(archive, log.log_id)).leftovers == 0


async def test_nothing_is_deleted_for_a_day_that_is_not_whole(log: SqliteLog, archive: Any) -> None:
    await lived(log, archive, days=1)
    before = await everything(archive, log)
    await merge(archive, log.log_id, NOW)
    (day,) = [key for key in await archive.list(f"v1/{log.log_id}/{JOURNAL}/") if key.endswith(".zst")]
    for key, data in before.items():
        await archive.put_if_absent(key, data)
    await archive.replace(day, (await archive.get(day))[:-1])
    report = await merge(archive, log.log_id, NOW)
    assert any(day in problem for problem in report.problems)
    assert {key for key in before if JOURNAL in key} < set(await archive.list("v1/"))


async def test_what_is_damaged_is_not_merged(log: SqliteLog, archive: Any) -> None:
    await lived(log, archive, days=2)
    victim = next(key for key in await archive.list(f"v1/{log.log_id}/{JOURNAL}/") if key.endswith(".zst"))
    good = await archive.get(victim)
    await archive.replace(victim, good[:-1] + bytes([good[-1] ^ 1]))
    report = await merge(archive, log.log_id, NOW)
    assert any(victim in problem for problem in report.problems)
    assert len([key for key in await archive.list(f"v1/{log.log_id}/{JOURNAL}/") if key.endswith(".zst")]) == 12
    await archive.replace(victim, good)
    assert (await merge(archive, log.log_id, NOW)).problems == []
    assert await records_of(archive, log) == await logged(log)


# -- others at work --------------------------------------------------------------------------------


async def test_two_mergers_and_a_writer_at_once_make_one_archive(log: SqliteLog, archive: Any) -> None:
    writer = await lived(log, archive)

    async def write() -> None:
        for n in range(10):
            await put(log, JOURNAL, 3, NOW + n, b"new")
            await writer.catch_up()

    reports: list[Any] = await asyncio.gather(
        merge(archive, log.log_id, NOW), merge(archive, log.log_id, NOW), write(), merge(archive, log.log_id, NOW)
    )
    assert [report.problems for report in reports if isinstance(report, MergeReport)] == [[], [], []]
    await merge(archive, log.log_id, NOW)
    assert await records_of(archive, log) == await logged(log)
    assert (await read_back(archive, log.log_id)).leftovers == 0


async def test_mergers_whose_clocks_disagree_make_one_archive(log: SqliteLog, archive: Any) -> None:
    await lived(log, archive)
    early, late = T0 + DAY_MS + delay_ms(log.log_id), NOW
    await asyncio.gather(*(merge(archive, log.log_id, now) for now in (late, early, late, early)))
    assert (await merge(archive, log.log_id, NOW)).problems == []
    assert await records_of(archive, log) == await logged(log)


async def test_an_archive_is_read_and_restored_while_it_is_merged(log: SqliteLog, archive: Any, tmp_path: Path) -> None:
    await lived(log, archive)
    merging = asyncio.ensure_future(merge(archive, log.log_id, NOW))
    report, _ = await asyncio.gather(read_back(archive, log.log_id), restore(archive, SqliteLog, tmp_path / "new"))
    await merging
    assert report.problems == []
    fresh = SqliteLog(tmp_path / "new" / "log.db")
    assert await logged(fresh) == await logged(log)
    await fresh.close()


async def test_a_writer_that_slept_while_others_archived_and_merged_does_no_harm(log: SqliteLog, archive: Any) -> None:
    sleeper = ArchiveWriter(log, archive, SystemClock())
    await put(log, JOURNAL, 3, T0, b"x")
    await sleeper.catch_up()
    await lived(log, archive)
    await merge(archive, log.log_id, NOW)
    await put(log, JOURNAL, 3, NOW, b"y")
    sleeper._head = await archive.get(segments.head_key(log.log_id))  # asleep between its look and its write
    await sleeper.catch_up()
    assert await archive.get(segments.segment_key(log.log_id, JOURNAL, 3, 1)) is not None, (
        "it wrote inside a merged day"
    )
    writer = ArchiveWriter(log, archive, SystemClock())
    await writer.catch_up()
    await merge(archive, log.log_id, NOW)
    report = await read_back(archive, log.log_id)
    assert (report.problems, report.leftovers) == ([], 2), "it holds more than the merged days do, so it stays"
    assert await records_of(archive, log) == await logged(log)
    await merge(archive, log.log_id, NOW + 2 * DAY_MS)
    await merge(archive, log.log_id, NOW + 2 * DAY_MS)
    report = await read_back(archive, log.log_id)
    assert (report.problems, report.leftovers) == ([], 0)
    assert await records_of(archive, log) == await logged(log)


# -- damage ----------------------------------------------------------------------------------------


async def merged(log: SqliteLog, archive: Any) -> list[str]:
    """Three merged days of one partition: their segments."""
    await lived(log, archive)
    await merge(archive, log.log_id, NOW)
    return [key for key in await archive.list(f"v1/{log.log_id}/{JOURNAL}/") if key.endswith(".zst")]


async def refused(archive: Any, log: SqliteLog, name: str, folder: Path) -> None:
    report = await read_back(archive, log.log_id)
    assert any(name in problem for problem in report.problems), (name, report.problems)
    with pytest.raises(ArchiveDamaged, match="nothing was restored"):
        await restore(archive, SqliteLog, folder)
    assert not (folder / "log.db").exists()


@pytest.mark.parametrize("which", [0, 1, 2])
async def test_whatever_is_damaged_in_a_merged_archive_is_named_and_nothing_is_restored(
    log: SqliteLog, archive: Any, tmp_path: Path, which: int
) -> None:
    keys = await merged(log, archive)
    key, other = keys[which], keys[which - 1]
    good, folder = await archive.get(key), tmp_path / "new"
    for bad in (good[:-9], good + b"x", b"", good[:50] + bytes([good[50] ^ 4]) + good[51:], await archive.get(other)):
        await archive.replace(key, bad)
        await refused(archive, log, key, folder)
    await archive.delete(key)
    await refused(archive, log, key, folder)
    await archive.replace(key, good)
    name = segments.day_manifest_key(log.log_id, JOURNAL, 3, which * 12)
    described = await archive.get(name)
    await archive.delete(name)
    await refused(archive, log, key if which < 2 else "its head says", folder)
    await archive.replace(name, await archive.get(segments.day_manifest_key(log.log_id, FORECASTS, 3, which * 6)))
    await refused(archive, log, name, folder)
    await archive.replace(name, described)
    assert (await read_back(archive, log.log_id)).problems == []


async def test_every_flipped_bit_of_a_manifest_or_the_head_is_seen(log: SqliteLog, tmp_path: Path) -> None:
    archive = FolderArchive(tmp_path / "archive")
    await merged(log, archive)
    await put(log, JOURNAL, 3, NOW, b"small")
    await ArchiveWriter(log, archive, SystemClock()).catch_up()
    rnd = random.Random(2)
    for key in await archive.list("v1/"):
        if not key.endswith(".json"):
            continue
        good = await archive.get(key) or b""
        for _ in range(40):
            at, bit = rnd.randrange(len(good)), 1 << rnd.randrange(8)
            await archive.replace(key, good[:at] + bytes([good[at] ^ bit]) + good[at + 1 :])
            assert (await take_inventory(archive, log.log_id)).problems or (
                await read_back(archive, log.log_id)
            ).problems, good[max(0, at - 20) : at + 20]
        await archive.replace(key, good)
