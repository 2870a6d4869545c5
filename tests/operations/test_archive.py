"""The archive: the port's exam, the archiver beside a living log, verification that names what is wrong, and restore
byte for byte.
"""

import asyncio
import json
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.archive import format as segments
from processors.archive.format import ArchivedRecord
from streams.adapters.archives.folder import FolderArchive
from streams.adapters.archives.s3.archive import S3Archive
from streams.adapters.logs.sqlite.log import SqliteLog
from streams.archive.restore import restore
from streams.archive.verify import read_back, the_log_id
from streams.archive.writer import ArchiveWriter
from streams.clock import SystemClock
from streams.errors import AlreadyExists, ArchiveDamaged, ArchiveUnavailable, FailedPrecondition
from streams.roles.archiver import Archiver
from streams.topics import ALERTS, ARCHIVED, JOURNAL, PARTITIONS
from tests.support.running import app_maker, running, until


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.servers)])
def archive(request: Any, tmp_path: Path) -> Any:
    if request.param == "folder":
        return FolderArchive(tmp_path / "archive")
    return S3Archive(request.getfixturevalue("s3").settings())


# -- the port's exam -------------------------------------------------------------------------------


async def test_an_object_is_put_once_and_read_back(archive: Any) -> None:
    assert await archive.get("v1/a/b.json") is None
    assert await archive.put_if_absent("v1/a/b.json", b"one")
    assert not await archive.put_if_absent("v1/a/b.json", b"two")
    assert await archive.get("v1/a/b.json") == b"one"


async def test_of_many_who_put_at_once_one_wins(archive: Any) -> None:
    won = await asyncio.gather(*(archive.put_if_absent("v1/x.json", b"%d" % n) for n in range(20)))
    assert won.count(True) == 1
    assert await archive.get("v1/x.json") == b"%d" % won.index(True)


async def test_keys_are_listed_by_prefix_sorted_and_deleted_once(archive: Any) -> None:
    for key in ("v1/b/2", "v1/a/1", "v1/b/1", "v2/c"):
        await archive.put_if_absent(key, b"")
    assert await archive.list("v1/b/") == ["v1/b/1", "v1/b/2"]
    await archive.delete("v1/b/1")
    await archive.delete("v1/b/1")
    assert await archive.list("v1/") == ["v1/a/1", "v1/b/2"]
    await archive.replace("v2/c", b"new")
    assert await archive.get("v2/c") == b"new"


@pytest.mark.parametrize("key", ["../x", "/etc/passwd", "a/../b", "a//b", "", ".hidden", "a/.b", "x" * 600])
async def test_a_key_that_leads_elsewhere_is_refused(archive: Any, key: str) -> None:
    with pytest.raises(ValueError, match="no key"):
        await archive.put_if_absent(key, b"")


async def test_a_folder_that_cannot_be_used_is_an_outage(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ArchiveUnavailable, match="cannot be used"):
        await FolderArchive(tmp_path / "file").put_if_absent("a/b", b"")


# -- the format ------------------------------------------------------------------------------------

anything = st.one_of(st.none(), st.binary(max_size=50), st.text(max_size=50).map(str.encode))
headers = st.lists(st.tuples(st.text(max_size=9), st.binary(max_size=9)), max_size=2).map(tuple)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(anything, anything, headers), min_size=1, max_size=8))
def test_any_bytes_come_back_exactly(rows: list[Any]) -> None:
    records = [ArchivedRecord(n, 1000 + n, key, value, head) for n, (key, value, head) in enumerate(rows)]
    raw, packed = segments.pack(records)
    assert segments.pack(records) == (raw, packed), "the same records give the same bytes"
    assert segments.unpack(packed) == (raw, records)


