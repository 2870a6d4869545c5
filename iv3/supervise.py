"""The outer supervisor: a small parent that starts the worker, starts it again when it dies, and takes it along when it
goes.

Only the standard library: this process stays for months beside the one that does the work.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from types import FrameType

CHILD = "IV3_CHILD"
PIPE = "IV3_PARENT_PIPE"
UNEXPECTED = 76  # an error that nobody foresaw: a disk that fails for a moment, most likely
_FINAL = frozenset({0, 1, 2})  # done, failed with a sentence, wrong usage: starting again would change nothing
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 10.0
_CALM_S = 60.0
_STOP_S = 10.0
# glibc keeps a heap per thread and gives memory back late; on a small host that is a fifth of the worker's size.
_FRUGAL = {"MALLOC_ARENA_MAX": "2", "MALLOC_TRIM_THRESHOLD_": "131072"}


def is_child() -> bool:
    """Whether this process is the worker."""
    return os.environ.get(CHILD) == "1"


class Supervisor:
    """Keeps one worker running."""

    def __init__(self, arguments: list[str]) -> None:
        self._command = [sys.executable, "-P", "-m", "iv3", *arguments]
        self._child: subprocess.Popen[bytes] | None = None
        self._told_at: float | None = None

    def run(self) -> int:
        """Run the worker until it ends for good or this process is told to stop. Returns the exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        pause = _FIRST_PAUSE_S
        while True:
            began = time.monotonic()
            code = self._one_life()
            if self._told_at is not None:
                return 0 if code in (0, -signal.SIGTERM) else code
            if code in _FINAL:
                return code
            lived = time.monotonic() - began
            pause = _FIRST_PAUSE_S if lived > _CALM_S else min(pause * 2, _LONGEST_PAUSE_S)
            said = f"iv3: the worker ended with {code} after {lived:.0f} s; starting it again in {pause:.1f} s\n"
            sys.stderr.write(said)
            sys.stderr.flush()
            time.sleep(pause)

    def _one_life(self) -> int:
        read, write = os.pipe()  # the worker sees it close when this process dies, however it dies
        environment = {**_FRUGAL, **os.environ, CHILD: "1", PIPE: str(read)}
        try:
            self._child = subprocess.Popen(  # noqa: S603 - ourselves
                self._command, env=environment, pass_fds=(read,), start_new_session=True
            )
            os.close(read)
            if self._told_at is not None:
                self._child.terminate()
            return self._wait(self._child)
        finally:
            os.close(write)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self._told_at = self._told_at or time.monotonic()
        if self._child is not None and self._child.poll() is None:
            self._child.terminate()

    def _wait(self, child: "subprocess.Popen[bytes]") -> int:
        """Wait for the worker; one that was told to stop and does not is killed."""
        while True:
            try:
                return child.wait(0.5)
            except subprocess.TimeoutExpired:
                if self._told_at is not None and time.monotonic() - self._told_at > _STOP_S:
                    child.kill()


def die_with_parent() -> None:
    """In the worker: end at once when the parent is gone, even by kill -9. Nothing is lost by that; the log is
    durable.
    """
    descriptor = os.environ.get(PIPE)
    if descriptor is None:
        return

    def wait() -> None:
        os.read(int(descriptor), 1)  # returns when the other end is closed
        os._exit(75)

    threading.Thread(target=wait, name="parent", daemon=True).start()
