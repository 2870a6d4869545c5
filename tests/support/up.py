"""Starts the real `iv3 up`, most often with `--demo`, as a person would, in a folder of its own, and asks it things
over HTTP.
"""

import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any


class Up:
    """One data folder and the process that serves it."""

    def __init__(self, data: Path, *arguments: str, demo: bool = True) -> None:
        self.data = data
        command = [
            sys.executable,
            "-P",
            "-m",
            "iv3",
            "up",
            *(["--demo"] if demo else []),
            "--data",
            str(data),
            "--port",
            "0",
        ]
        self.command = [*command, *arguments]
        self.process: subprocess.Popen[bytes] | None = None
        self.token = ""

    def start(self, within_s: float = 90.0) -> None:
        """Start and wait until it is ready."""
        (self.data / "run.json").unlink(missing_ok=True)
        self.data.parent.mkdir(parents=True, exist_ok=True)
        began = time.monotonic()
        with (self.data.parent / "up.log").open("ab") as out:
            self.process = subprocess.Popen(self.command, stdout=out, stderr=out, cwd=self.data.parent)
        while not (self.data / "run.json").exists():
            if self.process.poll() is not None:
                raise AssertionError(f"iv3 up ended with {self.process.returncode}: {self.said()}")
            if time.monotonic() - began > within_s:
                raise AssertionError(f"iv3 up was not ready within {within_s} s: {self.said()}")
            time.sleep(0.02)
        if not self.token:
            self.token = self.iv3(
                "token", "new", "--role", "owner", "--name", "a test", "--data", str(self.data)
            ).split()[-1]

    def iv3(self, *arguments: str, code: int = 0) -> str:
        """Another `iv3` command; its standard output."""
        done = subprocess.run(
            [sys.executable, "-P", "-m", "iv3", *arguments], capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def said(self) -> str:
        log = self.data.parent / "up.log"
        return log.read_text()[-3000:] if log.exists() else ""

    @property
    def url(self) -> str:
        found: str = json.loads((self.data / "run.json").read_text())["url"]
        return found

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """(status, JSON body). Raises OSError where nobody answers."""
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.url + path, data=data, method=method)
        request.add_header("Authorization", f"Bearer {self.token}")
        for name, value in headers.items():
            request.add_header(name.replace("_", "-"), value)
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                return reply.status, json.loads(reply.read() or b"null")
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b"null")

    def kill(self) -> None:
        """As a power cut would: no warning, and the worker goes with its parent."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def stop(self, within_s: float = 60.0) -> float:
        """SIGTERM, and wait until it is gone; returns the seconds that took."""
        assert self.process is not None
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(within_s)
        assert code == 0, f"exit {code}: {self.said()}"
        return time.monotonic() - began
