"""A worker: some of the roles, in a process of its own, and a small page for whoever runs it. Any number of them share
the work on Kafka.
"""

import asyncio
import json
import os
import sys
from contextlib import AsyncExitStack

from aiohttp import web

from iv3.assembly.log import default_worker
from iv3.assembly.metrics import metrics_text
from iv3.assembly.plan import StartPlan
from iv3.assembly.roles import add_roles, put_together
from iv3.assembly.running import Running
from iv3.assembly.series import follow_series
from streams.errors import Misconfigured
from streams.runtime.process import Process, Service
from streams.runtime.self_report import SelfReport
from streams.storage.files import FileLock, write_durably


async def run(plan: StartPlan) -> None:
    """Build the roles, run them until a signal, take them down. Raises Misconfigured."""
    name = plan.worker or default_worker()
    lock = FileLock(plan.data / f"worker-{name}.lock")
    if not lock.try_acquire():
        raise Misconfigured(f"A worker named {name} runs on {plan.data} already. Give this one another name: --name.")
    async with AsyncExitStack() as stack:
        stack.callback(lock.release)
        running = await put_together(plan, stack, worker=name)
        await add_roles(running)
        for role_name in sorted(plan.roles - {role.name for role in running.roles}):
            sys.stderr.write(
                f"iv3: there is nothing to do for the {role_name}: its part of the configuration is empty.\n"
            )
        if not running.roles:
            raise Misconfigured("This worker has nothing to do: name its --role, and configure what that needs.")
        report = SelfReport(running.log, plan.clock, name, running.troubles)
        beside = [_page(running, name), follow_series(running.served, running.roles), running.people.follow]
        await Process(running.roles, [*beside, report.follow]).run()


def _page(running: Running, name: str) -> Service:
    """Liveness, readiness and metrics of this process; nothing about anybody."""
    plan, roles, people = running.plan, running.roles, running.people

    async def healthz(request: web.Request) -> web.Response:
        del request
        return web.json_response({"status": "ok"})

    async def readyz(request: web.Request) -> web.Response:
        del request
        reasons = [
            f"{r.name} is {r.progress.paused or r.state}" for r in roles if r.progress.paused or r.state != "running"
        ]
        reasons += [people.trouble] if people.trouble else []  # it may poll, and tell, fewer people than it should
        return web.json_response({"ready": not reasons, "reasons": reasons}, status=503 if reasons else 200)

    async def metrics(request: web.Request) -> web.Response:
        del request
        return web.Response(text=metrics_text(roles, running.log.counters), content_type="text/plain")

    async def serve(stopping: asyncio.Event) -> None:
        app = web.Application()
        app.router.add_get("/healthz", healthz)
        app.router.add_get("/readyz", readyz)
        app.router.add_get("/metrics", metrics)
        runner = web.AppRunner(app, handle_signals=False, access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        site = web.TCPSite(runner, plan.host, plan.port)
        await site.start()
        port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr] # noqa: SLF001 - aiohttp has no other way to ask
        note = plan.data / f"worker-{name}.json"
        write_durably(
            note, json.dumps({"url": f"http://{plan.host}:{port}", "pid": os.getpid(), "name": name}).encode()
        )
        sys.stdout.write(f"iv3 worker {name}: {', '.join(r.name for r in roles)}; http://{plan.host}:{port}/readyz\n")
        sys.stdout.flush()
        try:
            await stopping.wait()
        finally:
            note.unlink(missing_ok=True)
            await runner.cleanup()

    return serve
