"""The Series in a real InfluxDB: a day and a quarter through the API, the projector catching up, a year rebuilt.

Each beside what a bare client takes, and with the server's own part, which is the floor: what it works (CPU) while it
is written to, and how long it takes for an answer that nobody reads.
"""

import asyncio
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
from pydantic import SecretStr

from benchmarks.figures import Figure, ms
from benchmarks.serving import DAY_MS, api_of, cpu_s, settle, start, times
from benchmarks.year import PERSON, write_year
from iv3.operations.measuring import quantile
from streams.adapters.logs.sqlite.log import SqliteLog
from streams.adapters.series.influx.server import Bucket, InfluxServer
from streams.adapters.series.influx.store import InfluxStore
from streams.adapters.transport.sqlite import Transport
from streams.clock import SystemClock
from streams.roles.projector import Projector
from streams.runtime.app import make_app
from streams.runtime.supervision import Supervision
from streams.views.replay import ReplayReport, replay
from tests.servers.influx import Influx

_ROUNDS = 5
_REBUILDS = 3
_BODY_LINES, _BODY_BYTES = 5_000, 1 << 20


def run() -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        server = Influx(place / "influx")
        server.start()
        try:
            now = int(time.time() * 1000)
            counts = asyncio.run(write_year(place / "data", now - 60_000))
            return [
                *asyncio.run(_rebuilt(server, place, counts)),
                *asyncio.run(_projected(server, place, sum(counts.values()))),
                *_asked(server, place, now),
            ]
        finally:
            server.stop()


class _Noting(InfluxServer):
    """Notes every line that is written, so that the same points can be copied by a bare client."""

    def __init__(self, server: Influx) -> None:
        super().__init__(url=server.url, token=SecretStr(server.token), org=server.org)
        self.lines: list[str] = []

    async def write(self, bucket: Bucket, lines: Sequence[str]) -> None:
        self.lines += lines
        await super().write(bucket, lines)


