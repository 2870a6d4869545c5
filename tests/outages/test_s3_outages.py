"""The archive's bucket away, busy, slow, frozen, closed or spoiled, and whoever works on it killed: the log keeps
everything, nobody else waits, what is damaged is named, and in the end the archive gives every record back.
"""

import asyncio
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from iv3.assembly.running import troubles
from schemas.envelope import Event, make
from schemas.facts import GlucoseRead
from schemas.model import at_ms
from streams.adapters.archives.s3.archive import S3Archive
from streams.adapters.archives.s3.client import Patience
from streams.adapters.logs.sqlite.log import SqliteLog
from streams.adapters.series.sqlite.series import SqliteSeries
from streams.archive.merge import merge
from streams.archive.restore import restore
from streams.archive.verify import read_back
from streams.archive.writer import ArchiveWriter
from streams.clock import SystemClock
from streams.errors import ArchiveDamaged, ArchiveUnavailable
from streams.ports.log import append_events
from streams.roles.alerter import Alerter
from streams.roles.archiver import Archiver
from streams.roles.projector import Projector
from streams.runtime.role import Role
from streams.topics import ALERTS, ARCHIVED, JOURNAL
from tests.servers.s3 import KEY, REGION, SECRET, Bucket
from tests.servers.s3_faults import Fault, S3Faults
from tests.support.archiving import NOW, lived, logged, records_of
from tests.support.clock import SetClock
from tests.support.running import app_maker, running, until

T0 = 1_795_500_000_000
QUICK = Patience(connect_s=1.0, read_s=1.0, attempts=2, whole_s=5.0)
CYCLES = int(os.environ.get("IV3_TEST_CYCLES", "3"))
SEED = int(os.environ.get("IV3_TEST_SEED", "7"))


def reading(n: int, glucose: float = 110.0) -> Event:
    at = at_ms(T0 + n * 300_000)
    return make(
        GlucoseRead(glucose_mgdl=glucose, trend="Flat"), id=f"r{n}", source="t", subject="me", time=at, recordedtime=at
    )


class World:
    """One log, three roles on it, and time that is told."""

    def __init__(self, log: SqliteLog, folder: Path, archive: S3Archive) -> None:
        self.log, self.clock, self.count = log, SetClock(T0), 0
        app = app_maker(log)
        self.series = SqliteSeries(folder / "series.db", log.log_id)
        self.archiver = Archiver(log, self.clock, app, archive, flush_s=0.02)
        self.alerter = Alerter(log, self.clock, app)
        self.projector = Projector(log, self.clock, app, lambda: self.series)

    @property
    def others(self) -> list[Role]:
        return [self.alerter, self.projector]

    @asynccontextmanager
    async def alive(self) -> AsyncIterator[None]:
        async with running(self.archiver, *self.others):
            yield
        await self.series.close()

    async def live(self, readings: int, glucose: float = 110.0) -> None:
        """Readings come, and the others handle them."""
        self.clock.set(T0 + (self.count + readings) * 300_000)
        await append_events(self.log, JOURNAL, [reading(self.count + n, glucose) for n in range(readings)])
        self.count += readings
        await until(lambda: all(role.lag() == 0 for role in self.others))

    async def archived(self, within_s: float = 60.0) -> None:
        """Wait until the archive has everything."""
        await until(lambda: not self.archiver.trouble and self.archiver.waiting() == 0, within_s)

    async def live_unarchived(self, rounds: int = 6) -> None:
        """Readings come and are handled while the archive still waits for its server."""
        for _ in range(rounds):
            await self.live(3)
            assert self.archiver.waiting(), "the others were as late as the archive"


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.roles.archiver._FIRST_RETRY_S", 0.05)
    monkeypatch.setattr("streams.roles.archiver._LONGEST_RETRY_S", 0.5)


@pytest.fixture
async def proxy(s3: Bucket) -> AsyncIterator[S3Faults]:
    async with S3Faults(s3.server.port) as between:
        yield between


async def test_a_bucket_that_is_away_for_three_days_costs_nothing_but_the_wait(
    s3: Bucket, log: SqliteLog, tmp_path: Path
) -> None:
    archive = S3Archive(s3.settings(), QUICK)
    world = World(log, tmp_path, archive)
    async with world.alive():
        await world.live(12)
        await world.archived()
        s3.server.kill()
        for hour in range(72):
            await world.live(12, 60.0 if hour == 5 else 110.0)
            if hour == 1:
                await until(lambda: bool(world.archiver.trouble))
            if hour == 3:
                assert world.archiver.is_behind()
                assert any(
                    "archive could not be brought up to date" in said for said in troubles(log, [world.archiver])
                )
        assert "refuses connections" in world.archiver.trouble
        assert world.archiver.progress.restarts == 0
        assert any(head for (topic, _), head in log.heads.items() if topic == ALERTS), "the low was decided meanwhile"
        s3.server.start()
        await world.archived()
        assert not troubles(log, [world.archiver])
    assert (await read_back(archive, log.log_id)).problems == []
    assert await records_of(archive, log) == {at: held for at, held in (await logged(log)).items() if at[0] in ARCHIVED}
    await restore(archive, SqliteLog, tmp_path / "new")


@pytest.mark.parametrize("fault", [Fault(busy=True), Fault(delay_s=0.4, bytes_per_s=3_000), Fault(silent=True)])
async def test_a_bucket_that_is_busy_slow_or_silent_holds_up_nobody_else(
    s3: Bucket, proxy: S3Faults, log: SqliteLog, tmp_path: Path, fault: Fault
) -> None:
    archive = S3Archive(s3.settings(endpoint=proxy.endpoint), QUICK)
    world = World(log, tmp_path, archive)
    async with world.alive():
        await world.live(12)
        await world.archived()
        proxy.fault = fault
        await world.live_unarchived()
        if not fault.bytes_per_s:
            await until(lambda: "answer" in world.archiver.trouble)
        proxy.fault = Fault()
        await world.archived()
    assert (await read_back(archive, log.log_id)).problems == []


async def test_a_server_that_is_frozen_holds_up_neither_the_others_nor_a_stop(
    s3: Bucket, log: SqliteLog, tmp_path: Path
) -> None:
    archive = S3Archive(s3.settings(), QUICK)
    world = World(log, tmp_path, archive)
    async with world.alive():
        await world.live(12)
        await world.archived()
        s3.server.freeze()
        await world.live_unarchived()
    # It has stopped, and the server never answered: the last flush was waited for no longer than its limit.
    s3.server.thaw()
    writer = ArchiveWriter(log, archive, SystemClock())
    await writer.catch_up()
    assert (await read_back(archive, log.log_id)).problems == []


