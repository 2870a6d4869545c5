"""The demo's plan: a simulated or recorded person behind a fake Dexcom Share on loopback."""

import asyncio
import json
import time
from pathlib import Path

from pydantic import SecretStr

from iv3.assembly.listening import any_free_port, free_port, is_loopback_url, refuse_open_air
from iv3.assembly.log import LOG_FILE, new_log_file
from iv3.assembly.plan import DemoPlan, StartPlan
from iv3.closing import closing
from iv3.demo.person import LOW_AFTER_MS, PASSWORD, PERSON, USERNAME, DemoPerson
from iv3.options import UpOptions
from schemas.envelope import decode
from schemas.settings import DexcomSettings, NtfySettings, PersonSettings, Settings
from streams.errors import Misconfigured
from streams.ports.log import Log
from streams.runtime.process import Service
from streams.storage.files import write_durably
from streams.topics import JOURNAL, partition_of
from streams.views.catalog import Catalog

_PORT = 8080
_LOW_OVER_MS = 2 * 3_600_000


def demo_plan(options: UpOptions, data: Path) -> StartPlan:
    """The plan of what the options say: where it listens, whose life it lives, how fast, and whom it tells.

    Nothing of config.yaml, .env or the environment counts; nothing but loopback is spoken to.
    """
    host = options.host or "127.0.0.1"
    refuse_open_air(host, tls=False)
    if bool(options.ntfy_server) != bool(options.ntfy_topic):
        raise Misconfigured("--ntfy-server and --ntfy-topic belong together.")
    if options.ntfy_server and not is_loopback_url(options.ntfy_server):
        raise Misconfigured(
            "--ntfy-server must be on this machine (http://127.0.0.1:...): the demo speaks to nobody else."
        )
    started_ms, now_ms, lows_at_ms = _demo_start(data)
    if options.csv is not None:
        person = DemoPerson.recorded(options.csv, options.subject, started_ms, now_ms, options.speed)
    else:
        person = DemoPerson.simulated(started_ms, now_ms, options.speed, lows_at_ms)
    settings = Settings(
        dexcom=DexcomSettings(account=USERNAME, password=SecretStr(PASSWORD)),
        ntfy=NtfySettings(server=options.ntfy_server or "http://127.0.0.1:9", topic=options.ntfy_topic or ""),
        person=PersonSettings(id=PERSON, name="Demo"),
    )
    port = free_port(host, options.port if options.port is not None else _PORT)
    share_port = any_free_port()

    async def before(log: Log, account: str) -> None:
        await person.server.start(port=share_port)
        if not any(log.heads[JOURNAL, p] for p in range(log.partitions[JOURNAL])):
            await person.put_history(log, account)

    async def close_server(stopping: asyncio.Event) -> None:
        try:
            await stopping.wait()
        finally:
            await person.server.stop()

    def services(log: Log, catalog: Catalog) -> list[Service]:
        return [close_server, lambda stopping: person.keep_diary(log, catalog, stopping)]

    made_up = DemoPlan(
        words="a recorded person" if options.csv is not None else "a simulated person",
        dexcom_url=f"http://127.0.0.1:{share_port}/ShareWebServices/Services",
        profile=person.profile(),
        before=before,
        services=services,
    )
    return StartPlan(data, settings, person.clock, host, port, PERSON, demo_plan=made_up)


def _demo_start(data: Path) -> tuple[int, int, list[int]]:
    """(when this demo's person began, what time it is for them now, when they go low). A demo that ran fast goes on
    where it was.
    """
    now_ms = int(time.time() * 1000)
    note = data / "demo.json"
    if not note.exists():
        return _noted(note, now_ms, now_ms, [])
    said = json.loads(note.read_text())
    now_ms = max([now_ms, *(last + 1000 for last in asyncio.run(_last_moments(data)))])
    return _noted(note, int(said["started_ms"]), now_ms, list(said.get("lows_at_ms", [])))


async def _last_moments(data: Path) -> list[int]:
    """When the last facts of the demo's person happened."""
    async with closing(new_log_file(data / LOG_FILE, demo=True)) as log:
        partition = partition_of(PERSON)
        head = log.heads[JOURNAL, partition]
        return [decode(record.value).time_ms for record in await log.read(JOURNAL, partition, max(0, head - 50))]


def _noted(note: Path, started_ms: int, now_ms: int, lows_at_ms: list[int]) -> tuple[int, int, list[int]]:
    """Order a low for soon after this start, unless one is under way, and write it down: a life that was lived never
    changes.
    """
    if not lows_at_ms or now_ms - lows_at_ms[-1] > _LOW_OVER_MS:
        lows_at_ms = [*lows_at_ms, now_ms + LOW_AFTER_MS]
    write_durably(note, json.dumps({"started_ms": started_ms, "lows_at_ms": lows_at_ms}).encode())
    return started_ms, now_ms, lows_at_ms
