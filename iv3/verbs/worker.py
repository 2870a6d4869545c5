"""`iv3 worker`, `iv3 poller` and `iv3 api`: the parts of iv3 in processes of their own, on a log that they share."""

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path

from iv3.assembly.build import run
from iv3.assembly.clock import simulated_clock
from iv3.assembly.log import LogPlace
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
    plan = _plan(options.data, options.config, options.host, options.port, options.clock)
    if not LogPlace(plan.settings, options.data).on_kafka:
        raise Misconfigured(
            "Workers share a log on Kafka, and this configuration has log: sqlite, which `iv3 up` runs "
            "whole. Set log: kafka://HOST:9092."
        )
    with_data_folder(options.data)
    asyncio.run(run_worker(replace(plan, roles=roles or ROLES, worker=options.name)))


def api(data: Path, config: Path | None, host: str | None, port: int | None, clock: str | None = None) -> None:
    """Run the API and the page alone. Raises Misconfigured."""
    quiet_libraries()
    plan = _plan(data, config, host, port, clock)
    if not LogPlace(plan.settings, data).on_kafka:
        raise Misconfigured(
            "`iv3 api` shares a log on Kafka with workers, and this configuration has log: sqlite: `iv3 "
            "up` runs both. Set log: kafka://HOST:9092."
        )
    with_data_folder(data)
    asyncio.run(run(replace(plan, roles=frozenset(), on_ready=announce)))


def _plan(data: Path, config: Path | None, host: str | None, port: int | None, clock: str | None) -> StartPlan:
    options = StartOptions(config, host, port)
    plan = plan_of(options, data, settings_of(options))
    return plan if clock is None else replace(plan, clock=simulated_clock(clock, plan.settings))
