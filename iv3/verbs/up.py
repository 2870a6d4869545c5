"""`iv3 up`."""

import asyncio
import gc
import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from iv3.assembly.build import run
from iv3.assembly.starting import announce, plan_of, quiet_libraries, settings_of, with_data_folder
from iv3.options import UpOptions
from streams.errors import InUse, Misconfigured
from streams.storage.files import FileLock


def up(options: UpOptions) -> None:
    """Run until a signal. Raises Misconfigured for what cannot be started."""
    quiet_libraries()
    if not options.demo and any(
        (options.csv, options.subject, options.speed != 1, options.ntfy_server, options.ntfy_topic)
    ):
        raise Misconfigured("--csv, --subject, --speed, --ntfy-server and --ntfy-topic belong to --demo.")
    if options.alerts not in (None, "on", "shadow"):
        raise Misconfigured(f"--alerts is {options.alerts!r}; it must be on or shadow.")
    if options.demo and options.alerts is not None:
        raise Misconfigured("--alerts is for a real person; a demo tells nobody but --ntfy-server.")
    if options.demo and (options.log or options.series or options.archive or options.clock):
        raise Misconfigured("--log, --series, --archive and --clock are for the real thing; a demo has its own.")
    data = options.data or Path("data-demo" if options.demo else "data")
    said = {
        "IV3_LOG": options.log,
        "IV3_SERIES": options.series,
        "IV3_ARCHIVE": options.archive,
        "IV3_ALERTS": options.alerts,
    }
    # A mistake in them leaves no folder behind.
    settings = None if options.demo else settings_of(options.config, options.host, said)
    with_data_folder(data)
    lock = FileLock(data / "up.lock")
    if not lock.try_acquire():
        raise InUse(
            f"Another `iv3 up` runs on {data} already ({_running(data)}). Stop it with `iv3 stop --data {data}`."
        )
    if settings is None:
        from iv3.demo.plan import demo_plan

        plan = demo_plan(options, data)
    else:
        plan = plan_of(settings, data, options.host, options.port, options.clock)
    gc.freeze()  # what is loaded by now stays for months; the collector need not look through it again
    # A quarter of readings is 50,000 short-lived rows: looking through them costs more than making them.
    gc.set_threshold(20_000, 20, 20)
    try:
        asyncio.run(run(replace(plan, on_ready=announce)))
    finally:
        with suppress(FileNotFoundError):
            (data / "run.json").unlink()
        lock.release()


def _running(data: Path) -> str:
    try:
        said = json.loads((data / "run.json").read_text())
        return f"pid {said['pid']}, {said['url']}"
    except (OSError, ValueError, KeyError):
        return "it is starting"