@pytest.mark.skipif(not (shutil.which("zstd") and shutil.which("jq")), reason="zstd and jq are not installed")
def test_a_segment_can_be_read_with_zstd_and_jq_alone(tmp_path: Path) -> None:
    _, packed = segments.pack([ArchivedRecord(7, 1, b"me", b'{"type":"iv3.insulin.v1"}')])
    (tmp_path / "s.zst").write_bytes(packed)
    said = subprocess.run(
        f"zstd -dc {tmp_path}/s.zst | jq -r '.value | fromjson | .type'",
        shell=True,
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.strip() == "iv3.insulin.v1"


# -- a log and its archive -------------------------------------------------------------------------


async def fill(log: SqliteLog, count: int = 200) -> None:
    rnd = random.Random(3)
    for n in range(count):
        value = bytes(rnd.randrange(256) for _ in range(20)) if n % 7 == 0 else b"" if n % 11 == 0 else b'{"n":%d}' % n
        await log.append(rnd.choice(ARCHIVED), f"p{n % 9}", [value])


async def dump(log: SqliteLog) -> dict[tuple[str, int], list[Any]]:
    return {(t, p): await log.read(t, p, 0, None, 100_000) for t in ARCHIVED for p in range(PARTITIONS)}


async def test_the_archiver_follows_the_log_and_goes_on_after_a_restart(
    tmp_path: Path, log: SqliteLog, archive: Any
) -> None:
    await fill(log)
    role = Archiver(log, SystemClock(), app_maker(log), archive, flush_s=0.05)
    async with running(role):
        await until(lambda: role.archived_ms > 0 and role.waiting() == 0)
        await fill(log, 50)
        await until(lambda: role.waiting() == 0)
    again = Archiver(log, SystemClock(), app_maker(log), archive, flush_s=0.05)
    async with running(again):
        await fill(log, 50)
        await until(lambda: again.archived_ms > 0 and again.waiting() == 0)
    report = await read_back(archive, log.log_id)
    assert not report.problems
    assert report.records == sum(len(records) for records in (await dump(log)).values())


async def test_an_archive_that_is_away_costs_nothing_but_the_wait(tmp_path: Path, log: SqliteLog) -> None:
    place = tmp_path / "elsewhere"
    place.write_text("a file where the folder should be")
    role = Archiver(log, SystemClock(), app_maker(log), FolderArchive(place), flush_s=0.05)
    async with running(role):
        await fill(log, 20)
        await until(lambda: "cannot be used" in role.trouble)
        assert role.progress.restarts == 0
        place.unlink()
        await until(lambda: role.archived_ms > 0 and not role.trouble and role.waiting() == 0)


async def test_a_disk_that_is_taken_away_and_comes_back_leaves_no_hole(tmp_path: Path, log: SqliteLog) -> None:
    folder, away = tmp_path / "mounted", tmp_path / "in a drawer"
    archive = FolderArchive(folder)
    writer = ArchiveWriter(log, archive, SystemClock())
    await log.append(JOURNAL, "me", [b"one"])
    await writer.catch_up()
    folder.rename(away)
    await log.append(JOURNAL, "me", [b"two"])
    with pytest.raises(ArchiveUnavailable, match="is its disk mounted"):
        await writer.catch_up()
    folder.mkdir()  # the bare mount point
    await writer.catch_up()
    folder.rename(tmp_path / "bare")
    away.rename(folder)
    await log.append(JOURNAL, "me", [b"three"])
    await writer.catch_up()
    report = await read_back(archive, log.log_id)
    assert (report.problems, report.records) == ([], 3)


async def test_a_crash_between_segment_and_manifest_leaves_nothing_to_mend(log: SqliteLog, archive: Any) -> None:
    await fill(log, 60)
    await ArchiveWriter(log, archive, SystemClock()).catch_up()
    for key in await archive.list("v1/"):
        if key.endswith("head.json") or (key.endswith(".manifest.json") and "alerts" in key):
            await archive.delete(key)
    await fill(log, 60)
    await ArchiveWriter(log, archive, SystemClock()).catch_up()
    report = await read_back(archive, log.log_id)
    assert not report.problems
    assert report.records == 120


async def test_two_writers_at_once_make_one_archive(log: SqliteLog, archive: Any) -> None:
    await fill(log, 100)
    one, two = ArchiveWriter(log, archive, SystemClock()), ArchiveWriter(log, archive, SystemClock())
    await one.catch_up()
    await two.open()
    await fill(log, 30)
    await one.catch_up()
    await fill(log, 30)
    await two.catch_up()
    await one.catch_up()
    report = await read_back(archive, log.log_id)
    assert (report.problems, report.records) == ([], 160)


async def test_another_logs_segment_in_our_place_is_never_built_upon(log: SqliteLog, archive: Any) -> None:
    await fill(log, 30)
    key = segments.segment_key(log.log_id, JOURNAL, 0, 0)
    await log.append(JOURNAL, "x", [b"mine"], partition=0)
    await archive.put_if_absent(key, segments.pack([ArchivedRecord(0, 1, b"x", b"somebody else's")])[1])
    with pytest.raises(ArchiveDamaged, match="other records than the log"):
        await ArchiveWriter(log, archive, SystemClock()).catch_up()


def _flip(data: bytes) -> bytes:
    return data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :]


