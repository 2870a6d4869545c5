"""`iv3 simulate`: the fake Dexcom Share server on its own, with one person or many."""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from iv3.assembly.simulation import FAULTS, TOWN_PASSWORD, ShareServer, ShareTown, account_names, parse_faults
from iv3.demo.person import LOW_AFTER_MS, DemoPerson
from iv3.options import SimulateOptions
from streams.clock import ScaledClock
from streams.errors import AlreadyExists, FailedPrecondition, Misconfigured


def simulate(options: SimulateOptions) -> None:
    """Serve until a signal. Raises Misconfigured."""
    if options.fault == "help":
        for name, said in FAULTS.items():
            sys.stdout.write(f"{name:24} {said}\n")
        return
    if options.people > 1 and (options.csv or options.fault or options.subject):
        raise Misconfigured(
            "--csv, --subject and --fault are for one person; --people makes many who are simulated and well served."
        )
    if options.write is not None and options.people < 2:
        raise Misconfigured("--write goes with --people: it writes the configuration that has them all.")
    asyncio.run(_town(options) if options.people > 1 else _one(options))


async def _one(options: SimulateOptions) -> None:
    try:
        faults = parse_faults(options.fault)
    except ValueError as error:
        raise Misconfigured(str(error)) from None
    now_ms = int(time.time() * 1000)
    if options.csv is not None:
        person = DemoPerson.recorded(options.csv, options.subject, now_ms - 86_400_000, now_ms, options.speed)
    else:
        person = DemoPerson.simulated(now_ms, now_ms, options.speed, [now_ms + LOW_AFTER_MS])
    person.server.set_faults(faults)
    try:
        await person.server.start(port=options.port)
    except OSError as error:
        raise Misconfigured(f"Port {options.port} cannot be used: {error.strerror}.") from None
    await _until_stopped(
        person.server,
        "A fake Dexcom Share server. In config.yaml:\n"
        f"  dexcom: {{account: demo, password: demo, url: {person.server.url}}}\n",
    )


async def _town(options: SimulateOptions) -> None:
    town = ShareTown(options.people, now_ms=ScaledClock(int(time.time() * 1000), options.speed).now_ms)
    try:
        url = await town.start(options.port)
    except OSError as error:
        raise Misconfigured(f"Port {options.port} cannot be used: {error.strerror}.") from None
    if options.write is not None:
        _write(options.write, {"people": people_of(options.people, url)})
    said = (
        f"A fake Dexcom Share server with {options.people} accounts, p0001 and so on, each with the "
        f"password {TOWN_PASSWORD}, at\n  {url}\n"
    )
    await _until_stopped(town, said + (f"Written: {options.write}.\n" if options.write is not None else ""))


def people_of(people: int, url: str) -> list[dict[str, Any]]:
    """The `people:` of a configuration that watches the town."""
    return [
        {"id": name, "zone": "UTC", "dexcom": {"account": name, "password": TOWN_PASSWORD, "url": url}}
        for name in account_names(people)
    ]


def _write(path: Path, said: dict[str, Any]) -> None:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise AlreadyExists(f"{path} is there already and is never overwritten. Name another with --write.") from None
    except OSError as error:
        raise FailedPrecondition(f"{path} cannot be written: {error.strerror}.") from None
    with os.fdopen(fd, "w", encoding="utf-8") as out:
        yaml.safe_dump(said, out, sort_keys=False)


async def _until_stopped(server: ShareServer | ShareTown, said: str) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    sys.stdout.write(said)
    sys.stdout.flush()
    await stopping.wait()
    await server.stop()
