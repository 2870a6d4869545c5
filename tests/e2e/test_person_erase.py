"""`iv3 person erase` on a data folder with an archive: everything of one person goes, whatever kills the command on its
way.
"""

import asyncio
import json
import os
import pty
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from iv3.assembly.people import session_name
from processors.copies.erasing import is_placeholder
from schemas.household import Credentials
from schemas.settings import DexcomSettings
from streams.adapters.archives.folder import FolderArchive
from streams.adapters.credentials import CredentialsFile
from streams.adapters.logs.sqlite.log import SqliteLog
from streams.adapters.series.sqlite.store import SqliteStore
from streams.archive.restore import restore
from streams.archive.verify import log_ids, read_back
from streams.archive.writer import ArchiveWriter
from streams.clock import SystemClock
from streams.ports.log import Record
from streams.storage.files import FileLock
from streams.views.replay import replay
from tests.support.erasing import GONE, LIE_IN_WAIT, NAME, STAYS, Place, everything, holding, late, lived
from tests.support.up import Up

Records = dict[tuple[str, int], list[Record]]


HERS = DexcomSettings(account="wanda@example.org", password=SecretStr("a secret of hers"))


def _credentials(data: Path) -> CredentialsFile:
    return CredentialsFile(data / "credentials.enc", data / "credentials.key")


async def _settle(data: Path, archive: Path) -> str:
    """Archive and replay, so that everything that is derived from the log is there; its id."""
    log = SqliteLog(data / "log.db")
    await ArchiveWriter(log, FolderArchive(archive), SystemClock()).catch_up()
    store = SqliteStore(data, log.log_id)
    await replay(log, data, store)
    await log.close()
    return log.log_id


async def _records(data: Path) -> tuple[str, Records, set[Any]]:
    """The log's id, all records, and the digest of his series (empty where there is none)."""
    log = SqliteLog(data / "log.db")
    found = await everything(log)
    store = SqliteStore(data, log.log_id)
    series = await store.open(await store.serving())
    digest = {row for row in await series.digest() if row.person == STAYS}
    await series.close()
    await log.close()
    return log.log_id, found, digest