async def archived(log: SqliteLog, archive: Any) -> list[str]:
    """Three segments in one partition; their keys."""
    for _ in range(3):
        for n in range(5):
            await log.append(JOURNAL, "me", [b"%d" % n], partition=4)
        await ArchiveWriter(log, archive, SystemClock()).catch_up()
    keys: list[str] = [key for key in await archive.list(f"v1/{log.log_id}/{JOURNAL}/00004/") if key.endswith(".zst")]
    assert len(keys) == 3
    return keys


async def named(archive: Any, log: SqliteLog, name: str) -> None:
    report = await read_back(archive, log.log_id)
    assert any(name in problem for problem in report.problems), (name, report.problems)


@pytest.mark.parametrize("which", [0, 1, 2])
async def test_whatever_is_damaged_is_named(log: SqliteLog, archive: Any, which: int) -> None:
    keys = await archived(log, archive)
    key = keys[which]
    good = await archive.get(key)
    for bad in (_flip(good), good[:-9], good + b"x", b""):
        await archive.replace(key, bad)
        await named(archive, log, key)
    await archive.replace(key, await archive.get(keys[which - 1]))
    await named(archive, log, key)
    await archive.delete(key)
    await named(archive, log, key)
    await archive.replace(key, good)
    assert not (await read_back(archive, log.log_id)).problems
    manifest = segments.manifest_key(key)
    described = await archive.get(manifest)
    await archive.replace(manifest, described.replace(b'"records": 5', b'"records": 6'))
    assert (await read_back(archive, log.log_id)).problems
    await archive.delete(manifest)
    assert (await read_back(archive, log.log_id)).problems, "a missing manifest leaves a hole, or is missed by the head"


async def test_every_single_flipped_bit_is_seen(log: SqliteLog, archive: Any) -> None:
    key = (await archived(log, archive))[0]
    good = await archive.get(key)
    rnd = random.Random(1)
    for _ in range(60):
        at, bit = rnd.randrange(len(good)), 1 << rnd.randrange(8)
        await archive.replace(key, good[:at] + bytes([good[at] ^ bit]) + good[at + 1 :])
        await named(archive, log, key)


async def test_a_duplicated_or_foreign_object_is_named(log: SqliteLog, archive: Any) -> None:
    keys = await archived(log, archive)
    copy = segments.segment_key(log.log_id, JOURNAL, 4, 3)
    await archive.put_if_absent(copy, await archive.get(keys[0]))
    await named(archive, log, copy)


async def test_a_missing_tail_is_noticed_by_the_head(log: SqliteLog, archive: Any) -> None:
    keys = await archived(log, archive)
    await archive.delete(keys[2])
    await archive.delete(segments.manifest_key(keys[2]))
    await named(archive, log, "its head says 15")


# -- restore ---------------------------------------------------------------------------------------


async def test_a_restored_log_is_the_same_byte_for_byte_under_another_id(
    tmp_path: Path, log: SqliteLog, archive: Any
) -> None:
    await fill(log, 300)
    await ArchiveWriter(log, archive, SystemClock()).catch_up()
    report = await restore(archive, SqliteLog, tmp_path / "new")
    fresh = SqliteLog(tmp_path / "new" / "log.db")
    assert fresh.log_id == report.log_id != log.log_id
    assert await dump(fresh) == await dump(log)
    (position,) = await fresh.append(JOURNAL, "me", [b"and on it goes"])
    assert position.offset == len((await dump(log))[JOURNAL, position.partition])
    await fresh.close()
    assert json.loads((tmp_path / "new" / "restored.json").read_text())["from_log"] == log.log_id


async def test_a_demos_archive_becomes_a_demos_log(tmp_path: Path, archive: Any) -> None:
    log = SqliteLog(tmp_path / "demo" / "log.db", demo=True)
    await fill(log, 5)
    await ArchiveWriter(log, archive, SystemClock()).catch_up()
    await log.close()
    await restore(archive, SqliteLog, tmp_path / "new")
    with pytest.raises(FailedPrecondition, match="demo"):
        SqliteLog(tmp_path / "new" / "log.db")


