"""`iv3 stop`: end an `iv3 up`, and say for how long nobody need be told that it is silent."""

import asyncio
import json
import os
import re
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

from iv3 import config as configuration
from iv3.assembly.channels import channels_of
from iv3.assembly.log import LogPlace
from iv3.output import fail
from schemas.settings import Settings
from streams.clock import SystemClock
from streams.delivery.dead_man import DELAY_S, put_off
from streams.errors import Misconfigured, NotifierRefused, NotifierUnreachable
from streams.storage.files import FileLock

_STOP_WAIT_S = 15.0


def stop(data: Path, config: Path | None = None, pause: str | None = None) -> None:
    """Stop the `iv3 up` of a data folder, and wait until it is gone. Whose process a number in a file names is never
    guessed.

    The dead-man's switch stays armed, unless a `pause` says for how long nobody need be told: then it is put off by as
    much.
    """
    if pause is None:
        _stop(data)
        return
    by_s, settings = _pause_s(pause), configuration.load(config)
    _stop(data)
    asyncio.run(_put_off(data, settings, by_s))


_MOST_PAUSE_S = 7200.0  # whoever needs longer is better told


def _pause_s(text: str) -> float:
    found = re.fullmatch(r"(\d{1,4})(m|h)", text.strip())
    seconds = float(found[1]) * (60 if found[2] == "m" else 3600) if found else 0.0
    if not 0 < seconds <= _MOST_PAUSE_S:
        raise Misconfigured("--for is a time like 30m or 2h, at most 2h.")
    return seconds


async def _put_off(data: Path, settings: Settings, by_s: float) -> None:
    channels = channels_of(settings, SystemClock())
    if channels.dead_man is None:
        sys.stdout.write(
            "There is no dead-man's switch to put off: no ntfy topic is set, ntfy.dead_man is false, or "
            "alarms are in shadow.\n"
        )
        return
    try:
        async with LogPlace(settings, data).opened() as log:
            await put_off(log.log_id, channels.dead_man, by_s)
    except (NotifierRefused, NotifierUnreachable) as error:
        fail(
            "The dead-man's switch could not be put off, so the phone will say within 40 min that iv3 is "
            f"silent: {error}"
        )
    finally:
        for close in channels.closers:
            await close()
    sys.stdout.write(f"If iv3 is not back by then, the phone is told in {round((by_s + DELAY_S) / 60)} min.\n")


def _stop(data: Path) -> None:
    lock = FileLock(data / "up.lock")
    if not data.is_dir() or lock.try_acquire():
        lock.release()
        with suppress(FileNotFoundError):
            (data / "run.json").unlink()  # left behind by one that was killed
        fail(f"No `iv3 up` runs on {data}.")
    try:
        pid = int(json.loads((data / "run.json").read_text())["pid"])
        os.kill(pid, signal.SIGTERM)
    except (OSError, ValueError, KeyError):
        fail(f"An `iv3 up` is just starting on {data}; try again in a moment.")
    deadline = time.monotonic() + _STOP_WAIT_S
    while time.monotonic() < deadline:
        if lock.try_acquire():
            lock.release()
            sys.stdout.write("iv3 has stopped.\n")
            return
        time.sleep(0.05)
    fail(f"iv3 (pid {pid}) did not stop within {_STOP_WAIT_S:.0f} s.")
