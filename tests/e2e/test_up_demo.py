"""`iv3 up --demo` as a newcomer meets it: the real command, real processes, real HTTP."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.up import Up


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    up = Up(tmp_path_factory.mktemp("demo") / "data-demo")
    up.start()
    yield up
    up.kill()


def test_two_weeks_of_history_and_a_live_reading_are_there_at_once(demo: Up) -> None:
    _, now = demo.ask("GET", "/v1/now")
    assert now["demo"] is True
    assert now["reading"]["age_s"] < 400
    assert now["bars"][0]["kind"] == "demo"
    two_weeks = now["time_ms"] - 13 * 86_400_000
    deadline = time.monotonic() + 60
    while True:
        _, said = demo.ask("GET", f"/v1/readings?from={two_weeks}&limit=10000")
        if len(said["items"]) > 3_500:
            break
        assert time.monotonic() < deadline, f"{len(said['items'])} readings"
        time.sleep(0.2)
    _, entries = demo.ask("GET", f"/v1/entries?from={two_weeks}&kind=insulin")
    assert len(entries["items"]) > 40


def test_everything_it_says_is_marked_as_a_demo(demo: Up) -> None:
    import urllib.request

    with urllib.request.urlopen(demo.url + "/healthz") as reply:
        assert reply.headers["X-IV3-Demo"] == "1"


def test_what_it_wrote_down_leads_back_to_it(demo: Up) -> None:
    said = json.loads((demo.data / "run.json").read_text())
    assert set(said) == {"url", "pid", "started_at"}
    assert demo.process is not None
    assert said["pid"] == demo.process.pid
    assert (demo.data / "run.json").stat().st_mode & 0o077 == 0


def test_a_second_one_on_the_same_folder_says_so_and_ends_with_2(demo: Up) -> None:
    command = [sys.executable, "-P", "-m", "iv3", "up", "--demo", "--data", str(demo.data), "--port", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 2
    assert "runs on" in done.stderr
    assert demo.url in done.stderr


def test_a_real_one_refuses_the_demos_folder(demo: Up, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(
        "dexcom: {account: a, password: b, url: 'http://127.0.0.1:9/ShareWebServices/Services'}\n"
    )
    folder = tmp_path / "copy"
    folder.mkdir()
    for name in ("log.db", "log.db-wal"):
        if (demo.data / name).exists():
            (folder / name).write_bytes((demo.data / name).read_bytes())
    command = [
        sys.executable,
        "-P",
        "-m",
        "iv3",
        "up",
        "--data",
        str(folder),
        "--port",
        "0",
        "--config",
        str(tmp_path / "config.yaml"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert "demo" in done.stderr


def test_without_a_configuration_three_lines_say_what_to_do(tmp_path: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("IV3_")}
    command = [sys.executable, "-P", "-m", "iv3", "up"]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=100, cwd=tmp_path, env=environment, check=False
    )
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 3
    assert "iv3 up --demo" in done.stderr
    assert "iv3 init" in done.stderr


def test_the_open_air_without_tls_is_refused_with_a_way_out(tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-m", "iv3", "up", "--demo", "--host", "0.0.0.0", "--data", str(tmp_path / "d")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert "tailscale" in done.stderr
    assert "caddy" in done.stderr


def test_a_worker_that_is_killed_is_started_again_and_remembers(demo: Up) -> None:
    body = {"kind": "note", "text": "before the crash"}
    status, said = demo.ask("POST", "/v1/entries", body, Idempotency_Key="crash")
    assert status == 202
    assert demo.process is not None
    children = subprocess.run(
        ["pgrep", "-P", str(demo.process.pid)], capture_output=True, text=True, check=True
    ).stdout.split()
    (demo.data / "run.json").unlink()
    subprocess.run(["kill", "-9", *children], check=True)
    deadline = time.monotonic() + 60
    while not (demo.data / "run.json").exists():
        assert time.monotonic() < deadline, demo.said()
        time.sleep(0.05)
    status, entry = demo.ask("GET", f"/v1/entries/{said['id']}")
    assert (status, entry["text"]) == (200, "before the crash")


def test_it_stops_when_it_is_told_to_and_leaves_no_note_behind(tmp_path: Path) -> None:
    demo = Up(tmp_path / "data")
    demo.start()
    demo.stop()
    assert not (demo.data / "run.json").exists()
