"""`iv3 worker`, `iv3 poller` and `iv3 api`: the parts of iv3 in processes of their own, on a log that they share."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from iv3.assembly.build import ROLES, run
from iv3.assembly.worker import run as run_worker
from iv3.verbs.up import UpOptions, quiet_libraries, real_plan, with_data_folder
from schemas.settings import Settings
from streams.clock import SharedClock
from streams.errors import Misconfigured
from streams.ports.clock import Clock


@dataclass(frozen=True)
class WorkerOptions:
    """What the command line says."""

    roles: str
    name: str | None
    data: Path
    config: Path | None
    host: str
    port: int
    clock: str | None = None


def worker(options: WorkerOptions) -> None:
    """Run roles until a signal. Raises Misconfigured."""
    roles = frozenset(part.strip() for part in options.roles.split(",") if part.strip())
    unknown = roles - ROLES
    if unknown:
        raise Misconfigured(
            f"--role: there is no role {', '.join(sorted(unknown))}. Roles are {', '.join(sorted(ROLES))}."
        )
    quiet_libraries()
    plan = real_plan(_as_up(options.data, options.config, options.host, options.port), options.data)
    if plan.settings.log == "sqlite":
        raise Misconfigured(
            "Workers share a log on Kafka, and this configuration has log: sqlite, which `iv3 up` runs whole. Set log: kafka://HOST:9092."
        )
    plan.roles, plan.worker = roles or ROLES, options.name
    if options.clock is not None:
        plan.clock = simulated_clock(options.clock, plan.settings)
    with_data_folder(options.data)
    asyncio.run(run_worker(plan))


def simulated_clock(text: str, settings: Settings) -> Clock:
    """The clock of a simulation, `ORIGIN_MS/REAL_MS/SPEED`. Raises Misconfigured where anything real could be asked, or told, at a made-up time."""
    try:
        origin_ms, real_ms, speed = text.split("/")
        clock = SharedClock(int(origin_ms), int(real_ms), float(speed))
    except ValueError:
        raise Misconfigured(
            "--clock is ORIGIN_MS/REAL_MS/SPEED: at real time REAL_MS it is ORIGIN_MS, both epoch milliseconds."
        ) from None
    if not 0 < clock.speed <= 5000:
        raise Misconfigured("--clock: the speed must lie between 0 and 5000.")
    asked = settings.dexcom.url if settings.dexcom.account else "http://127.0.0.1"
    if any(
        urlsplit(url or "").hostname not in {"127.0.0.1", "localhost", "::1"} for url in (asked, settings.ntfy.server)
    ):
        raise Misconfigured("--clock is for simulations: dexcom.url and ntfy.server must then be on this machine.")
    return clock


def api(data: Path, config: Path | None, host: str | None, port: int | None, clock: str | None = None) -> None:
    """Run the API and the page alone. Raises Misconfigured."""
    quiet_libraries()
    plan = real_plan(_as_up(data, config, host, port), data)
    if plan.settings.log == "sqlite":
        raise Misconfigured(
            "`iv3 api` shares a log on Kafka with workers, and this configuration has log: sqlite: `iv3 up` runs both. Set log: kafka://HOST:9092."
        )
    plan.roles = frozenset()
    if clock is not None:
        plan.clock = simulated_clock(clock, plan.settings)
    with_data_folder(data)
    from iv3.verbs.up import announce

    plan.on_ready = announce
    asyncio.run(run(plan))


def _as_up(data: Path, config: Path | None, host: str | None, port: int | None) -> UpOptions:
    return UpOptions(
        data=data, config=config, host=host, port=port, demo=False, csv=None, subject=None, speed=1.0, ntfy_server=None,
        ntfy_topic=None,
    )  # fmt: skip
