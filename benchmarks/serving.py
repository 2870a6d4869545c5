"""The API over a year of data: a day, a quarter, the seed's report; the memory and the idle CPU of the whole; start and
help.
"""

import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from benchmarks.figures import Figure, ms
from benchmarks.year import write_year
from iv3.operations.measuring import quantile

IV3 = [sys.executable, "-P", "-m", "iv3"]
DAY_MS = 86_400_000


def run() -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        now = int(time.time() * 1000)
        asyncio.run(write_year(place / "data", now - 60_000))
        (place / "config.yaml").write_text("iv3: {unit: mmol/L}\n")
        process = start(
            ["up", "--data", str(place / "data"), "--config", str(place / "config.yaml"), "--port", "0"], place
        )
        try:
            return [*_asked(place, now), *_weight(process)]
        finally:
            process.terminate()
            process.wait(15)


def start(arguments: list[str], folder: Path) -> "subprocess.Popen[bytes]":
    process = subprocess.Popen([*IV3, *arguments], cwd=folder, stdout=subprocess.DEVNULL)
    data = Path(arguments[arguments.index("--data") + 1])
    deadline = time.monotonic() + 120
    while not (data / "run.json").exists():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("iv3 up did not start")
        time.sleep(0.02)
    return process


def _asked(folder: Path, now: int) -> list[Figure]:
    url, token = api_of(folder / "data")
    settle(url, token)
    day = times(url, token, f"/v1/readings?from={now - DAY_MS}&to={now}", 300)
    quarter = times(url, token, f"/v1/readings?from={now - 90 * DAY_MS}&to={now}&limit=30000", 25)
    report = times(url, token, f"/dtd?start={(now - 90 * DAY_MS) // 1000}&end={now // 1000}", 25)
    p50, p99 = quantile(day, 0.5), quantile(day, 0.99)
    return [
        Figure("API: 24 h of readings, p50", ms(p50), "< 2.3 ms (the seed: 23)", p50 < 0.0023),
        Figure("API: 24 h of readings, p99", ms(p99), "< 10 ms", p99 < 0.010),
        Figure(
            "API: 90 days of readings, p50",
            ms(quantile(quarter, 0.5)),
            "< 80 ms (the seed: 2,400)",
            quantile(quarter, 0.5) < 0.080,
        ),
        Figure(
            "/dtd over 90 days, p50",
            ms(quantile(report, 0.5)),
            "< 60 ms (the seed: 1,940)",
            quantile(report, 0.5) < 0.060,
        ),
    ]


def api_of(data: Path) -> tuple[str, str]:
    """Where the API of a data folder is, and a token for it."""
    made = subprocess.run(
        [*IV3, "token", "new", "--role", "owner", "--name", "bench", "--data", str(data)],
        capture_output=True,
        text=True,
        check=True,
    )
    return str(json.loads((data / "run.json").read_text())["url"]), made.stdout.split()[-1]


def settle(url: str, token: str) -> None:
    """Wait until every role has read the year."""
    while True:
        request = urllib.request.Request(url + "/metrics", headers={"Authorization": f"Bearer {token}"})
        with urllib.request.urlopen(request) as reply:
            lags = re.findall(r"iv3_(?:role|catalog)_lag\S* (\d+)", reply.read().decode())
        if not sum(map(int, lags)):
            return
        time.sleep(0.5)


def times(url: str, token: str, path: str, many: int) -> list[float]:
    import http.client

    host = url.removeprefix("http://")
    connection = http.client.HTTPConnection(host)
    took = []
    for _ in range(many + 3):
        began = time.perf_counter()
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
        reply = connection.getresponse()
        body = reply.read()
        took.append(time.perf_counter() - began)
        if reply.status != 200:
            raise RuntimeError(body)
    connection.close()
    return took[3:]


def _weight(process: "subprocess.Popen[bytes]") -> list[Figure]:
    """Resident memory of worker and supervisor together, and CPU over 20 idle seconds."""
    children = subprocess.run(
        ["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True
    ).stdout.split()
    pids = [process.pid, *map(int, children)]
    time.sleep(3)
    before = sum(cpu_s(pid) for pid in pids)
    time.sleep(20)
    idle = (sum(cpu_s(pid) for pid in pids) - before) / 20
    rss = sum(_rss_mb(pid) for pid in pids)
    return [
        Figure("`iv3 up` with one year of data, RSS", f"{rss:.0f} MB", "< 120 MB", rss < 120),
        Figure("`iv3 up` with one year of data, idle", f"{idle * 100:.2f} % of a core", "< 2 %", idle < 0.02),
    ]


def cpu_s(pid: int) -> float:
    """Seconds of CPU that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _rss_mb(pid: int) -> float:
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def run_start() -> list[Figure]:
    """From the command to a page with data; and the help."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        process = start(["up", "--demo", "--data", f"{folder}/d", "--port", "0"], Path(folder))
        ready = time.perf_counter() - began
        process.terminate()
        process.wait(15)
    helps = []
    for _ in range(7):
        began = time.perf_counter()
        subprocess.run([*IV3, "--help"], capture_output=True, check=True)
        helps.append(time.perf_counter() - began)
    middle = quantile(helps, 0.5)
    return [
        Figure("`iv3 up --demo` → page with data", f"{ready:.1f} s", "< 15 s", ready < 15),
        Figure("`iv3 --help`", f"{middle:.2f} s", "< 0.4 s", middle < 0.4),
    ]