@pytest.fixture(scope="module")
def lived_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people, an earlier log in the archive from before a restore, and what killed commands left lying about."""
    root = tmp_path_factory.mktemp("two-people")
    first, data, archive = root / "first", root / "data", root / "archive"

    async def make() -> None:
        first.mkdir()
        log = SqliteLog(first / "log.db")
        await lived(log, 24, named_by_him=False)
        await ArchiveWriter(log, FolderArchive(archive), SystemClock()).catch_up()
        await log.close()
        await restore(FolderArchive(archive), SqliteLog, data)
        restored = SqliteLog(data / "log.db")
        await late(restored, STAYS, 60)
        await late(restored, GONE, 60)
        await restored.close()
        await _settle(data, archive)

    asyncio.run(make())
    for person, account in ((GONE, HERS), (STAYS, DexcomSettings(account="bruno@example.org"))):
        _credentials(data).put(person, Credentials(dexcom=account))
        session = data / "dexcom" / session_name(account) / "dexcom-session.json"
        session.parent.mkdir(parents=True)
        session.touch()
    (data / ".drill").mkdir()
    shutil.copy(first / "log.db", data / ".drill" / "log.db")
    shutil.copy(first / "log.db", data / "catalog-1.db.damaged")
    segment = min(archive.rglob("*.zst"))
    shutil.copy(segment, segment.with_name(f".{segment.name}.0123abcd"))
    shutil.rmtree(first)
    (root / "config.yaml").write_text(f"archive: folder:{archive}\nperson: {{id: {STAYS}, name: Bruno}}\n")
    (archive / "not-ours.tar.gz").write_bytes(b"the seed's own")
    return root


@pytest.fixture
def place(lived_in: Path, tmp_path: Path) -> Place:
    root = tmp_path / "root"
    shutil.copytree(lived_in, root)
    (root / "config.yaml").write_text(f"archive: folder:{root / 'archive'}\nperson: {{id: {STAYS}, name: Bruno}}\n")
    return Place(root)


def _is_gone(place: Place, before: tuple[str, Records, set[Any]]) -> None:
    """Nothing of hers is on the disk; of his everything, at its offsets, in log, archive and charts."""
    assert holding([place.data, place.archive]) == []
    log_id, records, digest = asyncio.run(_records(place.data))
    assert log_id != before[0]
    assert digest == before[2] != set()
    for at, old in before[1].items():
        assert len(records[at]) == len(old)
        for one, now in zip(old, records[at], strict=True):
            assert now == one or (is_placeholder(now.value) and one.key != STAYS.encode())
        assert all(r.key != GONE.encode() for r in records[at])
    archive = FolderArchive(place.archive)
    assert asyncio.run(log_ids(archive)) == [log_id]
    report = asyncio.run(read_back(archive, log_id))
    assert report.problems == []
    assert report.records == sum(map(len, records.values()))
    assert (place.archive / "not-ours.tar.gz").exists()
    assert set(_credentials(place.data).read()) == {STAYS}
    his = session_name(DexcomSettings(account="bruno@example.org"))
    assert [path.name for path in (place.data / "dexcom").iterdir()] == [his]
    assert sorted(p.name for p in place.data.iterdir() if "eras" in p.name or "exchang" in p.name) == []


def test_everything_of_one_person_goes_and_everything_of_the_other_stays(place: Place) -> None:
    before = asyncio.run(_records(place.data))
    assert len(holding([place.data, place.archive])) > 20, "else the search finds nothing anyway"
    would = place.erase("--dry-run")
    assert asyncio.run(_records(place.data)) == before
    assert would["archive"]["stays"] == []
    assert len(would["archive"]["earlier_logs_to_be_deleted"]) == 1
    did = place.erase("--yes")
    assert did["erased"] == {topic: n["theirs"] for topic, n in would["records"].items()}
    assert did["tokens_ended"] == would["tokens_that_end"] != {}
    assert did["archive"]["deleted_logs"][0] == before[0]
    assert any("12 hours" in place for place in did["remains"])
    _is_gone(place, before)
    assert "There is nothing of a person" in place.erase("--yes", code=2)


@pytest.mark.long
def test_the_house_runs_on_without_her_and_takes_her_in_again_as_somebody_new(place: Place) -> None:
    place.erase("--yes")
    up = Up(place.data, "--config", str(place.root / "config.yaml"), demo=False)
    up.start()
    try:
        assert [row["id"] for row in up.ask("GET", "/v1/people")[1]["items"]] == [STAYS]
        letters = json.loads(place.iv3("dead-letters", "list", "--data", str(place.data), "--json"))
        assert {letter["role"] for letter in letters} <= {"test", "forecaster", "alerter", "projector"}
        assert not any("erased" in json.dumps(letter) for letter in letters)
        now = int(time.time() * 1000)
        for person, value in ((STAYS, 120), (GONE, 130)):
            place.iv3("person", "add", person, "--data", str(place.data))
            status, said = up.ask(
                "POST", f"/v1/readings?person={person}", {"items": [{"time": now, "glucose_mgdl": value}]}
            )
            assert status == 202, said
        until(lambda: up.ask("GET", f"/v1/readings?person={GONE}&from={now - 9 * 86_400_000}")[1]["items"])
        assert len(up.ask("GET", f"/v1/readings?person={GONE}&from=0&limit=5000")[1]["items"]) == 1
        assert len(up.ask("GET", f"/v1/readings?person={STAYS}&from=0&limit=5000")[1]["items"]) > 1
        up.stop()
        assert place.iv3("verify", "--json").startswith("{")
    finally:
        up.kill()


def until(true: Callable[[], Any], within_s: float = 60.0) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_nobody_is_erased_unasked_nor_beside_a_running_house(place: Place) -> None:
    assert "say --yes" in place.erase(code=2)
    lock = FileLock(place.data / "up.lock")
    assert lock.try_acquire()
    assert "stop it first" in place.erase("--yes", code=2)
    lock.release()
    assert "nothing of a person" in (
        subprocess.run(
            [*place.command("--yes")[:-1], place.command("--yes")[-1].replace(GONE, "nobody")],
            cwd=place.root,
            capture_output=True,
            text=True,
            check=False,
        ).stderr
    )


def test_the_question_names_the_person_and_no_is_no(place: Place) -> None:
    before = asyncio.run(_records(place.data))
    ours, theirs = pty.openpty()
    with subprocess.Popen(place.command(), cwd=place.root, stdin=theirs, stderr=subprocess.PIPE, text=True) as asked:
        os.write(ours, b"n\n")
        _, said = asked.communicate(timeout=60)
    os.close(ours)
    os.close(theirs)
    assert asked.returncode == 2
    assert f"Erase {NAME} ({GONE})?" in said
    assert "Nothing was erased" in said
    assert asyncio.run(_records(place.data)) == before


def test_while_another_command_has_the_log_open_it_is_left_as_it_is(place: Place) -> None:
    before = asyncio.run(_records(place.data))
    log = SqliteLog(place.data / "log.db")
    try:
        assert "Another process has" in place.erase("--yes", code=2)
    finally:
        log.close_now()
    assert asyncio.run(_records(place.data)) == before
    place.erase("--yes")
    _is_gone(place, before)


@pytest.mark.long
def test_an_earlier_log_that_has_something_of_others_alone_keeps_anything_from_being_begun(place: Place) -> None:
    before = asyncio.run(_records(place.data))

    async def another_past() -> str:
        other = SqliteLog(place.root / "other" / "log.db")
        await late(other, STAYS, 777)
        await late(other, GONE, 777)
        await ArchiveWriter(other, FolderArchive(place.archive), SystemClock()).catch_up()
        await other.close()
        return other.log_id

    name = asyncio.run(another_past())
    shutil.rmtree(place.root / "other")
    said = place.erase("--yes", code=2)
    assert "nowhere else" in said
    assert f"--lose {name}" in said
    assert asyncio.run(_records(place.data)) == before
    assert place.erase("--dry-run", "--lose", name)["archive"]["stays"] == []
    place.erase("--yes", "--lose", name)
    _is_gone(place, before)


STEPS = {
    "while it copies": "import streams.copies.erase_person as m; m.Erasing._compare = die",
    "while it archives the copy": (
        "import streams.archive.writer as m; one = m.ArchiveWriter._one; m.ArchiveWriter._one = nth(one, 3)"
    ),
    "before the rename": "import iv3.assembly.log as m; m.replacement.replace_log = die",
    "with the sign up": "import streams.adapters.logs.sqlite.replacement as m; m._settle = nth(m._settle, 2)",
    "right after the rename": "import streams.adapters.logs.sqlite.replacement as m; m.sync_folder = die",
    "before the rename is noted": "import iv3.operations.erasure as m; m.Erasure._save = nth(m.Erasure._save, 3)",
    "while the old archive is deleted": (
        "import streams.adapters.archives.folder as m; m.FolderArchive.delete = nth(m.FolderArchive.delete, 4)"
    ),
    "while charts are made anew": "import iv3.operations.erasure as m; m.replay = die",
    "at the very end": "import iv3.operations.erasure as m; m.forget_credentials = die",
}


_QUICK = ("right after the rename",)
_SLOW = [pytest.mark.chaos, pytest.mark.long]


@pytest.mark.parametrize("step", [pytest.param(step, marks=[] if step in _QUICK else _SLOW) for step in STEPS])
def test_killed_at_any_step_the_old_log_is_whole_or_the_same_command_ends_it(place: Place, step: str) -> None:
    before = asyncio.run(_records(place.data))
    place.killed(LIE_IN_WAIT + STEPS[step])
    if list(STEPS).index(step) < list(STEPS).index("with the sign up"):
        assert asyncio.run(_records(place.data)) == before, "as if nothing had happened"
        assert asyncio.run(log_ids(FolderArchive(place.archive)))
    other = (
        subprocess.run(
            [*place.command("--yes")[:-1], place.command("--yes")[-1].replace(GONE, STAYS)],
            cwd=place.root,
            capture_output=True,
            text=True,
            check=False,
        )
        if list(STEPS).index(step) > list(STEPS).index("right after the rename")
        else None
    )
    if other is not None:
        assert (other.returncode, "must be ended first" in other.stderr) == (2, True), other.stderr
    found = json.loads(place.iv3("doctor", "--json"))
    assert [f["ok"] for f in found if f["name"] == "erasure"] == [False]
    place.erase("--yes")
    _is_gone(place, before)


@pytest.mark.chaos
@pytest.mark.long
@pytest.mark.timeout(600)
def test_killed_twenty_times_at_random_it_ends_all_the_same(place: Place) -> None:
    before = asyncio.run(_records(place.data))
    kept = Place(place.root.with_name("kept"))
    shutil.copytree(place.root, kept.root)
    here, takes = _copied(kept, "whole"), time.monotonic()
    here.erase("--yes")
    takes = time.monotonic() - takes
    kills, here = 0, place
    for n in range(20):
        process = subprocess.Popen(
            here.command("--yes"), cwd=here.root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            ended = process.wait(takes * (0.15 + 0.045 * n))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            kills += 1
            continue
        assert ended in (0, 2), ended
        _is_gone(here, before)
        here, takes = _copied(kept, f"after-{n}"), takes * 0.8  # the machine was busier when the time was taken
    assert subprocess.run(here.command("--yes"), cwd=here.root, check=False).returncode in (0, 2), "2: it was done"
    assert kills >= 5, "else nothing was tried"
    _is_gone(here, before)


def _copied(place: Place, name: str) -> Place:
    """The same house in another folder."""
    copy = Place(place.root.with_name(name))
    shutil.copytree(place.root, copy.root)
    (copy.root / "config.yaml").write_text(f"archive: folder:{copy.archive}\nperson: {{id: {STAYS}}}\n")
    return copy
