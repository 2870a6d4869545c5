"""A log of two people in one partition, and words that must be found nowhere once the one is erased: shared by the
tests of erasing.
"""

import json
import signal
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backports import zstd

from schemas.bookkeeping import RecordDeadLettered
from schemas.envelope import SYSTEM, Author, Event, encode, make
from schemas.facts import DocumentSaved, GlucoseRead, Insulin, InsulinTaken, NoteWritten, PersonAdded, ProfileChanged
from schemas.model import Fact, at_ms
from streams.adapters.logs.sqlite.log import SqliteLog
from streams.commands.tokens import issue, revocation
from streams.delivery.channels import Channels
from streams.ports.log import Log, append_events
from streams.roles.alerter import Alerter
from streams.roles.forecaster import Forecaster
from streams.roles.notifier import AlarmNotifier
from streams.topics import ALERTS, DEAD_LETTERS, FORECASTS, JOURNAL, partition_of
from tests.support.clock import SetClock
from tests.support.running import app_maker, caught_up, running

GONE, STAYS = "wanda-6", "bruno-15"  # both in partition 3, as are tokens
NAME, NOTE, INSULIN, DEVICE, DOCUMENT = (
    "Wanda Quendel",
    "kumquat marmalade",
    "Zorgulin",
    "Wandas Uhr",
    "treatment-of-hers",
)
WORDS = (GONE, NAME, NOTE, INSULIN, DEVICE, DOCUMENT)
T0 = 1_795_500_000_000
MIN = 60_000
_ZSTD = b"\x28\xb5\x2f\xfd"
P = partition_of(GONE)
assert P == partition_of(STAYS) == partition_of(SYSTEM)


def said(data: Fact, person: str, n: int, what: str = "") -> Event:
    at = at_ms(T0 + n * 5 * MIN)
    return make(
        data, id=f"{person}-{type(data).__name__}-{n}{what}", source="test", subject=person, time=at, recordedtime=at
    )


def wave(n: int) -> float:
    return float((120, 100, 84, 66, 54, 52, 66, 82, 95, 110)[n % 10])


async def lived(log: SqliteLog, readings: int = 40, *, named_by_him: bool = True) -> None:
    """What two people and their tokens leave in a log, with the real forecaster and alerter at work."""
    for person, name, insulin in ((GONE, NAME, INSULIN), (STAYS, "Bruno", "Humalog")):
        profile = ProfileChanged(
            name=name, insulins=(Insulin(name=insulin, action="rapid", duration_min=300, peak_min=75),)
        )
        await append_events(log, JOURNAL, [said(PersonAdded(name=name), person, 0), said(profile, person, 0)])
    await tokens(log)
    clock = SetClock(T0)
    roles: list[Any] = [
        Forecaster(log, clock, app_maker(log)),
        Alerter(log, clock, app_maker(log)),
        AlarmNotifier(log, clock, app_maker(log), Channels()),
    ]
    async with running(*roles):
        for n in range(readings):
            clock.set(T0 + n * 5 * MIN + 10_000)
            for person, insulin in ((STAYS, "Humalog"), (GONE, INSULIN)):  # her forecast is always the last
                await append_events(log, JOURNAL, [said(GlucoseRead(glucose_mgdl=wave(n), trend="Flat"), person, n)])
                if n % 8 == 0:
                    dose = InsulinTaken(units=2.5, insulin=insulin, note=NOTE if person == GONE else "lunch")
                    await append_events(log, JOURNAL, [said(dose, person, n)])
            await caught_up(roles)
        await strays(log)
        if named_by_him:
            await append_events(log, JOURNAL, [said(NoteWritten(text=GONE), STAYS, 99)])
        await caught_up(roles[:1])