async def test_a_key_that_was_revoked_is_named_and_the_new_one_goes_on(
    s3: Bucket, log: SqliteLog, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good = S3Archive(s3.settings(), QUICK)
    await log.append(JOURNAL, "me", [b"{}"])
    await ArchiveWriter(log, good, SystemClock()).catch_up()
    bad = S3Archive(s3.settings(secret=SecretStr("the-old-secret")), QUICK)
    world = World(log, tmp_path, bad)
    await log.append(JOURNAL, "me", [b"{}"])
    async with running(world.archiver):
        await until(lambda: "s3.secret" in world.archiver.trouble)
        await asyncio.sleep(0.5)
    await world.series.close()
    assert len([r for r in caplog.records if "not kept up" in r.message]) == 1, "once, not at every try"
    for secret in ("the-old-secret", SECRET, KEY):
        assert secret not in caplog.text
    again = Archiver(log, SystemClock(), app_maker(log), good, flush_s=0.02)
    async with running(again):
        await until(lambda: again.archived_ms > 0 and again.waiting() == 0)
    report = await read_back(good, log.log_id)
    assert (report.problems, report.records) == ([], 2)


async def test_a_server_that_is_killed_at_work_has_what_it_answered(s3: Bucket, log: SqliteLog, tmp_path: Path) -> None:
    archive = S3Archive(s3.settings(), QUICK)
    world, rnd = World(log, tmp_path, archive), random.Random(SEED)
    async with world.alive():
        for _ in range(CYCLES):
            for _ in range(5):
                await world.live(2)
                await asyncio.sleep(rnd.uniform(0, 0.05))
            s3.server.kill()
            await world.live(2)
            s3.server.start()
        await world.archived()
    assert (await read_back(archive, log.log_id)).problems == []


# -- damage on the server's disk -------------------------------------------------------------------


def _flip(path: Path, _: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 8
    path.write_bytes(bytes(data))


def _cut(path: Path, _: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def _lose(path: Path, _: Path) -> None:
    path.unlink()


def _swap(path: Path, other: Path) -> None:
    mine, theirs = path.read_bytes(), other.read_bytes()
    path.write_bytes(theirs)
    other.write_bytes(mine)


@pytest.mark.parametrize("harm", [_flip, _cut, _lose, _swap])
@pytest.mark.parametrize("merged", [False, True])
async def test_damage_on_the_servers_disk_is_named_and_nothing_is_restored(
    s3: Bucket, log: SqliteLog, tmp_path: Path, merged: bool, harm: Callable[[Path, Path], None]
) -> None:
    archive = S3Archive(s3.settings())
    await lived(log, archive)
    if merged:
        await merge(archive, log.log_id, NOW)
    keys = await archive.list(f"v1/{log.log_id}/{JOURNAL}/")
    for kind in (".jsonl.zst", ".manifest.json"):
        these = [key for key in keys if key.endswith(kind)]
        victim, other = s3.file(these[1]), s3.file(these[2])
        before = victim.read_bytes(), other.read_bytes()
        attributes = {name: os.getxattr(victim, name) for name in os.listxattr(victim)}
        harm(victim, other)
        report = await read_back(archive, log.log_id)
        pair = (
            these[1].rpartition("/")[0] + "/" + these[1].rpartition("/")[2][:20]
        )  # which of the two was changed nobody can say
        hole = f"records {int(pair[-20:])} to"
        assert any(pair in problem or hole in problem for problem in report.problems), report
        with pytest.raises(ArchiveDamaged, match="nothing was restored"):
            await restore(archive, SqliteLog, tmp_path / "new")
        assert not (tmp_path / "new" / "log.db").exists()
        victim.write_bytes(before[0])
        other.write_bytes(before[1])
        for name, value in attributes.items():
            os.setxattr(victim, name, value)
        assert (await read_back(archive, log.log_id)).problems == []


@pytest.mark.parametrize("merged", [False, True])
async def test_an_object_that_is_there_twice_is_named(s3: Bucket, log: SqliteLog, merged: bool) -> None:
    archive = S3Archive(s3.settings())
    await lived(log, archive)
    if merged:
        await merge(archive, log.log_id, NOW)
    folder = f"v1/{log.log_id}/{JOURNAL}/00003/"
    source = next(key for key in await archive.list(folder) if key.endswith(".zst"))
    copy = source.replace("00000000000000000000", f"{99:020d}")
    await archive.replace(copy, await archive.get(source) or b"")
    report = await read_back(archive, log.log_id)
    assert any(copy in problem for problem in report.problems)


# -- killed ----------------------------------------------------------------------------------------


def begun(what: str, said: dict[str, Any]) -> "subprocess.Popen[str]":
    """The process, about to start its work."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.archive_process", what],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(said) + "\n")
    process.stdin.flush()
    assert process.stdout.readline() == "begun\n"
    return process


def kill_after(process: "subprocess.Popen[str]", seconds: float) -> bool:
    """Whether it was still at work."""
    time.sleep(seconds)
    process.kill()
    said, _ = process.communicate(timeout=10)
    return "done" not in said


def told(s3: Bucket, **more: Any) -> dict[str, Any]:
    return {
        "s3": {"endpoint": s3.server.endpoint, "bucket": s3.name, "key": KEY, "secret": SECRET, "region": REGION},
        **more,
    }


@pytest.mark.long
@pytest.mark.timeout(900)
async def test_an_archiver_that_is_killed_leaves_an_archive_that_goes_on(s3: Bucket, tmp_path: Path) -> None:
    archive, rnd, path = S3Archive(s3.settings()), random.Random(SEED), tmp_path / "log.db"
    SqliteLog(path).close_now()
    killed = 0
    for _ in range(max(6, CYCLES)):
        killed += kill_after(begun("archive", told(s3, log=str(path))), rnd.uniform(0.05, 0.8))
        log = SqliteLog(path)
        problems = (await read_back(archive, log.log_id)).problems
        assert not [problem for problem in problems if not problem.endswith("head.json is missing")], problems
        await log.close()
    assert killed > 3
    log = SqliteLog(path)
    await ArchiveWriter(log, archive, SystemClock()).catch_up()
    assert await records_of(archive, log) == await logged(log)
    await restore(archive, SqliteLog, tmp_path / "new")
    fresh = SqliteLog(tmp_path / "new" / "log.db")
    assert await logged(fresh) == await logged(log)
    await fresh.close()
    await log.close()


@pytest.mark.long
@pytest.mark.timeout(900)
async def test_a_merge_that_is_killed_is_finished_by_the_next(s3: Bucket, log: SqliteLog) -> None:
    archive, rnd, killed = S3Archive(s3.settings()), random.Random(SEED), 0
    await lived(log, archive, days=8, each=6)
    want, now = await logged(log), NOW + 10 * 86_400_000
    small = len(await archive.list(f"v1/{log.log_id}/"))
    for _ in range(max(6, CYCLES)):
        killed += kill_after(begun("merge", told(s3, log_id=log.log_id, now_ms=now)), rnd.uniform(0.02, 0.25))
        assert await records_of(archive, log) == want
        if killed > 2 and len(await archive.list(f"v1/{log.log_id}/")) < small // 2:
            break
    assert killed
    assert (await merge(archive, log.log_id, now)).problems == []
    assert await records_of(archive, log) == want
    assert len(await archive.list(f"v1/{log.log_id}/")) == 2 * 2 * 8 + 1
    assert (await read_back(archive, log.log_id)).leftovers == 0


@pytest.mark.long
@pytest.mark.timeout(900)
async def test_a_restore_that_is_killed_leaves_the_whole_log_or_none(
    s3: Bucket, log: SqliteLog, tmp_path: Path
) -> None:
    archive, rnd, target, killed = S3Archive(s3.settings()), random.Random(SEED), tmp_path / "new", 0
    await lived(log, archive, days=10, each=6)
    want = await logged(log)
    for _ in range(max(6, CYCLES)):
        killed += kill_after(begun("restore", told(s3, target=str(target))), rnd.uniform(0.0, 0.4))
        if (target / "log.db").exists():
            fresh = SqliteLog(target / "log.db")
            assert await logged(fresh) == want
            await fresh.close()
            shutil.rmtree(target)
    assert killed
    if not (target / "log.db").exists():
        await restore(archive, SqliteLog, target)
    fresh = SqliteLog(target / "log.db")
    assert await logged(fresh) == want
    await fresh.close()
    assert not (target / ".restoring").exists()


@pytest.mark.long
@pytest.mark.timeout(300)
async def test_a_restore_whose_way_is_cut_again_and_again_is_whole_or_refused(
    s3: Bucket, proxy: S3Faults, log: SqliteLog, tmp_path: Path
) -> None:
    await lived(log, S3Archive(s3.settings()))
    archive, rnd, refused = S3Archive(s3.settings(endpoint=proxy.endpoint), QUICK), random.Random(SEED), 0
    for n in range(max(10, CYCLES)):
        proxy.fault = Fault(cut_answers=rnd.choice((0, 1, 3)), delay_s=0.001)
        target = tmp_path / f"new-{n}"
        try:
            await restore(archive, SqliteLog, target)
        except ArchiveUnavailable:
            refused += 1
            assert not (target / "log.db").exists()
            continue
        fresh = SqliteLog(target / "log.db")
        assert await logged(fresh) == await logged(log)
        await fresh.close()
    assert refused > 0
