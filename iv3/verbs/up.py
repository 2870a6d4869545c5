"""`iv3 up`."""

import asyncio
import errno
import gc
import ipaddress
import json
import logging
import os
import socket
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr
from rich.console import Console

from iv3 import config as configuration
from iv3.assembly.build import Parts, Plan, run, tls_context, try_adapters
from iv3.demo.person import LOW_AFTER_MS, PASSWORD, PERSON, USERNAME, DemoPerson
from iv3.hostzone import host_zone
from schemas.envelope import decode
from schemas.household import household, untold_in
from schemas.settings import DexcomSettings, NtfySettings, PersonSettings, Settings
from streams.adapters.logs.sqlite.log import SqliteLog
from streams.clock import SystemClock
from streams.errors import Misconfigured
from streams.storage.files import FileLock, write_durably
from streams.topics import JOURNAL, partition_of

_PORT = 8080
_PORTS_TRIED = 20
_LOW_OVER_MS = 2 * 3_600_000


@dataclass(frozen=True)
class UpOptions:
    """What the command line says."""

    data: Path | None
    config: Path | None
    host: str | None
    port: int | None
    demo: bool
    csv: Path | None
    subject: str | None
    speed: float
    ntfy_server: str | None
    ntfy_topic: str | None
    clock: str | None = None
    log: str | None = None
    series: str | None = None
    archive: str | None = None
    alerts: str | None = None

    @property
    def overrides(self) -> dict[str, str]:
        """What the command line puts in place of the configuration, as the variables that would."""
        said = {"IV3_LOG": self.log, "IV3_SERIES": self.series, "IV3_ARCHIVE": self.archive, "IV3_ALERTS": self.alerts}
        return {name: value for name, value in said.items() if value is not None}


def up(options: UpOptions) -> None:
    """Run until a signal. Raises Misconfigured for what cannot be started."""
    quiet_libraries()
    if not options.demo and any(
        (options.csv, options.subject, options.speed != 1, options.ntfy_server, options.ntfy_topic)
    ):
        raise Misconfigured("--csv, --subject, --speed, --ntfy-server and --ntfy-topic belong to --demo.")
    if options.alerts not in (None, "on", "shadow"):
        raise Misconfigured(f"--alerts is {options.alerts!r}; it must be on or shadow.")
    if options.demo and options.alerts is not None:
        raise Misconfigured("--alerts is for a real person; a demo tells nobody but --ntfy-server.")
    if options.demo and (options.log or options.series or options.archive or options.clock):
        raise Misconfigured("--log, --series, --archive and --clock are for the real thing; a demo has its own.")
    data = options.data or Path("data-demo" if options.demo else "data")
    settings = None if options.demo else _settings(options)  # a mistake in them leaves no folder behind
    with_data_folder(data)
    lock = FileLock(data / "up.lock")
    if not lock.try_acquire():
        raise Misconfigured(
            f"Another `iv3 up` runs on {data} already ({_running(data)}). Stop it with `iv3 stop --data {data}`."
        )
    plan = _demo_plan(options, data) if settings is None else _plan(options, data, settings)
    if options.clock is not None and settings is not None:
        from iv3.verbs.worker import simulated_clock

        plan.clock = simulated_clock(options.clock, settings)
    plan.on_ready = announce
    gc.freeze()  # what is loaded by now stays for months; the collector need not look through it again
    gc.set_threshold(
        20_000, 20, 20
    )  # a quarter of readings is 50,000 short-lived rows: looking through them costs more than making them
    try:
        asyncio.run(run(plan))
    finally:
        with suppress(FileNotFoundError):
            (data / "run.json").unlink()
        lock.release()


def quiet_libraries() -> None:
    """Log what is worth reading."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("mode").setLevel(logging.ERROR)
    logging.getLogger("faust").setLevel(logging.ERROR)


def with_data_folder(data: Path) -> None:
    """Make it, for this user only: health data and hashes of tokens are nobody else's on this machine."""
    os.umask(0o077)
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        if error.errno in (errno.EIO, errno.ENOSPC):
            raise  # that may pass: it is tried again
        raise Misconfigured(f"{data} cannot be the data folder: {error.strerror}. Name another with --data.") from None
    with suppress(OSError):  # a folder that somebody made for us, and owns, or on a disk that is read-only now
        data.chmod(0o700)


