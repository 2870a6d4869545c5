"""Starting, stopping, serving over TLS: the real command, and what it leaves on the disk."""

import json
import os
import signal
import socket
import ssl
import stat
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.outside import Outside
from tests.support.up import Up

pytestmark = pytest.mark.long


@pytest.fixture
def sleeper() -> Iterator["subprocess.Popen[bytes]"]:
    """A process that is none of iv3's business."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield process
    process.kill()
    process.wait()


def iv3(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-P", "-m", "iv3", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def test_stop_never_kills_whoever_got_the_number_of_one_that_is_gone(
    tmp_path: Path, sleeper: "subprocess.Popen[bytes]"
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "run.json").write_text(json.dumps({"url": "http://127.0.0.1:1", "pid": sleeper.pid, "started_at": 1}))
    done = iv3(tmp_path, "stop", "--data", str(data))
    assert (done.returncode, "No `iv3 up` runs" in done.stderr) == (1, True)
    assert sleeper.poll() is None
    assert not (data / "run.json").exists()


def test_stop_stops_and_nobody_else_can_read_what_was_kept(tmp_path: Path) -> None:
    up = Up(tmp_path / "data")
    (tmp_path / "data").mkdir(mode=0o755)
    up.start()
    try:
        up.iv3("stop", "--data", str(up.data))
        assert up.process is not None
        assert up.process.wait(10) == 0
        open_to_others = [
            p for p in [up.data, *up.data.rglob("*")] if stat.S_IMODE(p.lstat().st_mode) & 0o077 and not p.is_socket()
        ]
        assert not open_to_others
    finally:
        up.kill()


def first_days(up: Up) -> list[str]:
    """The fingerprints of the readings of the first days, which nothing changes any more."""
    return [line for line in up.iv3("digest", "--data", str(up.data)).splitlines() if " readings " in line][:3]


def test_a_derived_file_that_is_damaged_is_set_aside_and_made_anew(tmp_path: Path) -> None:
    up = Up(tmp_path / "data")
    up.start()
    try:
        before = first_days(up)
        up.stop()
        for name in ("series-1.db", "catalog-1.db"):
            (up.data / name).write_bytes(b"no database" * 1000)
        up.start()
        assert (up.data / "series-1.db.damaged").exists()
        deadline = time.monotonic() + 60
        while first_days(up) != before:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert up.ask("GET", "/v1/now")[0] == 200
    finally:
        up.kill()


def test_a_refused_start_leaves_no_folder_behind(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("ntfy: {topic: 'a b/c'}\napi: {port: 0}\n")
    done = iv3(tmp_path, "up")
    assert (done.returncode, "ntfy.topic" in done.stderr) == (2, True)
    assert not (tmp_path / "data").exists()
    assert iv3(tmp_path, "config", "check").returncode == 2, "what cannot be started cannot be used"


def a_certificate(folder: Path) -> tuple[Path, Path]:
    cert, key = folder / "certfile.crt", folder / "keyfile.key"
    folder.mkdir(exist_ok=True)
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "30",
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-keyout",
            str(key),
            "-out",
            str(cert),
        ],
        check=True,
        capture_output=True,
    )
    return cert, key


def test_the_seeds_certificate_is_found_where_it_lay_and_old_tls_is_refused(tmp_path: Path) -> None:
    cert, _ = a_certificate(tmp_path / "_iv3_ssl")
    (tmp_path / "config.yaml").write_text("iv3: {endpoint: some-topic}\nntfy: {server: 'http://127.0.0.1:9'}\n")
    up = Up(tmp_path / "data", demo=False)
    up.start()
    try:
        assert up.url.startswith("https://")
        context = ssl.create_default_context(cafile=str(cert))
        with urllib.request.urlopen(up.url + "/healthz", context=context, timeout=60) as reply:
            assert reply.headers["Strict-Transport-Security"]
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
        port = int(up.url.rsplit(":", 1)[1])
        with (
            pytest.raises((ssl.SSLError, ConnectionResetError)),
            socket.create_connection(("127.0.0.1", port)) as plain,
        ):
            old.wrap_socket(plain)
    finally:
        up.kill()


def test_a_certificate_that_cannot_be_used_is_named_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "nothing.crt").write_text("no certificate")
    (tmp_path / "config.yaml").write_text("api: {certfile: nothing.crt, keyfile: nothing.crt}\n")
    done = iv3(tmp_path, "up")
    assert (done.returncode, "api.certfile" in done.stderr) == (2, True)


def test_whoever_ends_the_parent_ends_the_worker_too(tmp_path: Path) -> None:
    up = Up(tmp_path / "data")
    up.start()
    assert up.process is not None
    (worker,) = [
        int(pid)
        for pid in subprocess.run(
            ["pgrep", "-P", str(up.process.pid)], capture_output=True, text=True, check=True
        ).stdout.split()
    ]
    up.kill()
    deadline = time.monotonic() + 60
    while Path(f"/proc/{worker}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{worker}").exists()


def test_a_worker_that_is_killed_is_started_again_and_serves(tmp_path: Path) -> None:
    up = Up(tmp_path / "data")
    up.start()
    try:
        assert up.process is not None
        (worker,) = subprocess.run(
            ["pgrep", "-P", str(up.process.pid)], capture_output=True, text=True, check=True
        ).stdout.split()
        (up.data / "run.json").unlink()
        os.kill(int(worker), signal.SIGKILL)
        deadline = time.monotonic() + 60
        while not (up.data / "run.json").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert up.ask("GET", "/v1/now")[0] == 200
    finally:
        up.kill()


@pytest.mark.timeout(240)
def test_the_demos_low_rings_once_a_step_and_ends_with_an_all_clear(tmp_path: Path) -> None:
    """What a visitor sees in the first hour, a hundred times as fast, at a phone that is a stand-in."""
    outside = Outside([])
    up = Up(tmp_path / "data", "--speed", "120", "--ntfy-server", outside.phone.url, "--ntfy-topic", "phone")
    up.start()
    try:
        deadline = time.monotonic() + 180
        while not (set(_episodes_of_lows(outside)) & set(_episodes_that_ended(outside))):
            assert time.monotonic() < deadline, outside.rang()
            time.sleep(0.5)
        rang = [r.message for r in outside.phone.received if r.message["event"] == "message"]
        names = [message["sequence_id"] for message in rang]
        assert len(names) == len(set(names)), "each step has its own name, so that it rings"
        assert all(message["title"].startswith("[DEMO] ") for message in rang)
        assert all(m["priority"] == 2 for m in rang if "clear" in m["sequence_id"]), "an all-clear is silent"
    finally:
        up.kill()
        outside.close()


def _episodes_of_lows(outside: Outside) -> Iterator[str]:
    """Of every low that rang through; on a busy machine something else (readings that are late) may ring, and end,
    before it.
    """
    for message in (r.message for r in outside.phone.received if r.message["event"] == "message"):
        name = message.get("sequence_id") or ""
        if "low" in message["title"].lower() and message["priority"] == 5 and not name.endswith("-clear"):
            yield name.rpartition("-")[0]


def _episodes_that_ended(outside: Outside) -> Iterator[str]:
    for name in (r.message.get("sequence_id") or "" for r in outside.phone.received):
        if name.endswith("-clear"):
            yield name.removesuffix("-clear")


def _links(folder: Path) -> Iterator[str]:
    """Where the links lead; one that is closed between two looks is gone."""
    for file in folder.iterdir():
        with suppress(FileNotFoundError):
            yield str(file.readlink())


def test_the_demo_speaks_to_nobody_beyond_this_machine(tmp_path: Path) -> None:
    """Every address that the process connects to, as the kernel sees it."""
    (tmp_path / ".env").write_text("IV3_DEXCOM__ACCOUNT=somebody\nIV3_NTFY__TOPIC=real\n")
    (tmp_path / "config.yaml").write_text("dexcom: {account: real, password: real}\nntfy: {topic: real}\n")
    up = Up(tmp_path / "data", "--speed", "600")
    up.start()
    try:
        assert up.process is not None
        worker = subprocess.run(
            ["pgrep", "-P", str(up.process.pid)], capture_output=True, text=True, check=True
        ).stdout.split()[0]
        strangers: set[str] = set()
        for _ in range(40):
            for name in ("tcp", "tcp6", "udp", "udp6"):
                inodes = set(_links(Path(f"/proc/{worker}/fd")))
                for line in Path(f"/proc/{worker}/net/{name}").read_text().splitlines()[1:]:
                    fields = line.split()
                    if f"socket:[{fields[9]}]" in inodes and not _is_loopback(fields[2].split(":")[0]):
                        strangers.add(fields[2])
            time.sleep(0.05)
        assert not strangers
    finally:
        up.kill()


def _is_loopback(address: str) -> bool:
    """Hexadecimal, as /proc/net has it; all zeros is no peer at all."""
    return set(address) == {"0"} or address == "0100007F" or address.endswith(("0100007F", "01000000"))
