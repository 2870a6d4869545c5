"""`iv3 worker`, `iv3 poller` and `iv3 api`: the parts of iv3 in processes of their own, on a log that they share."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from iv3.assembly.build import run
from iv3.assembly.clock import simulated_clock
from iv3.assembly.plan import ROLES, StartPlan
from iv3.assembly.starting import StartOptions, announce, plan_of, quiet_libraries, settings_of, with_data_folder
from iv3.assembly.worker import run as run_worker
from streams.errors import Misconfigured


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
    plan = _plan(options.data, options.config, options.host, options.port)
    if plan.settings.log == "sqlite":
        raise Misconfigured(
            "Workers share a log on Kafka, and this configuration has log: sqlite, which `iv3 up` runs whole. Set log: kafka://HOST:9092."
        )
    plan.roles, plan.worker = roles or ROLES, options.name
    if options.clock is not None:
        plan.clock = simulated_clock(options.clock, plan.settings)
    with_data_folder(options.data)
    asyncio.run(run_worker(plan))


def api(data: Path, config: Path | None, host: str | None, port: int | None, clock: str | None = None) -> None:
    """Run the API and the page alone. Raises Misconfigured."""
    quiet_libraries()
    plan = _plan(data, config, host, port)
    if plan.settings.log == "sqlite":
        raise Misconfigured(
            "`iv3 api` shares a log on Kafka with workers, and this configuration has log: sqlite: `iv3 up` runs both. Set log: kafka://HOST:9092."
        )
    plan.roles = frozenset()
    if clock is not None:
        plan.clock = simulated_clock(clock, plan.settings)
    with_data_folder(data)
    plan.on_ready = announce
    asyncio.run(run(plan))


def _plan(data: Path, config: Path | None, host: str | None, port: int | None) -> StartPlan:
    options = StartOptions(config, host, port)
    return plan_of(options, data, settings_of(options))