async def _rebuilt(server: Influx, folder: Path, counts: dict[str, int]) -> list[Figure]:
    """In turn with the bare client, and the middle of the rounds: whatever else this machine does then hits both."""
    log = SqliteLog(folder / "data" / "log.db")
    rounds: list[tuple[float, float, float]] = []  # seconds of the rebuild, of the server in it, of the raw copy
    points = 0
    for number in range(_REBUILDS):
        noting = _Noting(server)
        store = InfluxStore(noting, f"rebuilt-{number}", log.log_id, look_s=0.0)
        worked_s = _worked_s(server)
        report: ReplayReport = await replay(log, folder / "data", store)
        worked_s = _worked_s(server) - worked_s
        await store.close()
        points = report.readings + report.forecasts + report.entries
        rounds.append((report.seconds, worked_s, await _copied(server, noting.lines, f"raw-{number}")))
    await log.close()
    ours_s, worked_s, raw_s = (sorted(column)[len(rounds) // 2] for column in zip(*rounds, strict=True))
    what = f"{counts['readings']:,} readings, {counts['forecasts']:,} forecasts, {counts['entries']:,} entries"
    ratio = raw_s / ours_s
    took = (
        f"{ours_s:.1f} s = {ratio:.2f} × the speed of a raw copy ({raw_s:.1f} s, {points / raw_s:,.0f} "
        f"points/s); the server worked {worked_s:.1f} s"
    )
    return [
        Figure(f"InfluxDB: rebuild of one year ({what})", took, "< 25 s and ≥ 0.5 × raw", ours_s < 25 and ratio >= 0.5)
    ]


def _worked_s(server: Influx) -> float:
    pid = server.process.pid
    return cpu_s(pid) if pid is not None else 0.0


async def _copied(server: Influx, lines: list[str], bucket: str) -> float:
    """Seconds that a bare client takes to post the same lines, one body after the other."""
    server.ask("POST", "/api/v2/buckets", {"orgID": server.org_id, "name": bucket, "retentionRules": []})
    bodies: list[list[bytes]] = [[]]
    size = 0
    for line in lines:
        data = line.encode()
        if len(bodies[-1]) >= _BODY_LINES or size + len(data) >= _BODY_BYTES:
            bodies.append([])
            size = 0
        bodies[-1].append(data)
        size += len(data) + 1
    ready = [b"\n".join(body) for body in bodies]
    where = f"{server.url}/api/v2/write?org={server.org}&bucket={bucket}&precision=ns"
    async with aiohttp.ClientSession(headers={"Authorization": f"Token {server.token}"}) as http:
        began = time.perf_counter()
        for body in ready:
            async with http.post(where, data=body) as reply:
                assert reply.status == 204, await reply.text()
        return time.perf_counter() - began


async def _projected(server: Influx, folder: Path, records: int) -> list[Figure]:
    log = SqliteLog(folder / "data" / "log.db")
    store = InfluxStore(InfluxServer(url=server.url, token=SecretStr(server.token), org=server.org), "iv3", log.log_id)
    series = await store.open(await store.ready())
    role = Projector(
        log,
        SystemClock(),
        lambda group: make_app(group, partial(Transport, log), data_folder=str(folder / "faust")),
        lambda: series,
    )
    stopping = asyncio.Event()
    task = asyncio.ensure_future(Supervision(role).run(stopping))
    while role.state != "running":
        await asyncio.sleep(0.01)
    began, handled, worked_s = time.perf_counter(), role.progress.handled, _worked_s(server)
    while role.lag():
        await asyncio.sleep(0.01)
    took_s, worked_s = time.perf_counter() - began, _worked_s(server) - worked_s
    rate = (role.progress.handled - handled) / took_s
    stopping.set()
    await task
    await store.close()
    await log.close()
    value = f"{rate:,.0f} points/s ({took_s:.1f} s, of which the server worked {worked_s:.1f} s)"
    return [Figure(f"InfluxDB: projector catching up ({records:,} records)", value, "≥ 5,000/s", rate >= 5_000)]


def _asked(server: Influx, folder: Path, now: int) -> list[Figure]:
    said = {"url": server.url, "token": server.token, "org": server.org}
    config = {"iv3": {"unit": "mmol/L"}, "series": "influxdb", "influxdb": said}
    (folder / "config.yaml").write_text(json.dumps(config))
    arguments = ["up", "--data", str(folder / "data"), "--config", str(folder / "config.yaml"), "--port", "0"]
    process = start(arguments, folder)
    try:
        url, token = api_of(folder / "data")
        settle(url, token)
        figures = []
        for name, days, most, many in (("24 h", 1, 0.006, 300), ("90 days", 90, 0.120, 25)):
            path = f"/v1/readings?from={now - days * DAY_MS}&to={now}&limit=30000"
            ours, bare, alone = list[float](), list[float](), list[float]()
            for _ in range(_ROUNDS):  # by turns, so that what else the machine does falls on all three
                ours += times(url, token, path, many // _ROUNDS)
                bare += asyncio.run(_bare_read(server, now, days, many // _ROUNDS, "application/json", _parsed))
                alone += asyncio.run(_bare_read(server, now, days, many // _ROUNDS, "application/x-msgpack", len))
            p50, bare_p50, alone_p50 = (quantile(took, 0.5) for took in (ours, bare, alone))
            value = f"{ms(p50)}, of which the server {ms(alone_p50)} (a bare client with JSON: {ms(bare_p50)})"
            figures.append(
                Figure(
                    f"InfluxDB: {name} of readings through the API, p50", value, f"< {most * 1000:.0f} ms", p50 < most
                )
            )
        return figures
    finally:
        process.terminate()
        process.wait(15)


async def _bare_read(
    server: Influx, now: int, days: int, many: int, accept: str, read: Callable[[bytes], int]
) -> list[float]:
    """Seconds for the same readings by InfluxQL, each answer read by `read` and no more."""
    statement = "SELECT glucose_mgdl, trend, source, id FROM readings WHERE person=$p AND time>=$a AND time<$b"
    params: dict[str, Any] = {"p": PERSON, "a": (now - days * DAY_MS) * 1_000_000, "b": now * 1_000_000}
    form = {"db": "iv3", "q": statement, "params": json.dumps(params), "epoch": "ms"}
    headers = {"Authorization": f"Token {server.token}", "Accept": accept, "Accept-Encoding": "identity"}
    took = []
    async with aiohttp.ClientSession(headers=headers) as http:
        for _ in range(many + 3):
            began = time.perf_counter()
            async with http.post(f"{server.url}/query", data=form) as reply:
                found = read(await reply.read())
            took.append(time.perf_counter() - began)
            assert found > days * 200
    return took[3:]


def _parsed(body: bytes) -> int:
    return len(json.loads(body)["results"][0]["series"][0]["values"])
