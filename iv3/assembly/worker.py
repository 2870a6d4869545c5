"""A worker: some of the roles, in a process of its own, and a small page for whoever runs it. Any number of them share the work on Kafka."""

import asyncio
import json
import os
import sys
from contextlib import AsyncExitStack

from aiohttp import web

from iv3.assembly.channels import channels_of
from iv3.assembly.log import default_worker, open_log
from iv3.assembly.people import People
from iv3.assembly.plan import StartPlan
from iv3.assembly.roles import arm_first, roles_of, troubles_here
from iv3.assembly.series import follow_series, serve_series
from iv3.assembly.status import role_metrics
from streams.adapters.logs.sqlite.log import SqliteLog
from streams.errors import Misconfigured
from streams.runtime.process import Process, Service
from streams.runtime.role import Role
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
        opened = await open_log(plan.settings, plan.data, worker=name)
        stack.push_async_callback(opened.log.close)
        if isinstance(opened.log, SqliteLog):
            raise Misconfigured(
                "Workers share a log on Kafka; this configuration has log: sqlite, which `iv3 up` runs whole. Set log: kafka://HOST:9092."
            )
        served = await serve_series(plan.settings, plan.data, opened.log.log_id)
        stack.push_async_callback(served.close)
        ways = channels_of(plan)
        people = People(plan, ways)
        for close in (people.close, *ways.closers):
            stack.push_async_callback(close)
        if "notifier" in plan.roles:
            await arm_first(plan, opened.log, people.roster)
        roles = roles_of(plan, opened, served.series, people, ways)
        missing = plan.roles - {role.name for role in roles}
        for role_name in sorted(missing):
            sys.stderr.write(
                f"iv3: there is nothing to do for the {role_name}: its part of the configuration is empty.\n"
            )
        if not roles:
            raise Misconfigured("This worker has nothing to do: name its --role, and configure what that needs.")
        house = Process(
            roles,
            [
                _page(plan, name, roles, opened.log.counters, people),
                follow_series(served, roles),
                people.follow,
                SelfReport(opened.log, plan.clock, name, lambda: troubles_here(opened.log, roles, people)).follow,
            ],
        )
        await house.run()


def _page(plan: StartPlan, name: str, roles: list[Role], counters: object, people: People) -> Service:
    """Liveness, readiness and metrics of this process; nothing about anybody."""

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
        return web.Response(text=role_metrics(roles, counters), content_type="text/plain")

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
