"""`iv3 worker`, `iv3 poller` and `iv3 api`: the parts of iv3 in processes of their own, on a log that they share."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from iv3.verbs.up import UpOptions, quiet_libraries, real_plan, with_data_folder
from iv3.wiring import ROLES, run
from iv3.worker import run as run_worker
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
    with_data_folder(options.data)
    asyncio.run(run_worker(plan))


def api(data: Path, config: Path | None, host: str | None, port: int | None) -> None:
    """Run the API and the page alone. Raises Misconfigured."""
    quiet_libraries()
    plan = real_plan(_as_up(data, config, host, port), data)
    if plan.settings.log == "sqlite":
        raise Misconfigured(
            "`iv3 api` shares a log on Kafka with workers, and this configuration has log: sqlite: `iv3 up` runs both. Set log: kafka://HOST:9092."
        )
    plan.roles = frozenset()
    with_data_folder(data)
    from iv3.verbs.up import announce

    plan.on_ready = announce
    asyncio.run(run(plan))


def _as_up(data: Path, config: Path | None, host: str | None, port: int | None) -> UpOptions:
    return UpOptions(
        data=data, config=config, host=host, port=port, demo=False, csv=None, subject=None, speed=1.0, ntfy_server=None,
        ntfy_topic=None,
    )  # fmt: skip