async def tokens(log: Log) -> None:
    """One token of hers, revoked; one of his, and one of the house."""
    _, hers = issue("reader", DEVICE, T0)
    hers = hers.model_copy(update={"data": hers.data.model_copy(update={"person": GONE})})
    _, his = issue("reader", "Brunos Uhr", T0)
    his = his.model_copy(update={"data": his.data.model_copy(update={"person": STAYS})})
    _, owner = issue("owner", "the house", T0)
    await append_events(log, JOURNAL, [hers, his, owner, revocation(hers.data.token_id, T0 + 1, Author("api", "test"))])


async def strays(log: Log) -> None:
    """What names her where one would not look: documents of nobody, garbage under her key, dead letters."""
    await append_events(
        log,
        JOURNAL,
        [
            said(DocumentSaved(collection="treatments", document_id=DOCUMENT, body={"of": [{"who": GONE}]}), SYSTEM, 1),
            said(DocumentSaved(collection="treatments", document_id="nobodys", body={"of": "me"}), SYSTEM, 2),
        ],
    )
    (at,) = await log.append(JOURNAL, GONE, [b"\xff not an event " + NOTE.encode()])
    (his,) = await log.append(JOURNAL, STAYS, [b"not an event of his"])
    for n, (place, why) in enumerate(((at, "no event"), (his, "no event"))):
        letter = RecordDeadLettered(
            role="test", topic=place.topic, partition=place.partition, offset=place.offset, reason=why
        )
        await append_events(log, DEAD_LETTERS, [said(letter, "test", n)])


async def late(log: Log, person: str, n: int) -> None:
    """One more reading."""
    await log.append(JOURNAL, person, [encode(said(GlucoseRead(glucose_mgdl=111.0, trend="Flat"), person, n))])


def holding(folders: Iterable[Path], words: Iterable[str] = WORDS) -> list[str]:
    """Every file in which a word is found, byte for byte; segments are looked at unpacked besides."""
    found = []
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if not path.is_file():
                continue
            held = path.read_bytes()
            if held.startswith(_ZSTD):
                held += zstd.decompress(held)
            found += [f"{word} in {path}" for word in words if word.encode() in held or word in path.name]
    return found


async def everything(log: Log) -> dict[tuple[str, int], list[Any]]:
    """All that an archive would hold."""
    found = {}
    for place in [(t, p) for t in (JOURNAL, FORECASTS, ALERTS, DEAD_LETTERS) for p in range(log.partitions[t])]:
        records = await log.read(*place, 0, None, 1_000_000)
        if records:
            found[place] = records
    return found


LIE_IN_WAIT = """
import os, signal
def die(*a, **k):
    os.kill(os.getpid(), signal.SIGKILL)
def nth(real, number):
    left = [number]
    def counted(*a, **k):
        left[0] -= 1
        if not left[0]:
            die()
        return real(*a, **k)
    return counted
"""


@dataclass
class Place:
    """A folder with config.yaml, data and archive in it."""

    root: Path

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def archive(self) -> Path:
        return self.root / "archive"

    def command(self, *arguments: str, before: str = "") -> list[str]:
        """`iv3 person erase`, after some Python that may lie in wait for it."""
        said = ["iv3", "person", "erase", GONE, "--data", str(self.data), "--json", *arguments]
        code = f"import sys\nsys.argv = {said!r}\n{before}\nfrom iv3.cli.main import run\nrun()\n"
        return [sys.executable, "-P", "-c", code]

    def erase(self, *arguments: str, code: int = 0) -> Any:
        """Run it; what it says, as JSON, or what it complains of."""
        done = subprocess.run(
            self.command(*arguments), cwd=self.root, capture_output=True, text=True, timeout=100, check=False
        )
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout) if code == 0 else done.stderr

    def iv3(self, *arguments: str) -> str:
        """Another command; what it prints, whatever it thinks of what it found."""
        done = subprocess.run(
            [sys.executable, "-P", "-m", "iv3", *arguments],
            cwd=self.root,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        return done.stdout

    def killed(self, before: str) -> None:
        """Run it with something that ends it by `kill -9`."""
        done = subprocess.run(
            self.command("--yes", before=before), cwd=self.root, capture_output=True, timeout=100, check=False
        )
        assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr
