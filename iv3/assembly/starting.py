"""Starting: options and configuration become a plan, and whoever started it is told where to look."""

import errno
import json
import logging
import os
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from rich.console import Console

from iv3 import config as configuration
from iv3.assembly.build import try_adapters
from iv3.assembly.clock import simulated_clock
from iv3.assembly.listening import is_free, refuse_open_air, tls_context, with_found_certificate
from iv3.assembly.plan import Ready, StartPlan
from iv3.hostzone import host_zone
from schemas.household import household, people_without_phone
from schemas.settings import Settings
from streams.clock import SystemClock
from streams.errors import FailedPrecondition, InUse, NotFound
from streams.storage.files import write_durably


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
        raise FailedPrecondition(
            f"{data} cannot be the data folder: {error.strerror}. Name another with --data."
        ) from None
    with suppress(OSError):  # a folder that somebody made for us, and owns, or on a disk that is read-only now
        data.chmod(0o700)


def settings_of(config: Path | None, host: str | None, overrides: Mapping[str, str | None]) -> Settings:
    """The configuration, refused where a process could not run by it. `overrides` are environment variables, as they
    would be set, or None. Makes nothing. Raises FailedPrecondition.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    settings = configuration.load(config, environment={**os.environ, **given})
    configuration.refuse_unusable(settings)
    if not settings.dexcom.account and not Path("config.yaml").exists() and config is None:
        raise NotFound(
            "There is no configuration yet.\n"
            "  iv3 up --demo    shows everything with a simulated person, in its own folder\n"
            "  iv3 init         asks a few questions and writes config.yaml; then run `iv3 up` again"
        )
    settings = with_found_certificate(settings)
    try_adapters(settings)
    refuse_open_air(host or settings.api.host, tls=tls_context(settings) is not None)
    return settings


def plan_of(settings: Settings, data: Path, host: str | None, port: int | None, clock: str | None) -> StartPlan:
    """The plan of what the configuration names; `clock` is a simulation's. Raises FailedPrecondition where the port is
    taken.
    """
    host = host or settings.api.host
    port = port if port is not None else settings.api.port
    if port and not is_free(host, port):
        raise InUse(f"Port {port} is in use. Choose another with --port, or --port 0 for any free one.")
    return StartPlan(
        data=data,
        settings=settings,
        clock=SystemClock() if clock is None else simulated_clock(clock, settings),
        host=host,
        port=port,
        person=household(settings)[0].id,
    )


def announce(plan: StartPlan, ready: Ready) -> None:
    """Write run.json and print where to look."""
    name = f"[{plan.host}]" if ":" in plan.host else plan.host
    url = f"{'https' if ready.tls else 'http'}://{name}:{ready.port}"
    pid = os.getppid() if os.environ.get("IV3_CHILD") else os.getpid()
    note = json.dumps({"url": url, "pid": pid, "started_at": int(time.time())})
    write_durably(plan.data / "run.json", note.encode())
    console = Console(file=sys.stdout, highlight=False, soft_wrap=True)
    demo = plan.demo_plan
    console.print(f"iv3 demo is running ({demo.words}; nothing leaves this machine)." if demo else "iv3 is running.")
    console.print(f"  Open  {url}/login?code={ready.login_code}", markup=False)
    untold = people_without_phone(plan.settings)
    if untold and not plan.demo:
        whose = f" for {', '.join(untold[:5])}" if plan.settings.people else ""
        said = f"  ALARMS ARE OFF{whose}: set iv3.endpoint or ntfy.topic, then try `iv3 test-alarm`."
        console.print(said, markup=False)
    if plan.settings.alerts == "shadow":
        console.print("  ALARMS ARE IN SHADOW: decided, not sent.")
    without = [person.id for person in household(plan.settings) if person.zone is None]
    if without and not plan.demo:
        zone, alone = host_zone(), len(without) == 1 and not plan.settings.people
        key = "person.zone" if alone else f"the zone of {', '.join(without[:5])}"
        console.print(f"  Times are shown in UTC: set {key}{f' (this machine is in {zone})' if zone else ''}.")
    console.print("  Stop with Ctrl-C.")