async def test_a_folder_with_a_log_and_a_damaged_archive_are_refused(
    tmp_path: Path, log: SqliteLog, archive: Any
) -> None:
    key = (await archived(log, archive))[1]
    with pytest.raises(AlreadyExists, match="has a log already"):
        await restore(archive, SqliteLog, tmp_path)
    await archive.replace(key, _flip(await archive.get(key)))
    with pytest.raises(ArchiveDamaged, match=key):
        await restore(archive, SqliteLog, tmp_path / "new")
    assert not (tmp_path / "new" / "log.db").exists()


async def test_an_empty_archive_says_so(archive: Any) -> None:
    with pytest.raises(ArchiveDamaged, match="empty"):
        await the_log_id(archive, None)


@pytest.mark.long
@pytest.mark.timeout(120)
async def test_a_restore_that_is_killed_leaves_the_whole_log_or_none(tmp_path: Path, log: SqliteLog) -> None:
    archive = FolderArchive(tmp_path / "archive")
    for n in range(40):
        await log.append(JOURNAL, f"p{n}", [b"x" * 300] * 500)
    await fill(log, 100)
    await ArchiveWriter(log, archive, SystemClock()).catch_up()
    whole = sum(len(records) for records in (await dump(log)).values())
    rnd, target = random.Random(5), tmp_path / "new"
    code = (
        "import asyncio, sys, pathlib\nfrom streams.adapters.archives.folder import FolderArchive\n"
        "from streams.adapters.logs.sqlite.log import SqliteLog\nfrom streams.archive.restore import restore\n"
        "print('begun', flush=True)\n"
        f"asyncio.run(restore(FolderArchive(pathlib.Path({str(tmp_path / 'archive')!r})), SqliteLog, "
        f"pathlib.Path({str(target)!r})))"
    )
    killed = 0
    for _ in range(12):
        with subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(rnd.uniform(0.0, 0.4))
            process.send_signal(signal.SIGKILL)
            killed += process.wait() == -signal.SIGKILL
        if (target / "log.db").exists():
            opened = SqliteLog(target / "log.db")
            assert sum(dict(opened.heads).values()) == whole
            await opened.close()
            shutil.rmtree(target)
    assert killed
    if not (target / "log.db").exists():
        await restore(archive, SqliteLog, target)
    opened = SqliteLog(target / "log.db")
    assert await dump(opened) == await dump(log)
    await opened.close()


def test_alerts_are_among_what_is_archived() -> None:
    assert ALERTS in ARCHIVED


async def test_a_log_of_more_partitions_comes_back_as_it_was(tmp_path: Path, archive: Any) -> None:
    wide = SqliteLog(tmp_path / "wide" / "log.db", partitions=30)
    for n in range(60):
        await wide.append(JOURNAL, f"p{n}", [b"x%d" % n])
    assert max(partition for (topic, partition), head in wide.heads.items() if topic == JOURNAL and head) >= PARTITIONS
    await ArchiveWriter(wide, archive, SystemClock()).catch_up()
    assert not (await read_back(archive, wide.log_id)).problems
    await restore(archive, SqliteLog, tmp_path / "new")
    back = SqliteLog(tmp_path / "new" / "log.db")
    assert back.partitions == wide.partitions
    for place, head in wide.heads.items():
        assert await back.read(*place, 0, None, 1000) == await wide.read(*place, 0, None, 1000), (place, head)
    await back.close()
    await wide.close()


async def test_a_head_says_how_the_log_is_split_only_where_it_is_not_as_usual(log: SqliteLog, archive: Any) -> None:
    """Releases that know only the usual number go on reading what they can restore."""
    await fill(log, 20)
    await ArchiveWriter(log, archive, SystemClock()).catch_up()
    data = await archive.get(segments.head_key(log.log_id))
    assert b"partitions" not in data
    assert segments.read_head(data).partitions == PARTITIONS
    ends = [(JOURNAL, 17, 4, "digest")]
    wide = segments.write_head(log.log_id, ends, demo=False, written_ms=1, partitions=30)
    assert segments.read_head(wide).partitions == 30
    unsaid = segments.write_head(log.log_id, ends, demo=False, written_ms=1)
    with pytest.raises(segments.SegmentDamaged, match="beyond the 12"):
        segments.read_head(unsaid)
