"""The Series in a real InfluxDB: a day and a quarter through the API, the projector catching up, a year rebuilt; each beside what a bare client takes."""

import asyncio
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp
from pydantic import SecretStr

from benchmarks.figures import Figure, ms
from benchmarks.serving import DAY_MS, api_of, settle, start, times
from benchmarks.year import PERSON, write_year
from iv3.measuring import quantile
from streams.app import make_app
from streams.clock import SystemClock
from streams.logs.sqlite import SqliteLog
from streams.projector import Projector
from streams.replay import ReplayReport, replay
from streams.series.influx_server import Bucket, InfluxServer
from streams.series.influx_store import InfluxStore
from streams.transport.sqlite import LOGS
from tests.servers.influx import Influx

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
    log = SqliteLog(folder / "data" / "log.db")
    noting = _Noting(server)
    store = InfluxStore(noting, "rebuilt", log.log_id, look_s=0.0)
    report: ReplayReport = await replay(log, folder / "data", store)
    await store.close()
    await log.close()
    raw_s = await _copied(server, noting.lines)
    points = report.readings + report.forecasts + report.entries
    what = f"{counts['readings']:,} readings, {counts['forecasts']:,} forecasts, {counts['entries']:,} entries"
    ratio = raw_s / report.seconds
    took = f"{report.seconds:.1f} s = {ratio:.2f} × the speed of a raw copy ({raw_s:.1f} s, {points / raw_s:,.0f} points/s)"
    return [
        Figure(f"InfluxDB: rebuild of one year ({what})", took, "< 25 s and ≥ 0.5 × raw", report.seconds < 25 and ratio >= 0.5)
    ]  # fmt: skip


async def _copied(server: Influx, lines: list[str]) -> float:
    """Seconds that a bare client takes to post the same lines, one body after the other."""
    server.ask("POST", "/api/v2/buckets", {"orgID": server.org_id, "name": "raw", "retentionRules": []})
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
    where = f"{server.url}/api/v2/write?org={server.org}&bucket=raw&precision=ns"
    async with aiohttp.ClientSession(headers={"Authorization": f"Token {server.token}"}) as http:
        began = time.perf_counter()
        for body in ready:
            async with http.post(where, data=body) as reply:
                assert reply.status == 204, await reply.text()
        return time.perf_counter() - began


async def _projected(server: Influx, folder: Path, records: int) -> list[Figure]:
    log = SqliteLog(folder / "data" / "log.db")
    LOGS["influx"] = log
    store = InfluxStore(InfluxServer(url=server.url, token=SecretStr(server.token), org=server.org), "iv3", log.log_id)
    series = await store.open(await store.ready())
    role = Projector(
        log,
        SystemClock(),
        lambda group: make_app(group, "iv3sqlite://influx", data_folder=str(folder / "faust")),
        series,
    )
    stopping = asyncio.Event()
    task = asyncio.ensure_future(role.supervise(stopping))
    while role.state != "running":
        await asyncio.sleep(0.01)
    began, handled = time.perf_counter(), role.progress.handled
    while role.lag():
        await asyncio.sleep(0.01)
    rate = (role.progress.handled - handled) / (time.perf_counter() - began)
    stopping.set()
    await task
    await store.close()
    await log.close()
    return [Figure(f"InfluxDB: projector catching up ({records:,} records)", f"{rate:,.0f} points/s", "≥ 5,000/s", rate >= 5_000)]  # fmt: skip


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
            ours = times(url, token, path, many)
            raw = asyncio.run(_raw_read(server, now, days, many))
            p50, raw_p50 = quantile(ours, 0.5), quantile(raw, 0.5)
            said_so = f"{ms(p50)} (a bare client's InfluxQL: {ms(raw_p50)})"
            figures.append(Figure(f"InfluxDB: {name} of readings through the API, p50", said_so, f"< {most * 1000:.0f} ms", p50 < most))  # fmt: skip
        return figures
    finally:
        process.terminate()
        process.wait(15)


async def _raw_read(server: Influx, now: int, days: int, many: int) -> list[float]:
    """The same readings by InfluxQL and JSON, parsed and no more."""
    statement = "SELECT glucose_mgdl, trend, id, source FROM readings WHERE person=$p AND time>=$a AND time<$b"
    params: dict[str, Any] = {"p": PERSON, "a": (now - days * DAY_MS) * 1_000_000, "b": now * 1_000_000}
    form = {"db": "iv3", "q": statement, "params": json.dumps(params), "epoch": "ms"}
    took = []
    async with aiohttp.ClientSession(headers={"Authorization": f"Token {server.token}"}) as http:
        for _ in range(many + 3):
            began = time.perf_counter()
            async with http.post(f"{server.url}/query", data=form) as reply:
                rows = json.loads(await reply.read())["results"][0]["series"][0]["values"]
            took.append(time.perf_counter() - began)
            assert len(rows) > days * 200
    return took[3:]
