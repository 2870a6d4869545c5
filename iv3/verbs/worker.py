"""`iv3 worker`, `iv3 poller` and `iv3 api`: the parts of iv3 in processes of their own, on a log that they share."""

import asyncio
from dataclasses import replace
from pathlib import Path

from iv3.assembly.build import run
from iv3.assembly.log import LogPlace
from iv3.assembly.plan import ROLES, StartPlan
from iv3.assembly.starting import announce, plan_of, quiet_libraries, settings_of, with_data_folder
from iv3.assembly.worker import run as run_worker
from iv3.options import WorkerOptions
from streams.errors import Misconfigured


def worker(options: WorkerOptions) -> None:
    """Run roles until a signal. Raises Misconfigured."""
    roles = frozenset(part.strip() for part in options.role.split(",") if part.strip())
    unknown = roles - ROLES
    if unknown:
        raise Misconfigured(
            f"--role: there is no role {', '.join(sorted(unknown))}. Roles are {', '.join(sorted(ROLES))}."
        )
    why = "Workers share a log on Kafka, and this configuration has log: sqlite, which `iv3 up` runs whole."
    plan = _plan(options.data, options.config, options.host, options.port, options.clock, why)
    asyncio.run(run_worker(replace(plan, roles=roles or ROLES, worker=options.name)))


def api(data: Path, config: Path | None, host: str | None, port: int | None, clock: str | None) -> None:
    """Run the API and the page alone. Raises Misconfigured."""
    why = "`iv3 api` shares a log on Kafka with workers, and this configuration has log: sqlite: `iv3 up` runs both."
    plan = _plan(data, config, host, port, clock, why)
    asyncio.run(run(replace(plan, roles=frozenset(), on_ready=announce)))


def _plan(
    data: Path, config: Path | None, host: str | None, port: int | None, clock: str | None, why: str
) -> StartPlan:
    """The plan of a process that shares a log, in a data folder that is there. Raises Misconfigured, which says `why`,
    where the log is a file.
    """
    quiet_libraries()
    plan = plan_of(settings_of(config, host, {}), data, host, port, clock)
    if not LogPlace(plan.settings, plan.data).on_kafka:
        raise Misconfigured(f"{why} Set log: kafka://HOST:9092.")
    with_data_folder(data)
    return plan
