"""A worker: some of the roles, in a process of its own, and a small page for whoever runs it. Any number of them share
the work on Kafka.
"""

import asyncio
import json
import os
import sys
from contextlib import AsyncExitStack

from aiohttp import web

from api.ops import add_ops_routes
from api.request.context import Readiness
from api.request.listening import listening
from iv3.assembly.log import default_worker
from iv3.assembly.metrics import metrics_text
from iv3.assembly.plan import StartPlan
from iv3.assembly.roles import add_roles, put_together
from iv3.assembly.running import Running
from iv3.assembly.series import follow_series
from iv3.output import warn
from streams.errors import FailedPrecondition, InUse
from streams.runtime.process import Process, Service
from streams.runtime.self_report import SelfReport
from streams.storage.files import FileLock, write_durably


async def run(plan: StartPlan) -> None:
    """Build the roles, run them until a signal, take them down. Raises FailedPrecondition."""
    name = plan.worker or default_worker()
    lock = FileLock(plan.data / f"worker-{name}.lock")
    if not lock.try_acquire():
        raise InUse(f"A worker named {name} runs on {plan.data} already. Give this one another name: --name.")
    async with AsyncExitStack() as stack:
        stack.callback(lock.release)
        running = await put_together(plan, stack, worker=name)
        await add_roles(running)
        for role_name in sorted(plan.roles - {role.name for role in running.roles}):
            warn(f"there is nothing to do for the {role_name}: its part of the configuration is empty.")
        if not running.roles:
            raise FailedPrecondition("This worker has nothing to do: name its --role, and configure what that needs.")
        report = SelfReport(running.log, plan.clock, name, running.troubles)
        beside = [_page(running, name), follow_series(running.served, running.roles), running.people.follow]
        await Process(running.roles, [*beside, report.follow]).run()


def _page(running: Running, name: str) -> Service:
    """Liveness, readiness and metrics of this process; nothing about anybody."""
    plan, roles, people = running.plan, running.roles, running.people

    def readiness() -> Readiness:
        resting = [role for role in roles if role.progress.paused or role.state != "running"]
        reasons = [f"{role.name} is {role.progress.paused or role.state}" for role in resting]
        reasons += [people.trouble] if people.trouble else []  # it may poll, and tell, fewer people than it should
        return Readiness(not reasons, tuple(reasons))

    async def serve(stopping: asyncio.Event) -> None:
        app = web.Application()
        add_ops_routes(app, readiness, lambda: metrics_text(roles, running.log.counters))
        async with listening(app, plan.host, plan.port, stop_s=0.5) as port:
            url = f"http://{plan.host}:{port}"
            note = plan.data / f"worker-{name}.json"
            write_durably(note, json.dumps({"url": url, "pid": os.getpid(), "name": name}).encode())
            sys.stdout.write(f"iv3 worker {name}: {', '.join(r.name for r in roles)}; {url}/readyz\n")
            sys.stdout.flush()
            try:
                await stopping.wait()
            finally:
                note.unlink(missing_ok=True)

    return serve
