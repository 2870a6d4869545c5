"""The drill restores what the archive holds and finds what is not right; retention removes what is there twice, and
nothing else.
"""

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from processors.archive import format as segments
from processors.archive.compaction import DAY_MS
from processors.archive.format import ArchivedRecord
from streams.adapters.archives.folder import FolderArchive
from streams.adapters.archives.s3.archive import S3Archive
from streams.adapters.logs.sqlite.log import SqliteLog
from streams.archive.drill import DrillOutcome, drill, keep_outcome, read_outcome
from streams.archive.inventory import removal_key
from streams.archive.maintenance import Maintenance
from streams.archive.merge import merge
from streams.archive.restore import restore
from streams.archive.retention import plan, remove
from streams.archive.verify import read_back, the_log_id
from streams.archive.writer import ArchiveWriter
from streams.errors import ArchiveDamaged, ArchiveUnavailable, Transient
from streams.roles.archiver import Archiver
from streams.storage.files import FileLock
from streams.topics import FORECASTS, JOURNAL
from tests.support.clock import SetClock
from tests.support.running import app_maker, running, until

NOW = 1_795_478_400_000


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.servers)])
def archive(request: Any, tmp_path: Path) -> Any:
    if request.param == "folder":
        return FolderArchive(tmp_path / "archive")
    return S3Archive(request.getfixturevalue("s3").settings())


async def fill(log: SqliteLog, count: int = 30) -> None:
    for n in range(count):
        await log.append(JOURNAL if n % 2 else FORECASTS, f"p{n % 5}", [b'{"n":%d}' % n, b"\xff%d" % n])


async def archived(log: SqliteLog, archive: Any, now_ms: int = NOW) -> None:
    await ArchiveWriter(log, archive, SetClock(now_ms)).catch_up()


# -- the drill -------------------------------------------------------------------------------------


async def test_a_drill_finds_every_record_and_leaves_nothing(log: SqliteLog, archive: Any, tmp_path: Path) -> None:
    await fill(log)
    await archived(log, archive)
    await merge(archive, log.log_id, NOW + 5 * DAY_MS)
    await log.append(JOURNAL, "p1", [b"younger than the archive"])
    before = set(tmp_path.iterdir())
    outcome = await drill(log, archive, SqliteLog, tmp_path / ".drill", NOW)
    assert (outcome.ok, outcome.records, outcome.not_archived) == (True, 60, 1)
    assert {path.name for path in set(tmp_path.iterdir()) - before} <= {".drill.lock"}


async def test_a_drill_names_what_the_archive_lost(log: SqliteLog, archive: Any, tmp_path: Path) -> None:
    await fill(log)
    await archived(log, archive)
    key = next(key for key in await archive.list("v1/") if key.endswith(".zst"))
    good = await archive.get(key)
    await archive.replace(key, good[:-3])
    outcome = await drill(log, archive, SqliteLog, tmp_path / ".drill", NOW)
    assert not outcome.ok
    assert key in outcome.problem
    assert not (tmp_path / ".drill").exists()


async def test_a_drill_compares_bytes_not_counts(log: SqliteLog, archive: Any, tmp_path: Path) -> None:
    """An archive that is whole in itself, but not of this log."""
    await fill(log)
    other = SqliteLog(tmp_path / "other" / "log.db")
    for (topic, partition), head in log.heads.items():
        records = await log.read(topic, partition, 0, head)
        kept = [ArchivedRecord(r.offset, r.timestamp_ms, r.key, r.value) for r in records]
        if kept and topic == JOURNAL:
            kept[-1] = kept[-1]._replace(timestamp_ms=kept[-1].timestamp_ms + 1)
        if kept:
            await other.append_as_was(topic, partition, kept)
    other.log_id = log.log_id
    await archived(other, archive)
    await other.close()
    assert (await read_back(archive, log.log_id)).problems == []
    outcome = await drill(log, archive, SqliteLog, tmp_path / ".drill", NOW)
    assert "differs from the log, from offset" in outcome.problem