def real_plan(options: UpOptions, data: Path) -> Plan:
    """What the configuration names. Raises Misconfigured."""
    return _plan(options, data, _settings(options))


def _running(data: Path) -> str:
    try:
        said = json.loads((data / "run.json").read_text())
        return f"pid {said['pid']}, {said['url']}"
    except (OSError, ValueError, KeyError):
        return "it is starting"


# -- the real thing --------------------------------------------------------------------------------


def _settings(options: UpOptions) -> Settings:
    settings = configuration.load(options.config, environment={**os.environ, **options.overrides})
    configuration.refuse_unusable(settings)
    if not settings.dexcom.account and not Path("config.yaml").exists() and options.config is None:
        raise Misconfigured(
            "There is no configuration yet.\n"
            "  iv3 up --demo    shows everything with a simulated person, in its own folder\n"
            "  iv3 init         asks a few questions and writes config.yaml; then run `iv3 up` again"
        )
    settings = with_found_certificate(settings)
    try_adapters(settings)
    refuse_open_air(options.host or settings.api.host, tls=tls_context(settings) is not None)
    return settings


def _plan(options: UpOptions, data: Path, settings: Settings) -> Plan:
    host = options.host or settings.api.host
    port = options.port if options.port is not None else settings.api.port
    if port and not _is_free(host, port):
        raise Misconfigured(f"Port {port} is in use. Choose another with --port, or --port 0 for any free one.")
    return Plan(
        data=data, settings=settings, clock=SystemClock(), host=host, port=port, person=household(settings)[0].id
    )


def with_found_certificate(settings: Settings) -> Settings:
    """The seed's certificate, where it lay, unless another one is configured."""
    cert, key = Path("_iv3_ssl/certfile.crt"), Path("_iv3_ssl/keyfile.key")
    if settings.api.certfile or not (cert.exists() and key.exists()):
        return settings
    api = settings.api.model_copy(update={"certfile": str(cert), "keyfile": str(key)})
    return settings.model_copy(update={"api": api})


def refuse_open_air(host: str, *, tls: bool) -> None:
    """Without TLS, health data and passwords travel in clear: only this machine may ask."""
    if tls or host == "localhost":
        return
    try:
        local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = False
    if not local:
        raise Misconfigured(
            f"Listening on {host} needs TLS. Set api.certfile and api.keyfile (`task ssl-gen` makes a pair), or stay on 127.0.0.1 and put in front:\n"
            "  tailscale serve --bg 8080\n"
            "  caddy reverse-proxy --from your.name.example --to 127.0.0.1:8080"
        )


def _is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


# -- the demo --------------------------------------------------------------------------------------


def _demo_plan(options: UpOptions, data: Path) -> Plan:
    """Nothing of config.yaml, .env or the environment counts; nothing but loopback is spoken to."""
    host = options.host or "127.0.0.1"
    refuse_open_air(host, tls=False)
    if bool(options.ntfy_server) != bool(options.ntfy_topic):
        raise Misconfigured("--ntfy-server and --ntfy-topic belong together.")
    if options.ntfy_server and not _is_loopback_url(options.ntfy_server):
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
    port = _free_port(host, options.port if options.port is not None else _PORT)
    plan = Plan(
        data=data,
        settings=settings,
        clock=person.clock,
        host=host,
        port=port,
        person=PERSON,
        demo=True,
        demo_of="a recorded person" if options.csv is not None else "a simulated person",
        profile=person.profile(),
    )

    share_port = _any_free_port()

    async def before(parts: Parts) -> None:
        await person.server.start(port=share_port)
        if not any(parts.log.heads[JOURNAL, p] for p in range(parts.log.partitions[JOURNAL])):
            await person.put_history(parts.log, parts.source_account)

    async def late_url(stopping: asyncio.Event) -> None:
        try:
            await stopping.wait()
        finally:
            await person.server.stop()

    plan.before = before
    plan.services = [
        lambda _: late_url,
        lambda parts: lambda stopping: person.keep_diary(parts.log, parts.catalog, stopping),
    ]
    plan.dexcom_url = f"http://127.0.0.1:{share_port}/ShareWebServices/Services"
    return plan


