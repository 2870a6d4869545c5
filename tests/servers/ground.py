"""What every server stands on: the cache folder, a lock while it is built, a free port, and one process that can be
killed and frozen.
"""

import ctypes
import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG


class NotInstallable(Exception):
    """A toolchain is missing, or a build failed; the sentence says which."""


def cache() -> Path:
    """Where servers are installed: `IV3_TEST_CACHE`, or the user's cache folder."""
    root = os.environ.get("IV3_TEST_CACHE")
    folder = (Path(root) if root else Path.home() / ".cache" / "iv3-test") / "servers"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def building(name: str) -> Iterator[None]:
    """Hold the lock of one server's installation, so that two test processes do not build it at once."""
    with (cache() / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def needs(*tools: str) -> None:
    """Raise NotInstallable if a tool is not on the PATH."""
    from shutil import which

    missing = [tool for tool in tools if which(tool) is None]
    if missing:
        raise NotInstallable(f"{', '.join(missing)} must be installed to build this server")


def free_port() -> int:
    """A loopback port nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)


class Process:
    """One server process: started in `folder`, whose `server.log` takes what it says."""

    def __init__(self, command: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None) -> None:
        self.command, self.folder = list(command), folder
        self.environment = dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(self, answers: Callable[[], bool], within_s: float = 60.0) -> None:
        """Start it and wait until it answers."""
        if self.pid is not None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        environment = {"HOME": str(self.folder), "PATH": os.environ["PATH"], **self.environment}
        with (self.folder / "server.log").open("ab") as out:
            self._process = subprocess.Popen(
                self.command,
                stdout=out,
                stderr=out,
                stdin=subprocess.DEVNULL,
                cwd=self.folder,
                env=environment,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - one system call, no lock is taken in it
            )
        self.wait(answers, within_s)

    def wait(self, answers: Callable[[], bool], within_s: float = 60.0) -> None:
        """Wait until it answers; say what it said if it never does."""
        deadline = time.monotonic() + within_s
        while not answers():
            if self._process is None or self._process.poll() is not None:
                raise RuntimeError(f"{self.command[0]} ended: {self.said()}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.command[0]} did not answer within {within_s:.0f} s: {self.said()}")
            time.sleep(0.05)

    def said(self) -> str:
        """The end of its log."""
        log = self.folder / "server.log"
        return log.read_text(errors="replace")[-2000:] if log.exists() else ""

    def stop(self, within_s: float = 30.0) -> None:
        """SIGTERM, and wait; SIGKILL if it does not go."""
        self._end(signal.SIGTERM, within_s)

    def kill(self) -> None:
        """SIGKILL, and wait."""
        self._end(signal.SIGKILL, 10.0)

    def _end(self, number: signal.Signals, within_s: float) -> None:
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)  # a frozen one hears nothing else
            self._process.send_signal(number)
            try:
                self._process.wait(within_s)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(10)
        self._process = None

    def freeze(self) -> None:
        """SIGSTOP: connections stay open and nothing is answered."""
        if self.pid is not None:
            os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        if self.pid is not None:
            os.kill(self.pid, signal.SIGCONT)