async def test_a_drill_without_room_says_so(
    log: SqliteLog, archive: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(log)
    await archived(log, archive)
    monkeypatch.setattr("streams.archive.drill.free_bytes", lambda _: 1)
    outcome = await drill(log, archive, SqliteLog, tmp_path / ".drill", NOW)
    assert "no room" in outcome.problem


async def test_two_drills_do_not_meet(log: SqliteLog, archive: Any, tmp_path: Path) -> None:
    await archived(log, archive)
    lock = FileLock(tmp_path / ".drill.lock")
    assert lock.try_acquire()
    with pytest.raises(Transient, match="at work"):
        await drill(log, archive, SqliteLog, tmp_path / ".drill", NOW)
    lock.release()


async def test_an_archive_that_is_away_is_no_outcome(log: SqliteLog, tmp_path: Path) -> None:
    archive = FolderArchive(tmp_path / "archive")
    await fill(log)
    await archived(log, archive)
    (tmp_path / "archive").rename(tmp_path / "away")
    with pytest.raises(ArchiveUnavailable):
        await drill(log, archive, SqliteLog, tmp_path / ".drill", NOW)


# -- when it is due --------------------------------------------------------------------------------


async def test_a_drill_comes_once_a_week_and_a_failed_one_after_a_day(
    log: SqliteLog, archive: Any, tmp_path: Path
) -> None:
    await fill(log)
    await archived(log, archive)
    clock = SetClock(NOW)
    upkeep = Maintenance(log, archive, clock, SqliteLog, tmp_path, drill_days=7, stamp_ms=clock.now_ms)
    await upkeep.round()
    assert upkeep.last_drill is None, "not in the first hour"
    clock.advance(3_600)
    await upkeep.round()
    assert upkeep.last_drill is not None
    assert upkeep.last_drill.ok
    first = upkeep.last_drill.at_ms
    clock.advance(6 * 86_400)
    await upkeep.round()
    assert upkeep.last_drill.at_ms == first
    assert not Maintenance(log, archive, clock, SqliteLog, tmp_path).is_drill_due(), "a new start knows of it"
    key = next(key for key in await archive.list("v1/") if key.endswith(".zst"))
    good = await archive.get(key)
    await archive.delete(key)
    clock.advance(86_400)
    await upkeep.round()
    assert key in upkeep.trouble()
    await archive.replace(key, good)
    clock.advance(86_400)
    await upkeep.round()
    assert upkeep.trouble() == ""
    assert not Maintenance(log, archive, clock, SqliteLog, tmp_path, drill_days=0).is_drill_due()


async def test_the_archiver_merges_and_drills_beside_its_work(
    log: SqliteLog, archive: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.roles.archiver.UPKEEP_S", 0.05)
    clock = SetClock(NOW)
    later = [0]
    upkeep = Maintenance(
        log,
        archive,
        clock,
        SqliteLog,
        tmp_path,
        stamp_ms=lambda: clock.now_ms() + 365 * DAY_MS + later[0],
    )
    role = Archiver(log, clock, app_maker(log), archive, flush_s=0.02, upkeep=upkeep)
    async with running(role):
        for _ in range(3):
            await fill(log, 4)
            await until(lambda: role.archived_ms > 0 and role.waiting() == 0)
        clock.advance(7_200)
        later[0] = DAY_MS
        await until(lambda: upkeep.last_drill is not None)
        await until(lambda: role.waiting() == 0)
    assert upkeep.last_drill is not None
    assert upkeep.last_drill.ok
    assert any(".day-" in key for key in await archive.list(f"v1/{log.log_id}/"))
    assert (await read_back(archive, log.log_id)).problems == []


async def test_a_mistake_in_the_upkeep_does_not_end_the_archiving(
    log: SqliteLog, archive: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.roles.archiver.UPKEEP_S", 0.02)
    upkeep, calls = Maintenance(log, archive, SetClock(NOW), SqliteLog, tmp_path), []

    async def wrong() -> None:
        calls.append(1)
        raise ZeroDivisionError

    monkeypatch.setattr(upkeep, "round", wrong)
    role = Archiver(log, SetClock(NOW), app_maker(log), archive, flush_s=0.02, upkeep=upkeep)
    async with running(role):
        await until(lambda: bool(calls))
        await fill(log, 10)
        await until(lambda: role.waiting() == 0)
        assert role.progress.restarts == 0


def test_what_was_kept_of_a_drill_is_read_again_or_not_at_all(tmp_path: Path) -> None:
    assert read_outcome(tmp_path) is None
    keep_outcome(tmp_path, DrillOutcome(NOW, "", 5))
    assert read_outcome(tmp_path) == DrillOutcome(NOW, "", 5)
    for spoiled in ("{", "[]", '{"at_ms": 1}', '{"at_ms": 1, "problem": "", "more": 2}'):
        (tmp_path / "drill.json").write_text(spoiled)
        assert read_outcome(tmp_path) is None


# -- retention -------------------------------------------------------------------------------------


async def succeeded(log: SqliteLog, archive: Any, tmp_path: Path, now_ms: int = NOW) -> SqliteLog:
    """The log was archived, restored elsewhere and lives on there; its archive is a log of its own."""
    await fill(log)
    await archived(log, archive, now_ms)
    await restore(archive, SqliteLog, tmp_path / "new")
    fresh = SqliteLog(tmp_path / "new" / "log.db")
    await fresh.append(JOURNAL, "p1", [b"and on it goes"])
    await archived(fresh, archive, now_ms + DAY_MS)
    return fresh


async def test_an_earlier_log_goes_once_the_one_in_use_has_it_all(log: SqliteLog, archive: Any, tmp_path: Path) -> None:
    fresh = await succeeded(log, archive, tmp_path)
    young = await plan(archive, fresh.log_id, 30, NOW + 29 * DAY_MS)
    assert "is kept for 30" in young.earlier[0].kept_because
    made = await plan(archive, fresh.log_id, 30, NOW + 31 * DAY_MS)
    (earlier,) = made.removable
    assert (earlier.log_id, earlier.records, earlier.lost) == (log.log_id, 60, [])
    kept = [key for key in await archive.list("v1/") if fresh.log_id in key]
    assert await remove(archive, made) == len(earlier.keys)
    assert await archive.list("v1/") == kept
    assert (await read_back(archive, fresh.log_id)).problems == []
    assert (await plan(archive, fresh.log_id, 30, NOW + 31 * DAY_MS)).earlier == []
    await fresh.close()


async def test_a_log_that_lived_on_is_not_taken_for_an_earlier_one(
    log: SqliteLog, archive: Any, tmp_path: Path
) -> None:
    fresh = await succeeded(log, archive, tmp_path)
    await log.append(JOURNAL, "p2", [b"only here"])
    await archived(log, archive, NOW + 1)
    made = await plan(archive, fresh.log_id, 30, NOW + 99 * DAY_MS)
    assert made.removable == []
    assert made.earlier[0].kept_because == "records of it are nowhere else"
    assert "1 different records of iv3.journal" in made.earlier[0].lost[0]
    assert await remove(archive, made) == 0
    asked = await plan(archive, fresh.log_id, 30, NOW + 99 * DAY_MS, [log.log_id])
    assert asked.removable[0].lost, "it is said all the same"
    assert await remove(archive, asked) > 0
    assert not [key for key in await archive.list("v1/") if log.log_id in key]
    await fresh.close()


async def test_the_newest_the_young_and_the_unfinished_stay(log: SqliteLog, archive: Any, tmp_path: Path) -> None:
    fresh = await succeeded(log, archive, tmp_path)
    late = NOW + 999 * DAY_MS
    made = await plan(archive, log.log_id, 0, late)
    assert [earlier.kept_because for earlier in made.earlier] == ["it was written later than the log in use"]
    await archive.delete(segments.head_key(log.log_id))
    made = await plan(archive, fresh.log_id, 0, late)
    assert "no head" in made.earlier[0].kept_because
    await fresh.close()


async def test_nothing_is_removed_while_the_log_in_use_is_not_whole(
    log: SqliteLog, archive: Any, tmp_path: Path
) -> None:
    fresh = await succeeded(log, archive, tmp_path)
    victim = next(key for key in await archive.list(f"v1/{fresh.log_id}/") if key.endswith(".manifest.json"))
    await archive.delete(victim)
    with pytest.raises(ArchiveDamaged, match="nothing is removed"):
        await plan(archive, fresh.log_id, 0, NOW + 99 * DAY_MS)
    await fresh.close()


async def test_an_earlier_log_that_is_damaged_stays(log: SqliteLog, archive: Any, tmp_path: Path) -> None:
    fresh = await succeeded(log, archive, tmp_path)
    victim = next(key for key in await archive.list(f"v1/{log.log_id}/") if key.endswith(".zst"))
    await archive.replace(victim, b"spoiled")
    made = await plan(archive, fresh.log_id, 0, NOW + 99 * DAY_MS)
    assert made.removable == []
    assert any("damaged" in said for said in made.earlier[0].lost)
    await fresh.close()


async def test_a_segment_of_the_log_in_use_that_is_damaged_counts_as_missing(
    log: SqliteLog, archive: Any, tmp_path: Path
) -> None:
    """The manifests are all well: only reading finds it."""
    fresh = await succeeded(log, archive, tmp_path)
    victim = next(key for key in await archive.list(f"v1/{fresh.log_id}/") if key.endswith(".zst"))
    await archive.replace(victim, b"spoiled")
    made = await plan(archive, fresh.log_id, 0, NOW + 99 * DAY_MS)
    assert made.removable == []
    await fresh.close()


async def test_what_no_manifest_names_stays(log: SqliteLog, archive: Any, tmp_path: Path) -> None:
    fresh = await succeeded(log, archive, tmp_path)
    strange = f"v1/{log.log_id}/notes.txt"
    await archive.put_if_absent(strange, b"mine")
    made = await plan(archive, fresh.log_id, 0, NOW + 99 * DAY_MS, [log.log_id])
    assert made.earlier[0].foreign == 1
    await remove(archive, made)
    assert await archive.get(strange) == b"mine"
    await fresh.close()


async def test_a_removal_that_is_stopped_is_finished_and_chosen_by_nobody(log: SqliteLog, tmp_path: Path) -> None:
    archive = FolderArchive(tmp_path / "archive")
    fresh = await succeeded(log, archive, tmp_path)
    await merge(archive, log.log_id, NOW + 9 * DAY_MS)
    at = 0
    while True:
        at += 1
        place = tmp_path / f"copy-{at}"
        shutil.copytree(tmp_path / "archive", place)
        copy = FolderArchive(place)
        made = await plan(copy, fresh.log_id, 0, NOW + 99 * DAY_MS)
        try:
            await remove(_Stopping(copy, at), made)
        except asyncio.CancelledError:
            pass
        else:
            break
        if not await copy.list(f"v1/{log.log_id}/"):
            continue  # the last change of all
        assert await copy.get(removal_key(log.log_id)) is not None
        assert await the_log_id(copy, None) == fresh.log_id
        assert json.loads((await copy.get(removal_key(log.log_id))) or b"")["removed_for"] == fresh.log_id
        again = await plan(copy, fresh.log_id, 9_999, NOW)
        assert again.earlier[0].begun
        await remove(copy, again)
        assert not await copy.list(f"v1/{log.log_id}/")
        assert (await read_back(copy, fresh.log_id)).problems == []
        shutil.rmtree(place)
    assert at > 10
    await fresh.close()


class _Stopping:
    """Ends whoever deletes the `at`-th object, after it went."""

    def __init__(self, archive: FolderArchive, at: int) -> None:
        self._archive, self._at = archive, at

    def __getattr__(self, name: str) -> Any:
        return getattr(self._archive, name)

    async def delete(self, key: str) -> None:
        await self._archive.delete(key)
        self._at -= 1
        if self._at == 0:
            raise asyncio.CancelledError


async def test_the_upkeep_forgets_only_after_a_drill_that_went_well(
    log: SqliteLog, archive: Any, tmp_path: Path
) -> None:
    fresh = await succeeded(log, archive, tmp_path)
    clock = SetClock(NOW + 60 * DAY_MS)
    data = tmp_path / "new"
    keeps = Maintenance(fresh, archive, clock, SqliteLog, data, stamp_ms=clock.now_ms)
    forgets = Maintenance(fresh, archive, clock, SqliteLog, data, keep_days=30, stamp_ms=clock.now_ms)
    clock.advance(3_600)
    await keeps.round()
    assert await archive.list(f"v1/{log.log_id}/"), "for ever, unless somebody says otherwise"
    key = next(key for key in await archive.list(f"v1/{fresh.log_id}/") if key.endswith(".zst"))
    good = await archive.get(key)
    await archive.replace(key, b"spoiled")
    clock.advance(8 * 86_400)
    await forgets.round()
    assert forgets.trouble()
    assert await archive.list(f"v1/{log.log_id}/")
    await archive.replace(key, good)
    clock.advance(86_400)
    await forgets.round()
    assert await archive.list(f"v1/{log.log_id}/") == []
    await fresh.close()