def _any_free_port() -> int:
    """Chosen now, so that the client can be built before the fake Share runs."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _is_loopback_url(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "http" and parts.hostname in {"127.0.0.1", "localhost", "::1"}


def _demo_start(data: Path) -> tuple[int, int, list[int]]:
    """(when this demo's person began, what time it is for them now, when they go low). A demo that ran fast goes on where it was."""
    now_ms = int(time.time() * 1000)
    note = data / "demo.json"
    if not note.exists():
        return _noted(note, now_ms, now_ms, [])
    said = json.loads(note.read_text())
    log = SqliteLog(data / "log.db", demo=True)
    try:
        partition = partition_of(PERSON)
        head = log.heads[JOURNAL, partition]
        last = [decode(r.value).time_ms for r in log.read_now(JOURNAL, partition, max(0, head - 50))]
    finally:
        log.close_now()
    return _noted(
        note, int(said["started_ms"]), max([now_ms, *(t + 1000 for t in last)]), list(said.get("lows_at_ms", []))
    )


def _noted(note: Path, started_ms: int, now_ms: int, lows_at_ms: list[int]) -> tuple[int, int, list[int]]:
    """Order a low for soon after this start, unless one is under way, and write it down: a life that was lived never changes."""
    if not lows_at_ms or now_ms - lows_at_ms[-1] > _LOW_OVER_MS:
        lows_at_ms = [*lows_at_ms, now_ms + LOW_AFTER_MS]
    write_durably(note, json.dumps({"started_ms": started_ms, "lows_at_ms": lows_at_ms}).encode())
    return started_ms, now_ms, lows_at_ms


def _free_port(host: str, port: int) -> int:
    if port == 0:
        return 0
    for candidate in range(port, port + _PORTS_TRIED):
        if _is_free(host, candidate):
            return candidate
    return 0


# -- telling ---------------------------------------------------------------------------------------


def announce(parts: Parts, port: int) -> None:
    """Write run.json and print where to look."""
    plan, where = parts.plan, parts.hearing
    scheme = "https" if where is not None and where.secure else "http"
    name = f"[{plan.host}]" if ":" in plan.host else plan.host
    url = f"{scheme}://{name}:{port}"
    said = {
        "url": url,
        "pid": os.getppid() if os.environ.get("IV3_CHILD") else os.getpid(),
        "started_at": int(time.time()),
    }
    write_durably(plan.data / "run.json", json.dumps(said).encode())
    code = next(iter(where.login_codes), "") if where is not None else ""
    console = Console(file=sys.stdout, highlight=False, soft_wrap=True)
    first = f"iv3 demo is running ({plan.demo_of}; nothing leaves this machine)." if plan.demo else "iv3 is running."
    console.print(first)
    console.print(f"  Open  {url}/login?code={code}", markup=False)
    untold = untold_in(plan.settings)
    if untold and not plan.demo:
        whose = f" for {', '.join(untold[:5])}" if plan.settings.people else ""
        console.print(
            f"  ALARMS ARE OFF{whose}: set iv3.endpoint or ntfy.topic, then try `iv3 test-alarm`.", markup=False
        )
    if plan.settings.alerts == "shadow":
        console.print("  ALARMS ARE IN SHADOW: decided, not sent.")
    without = [person.id for person in household(plan.settings) if person.zone is None]
    if without and not plan.demo:
        zone = host_zone()
        key = (
            "person.zone" if len(without) == 1 and not plan.settings.people else f"the zone of {', '.join(without[:5])}"
        )
        console.print(f"  Times are shown in UTC: set {key}{f' (this machine is in {zone})' if zone else ''}.")
    console.print("  Stop with Ctrl-C.")
