"""`iv3 import seed-influx`: the history that the older Go program left in InfluxDB."""

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from iv3 import config as configuration
from iv3.assembly.legacy import LegacyHistory, LegacyReport, legacy_history, report_json
from iv3.assembly.log import LOG_FILE, LogPlace, is_demo
from iv3.assembly.starting import with_data_folder
from iv3.operations.legacy_settings import insulins_of, source_of
from iv3.operations.progress import bar
from iv3.output import fail
from processors.legacy.moving import Insulins, LegacyImport
from schemas.household import household
from schemas.model import at_ms
from schemas.settings import Settings
from streams.clock import SystemClock
from streams.errors import Misconfigured

_MOST_PRINTED = 20


@dataclass(frozen=True)
class ImportOptions:
    """What the command line says."""

    data: Path
    config: Path | None
    names: tuple[str, ...]
    url: str | None
    org: str | None
    dry_run: bool


def seed_influx(options: ImportOptions, *, as_json_: bool) -> None:
    """Read, and unless it is a dry run, append. Raises Misconfigured, SeriesUnavailable, and as `Log.append`."""
    settings = configuration.load(options.config)
    token = settings.influxdb.token
    if not token.get_secret_value():
        raise Misconfigured(
            "influxdb.token is missing: the token of the old program's InfluxDB, in INFLUXDB_TOKEN (as "
            "its .env has it) or in config.yaml."
        )
    insulins = insulins_of(settings, options.names)
    source = source_of(settings)
    if (options.data / LOG_FILE).exists() and is_demo(options.data):
        raise Misconfigured(f"{options.data} is a demo's; nothing real is imported into it. Name another with --data.")

    async def work() -> LegacyReport:
        async with legacy_history(settings.influxdb, options.url, options.org) as history:
            return await _move(history, settings, insulins, source, options, quiet=as_json_)

    report = asyncio.run(work())
    if as_json_:
        sys.stdout.write(json.dumps(report_json(report)) + "\n")
    else:
        _print(report)
    if len(report.missing) == 3:
        fail("There is nothing of the old program in this InfluxDB: is --url its address, and --org its organisation?")
    if report.unknown:
        fail(_unknown(report), 2)


async def _move(
    history: LegacyHistory,
    settings: Settings,
    insulins: Insulins,
    source: tuple[str, str],
    options: ImportOptions,
    *,
    quiet: bool,
) -> LegacyReport:
    person, now_ms = household(settings)[0].id, SystemClock().now_ms()
    if not options.dry_run:
        await _refuse_unknown(history, insulins)
        with_data_folder(options.data)
    place = LogPlace(settings, options.data)
    log = (await place.open()).log if place.exists() or not options.dry_run else None
    try:
        with bar("Looking" if options.dry_run else "Importing", quiet=quiet) as progress:
            move = history.move(log, person, LegacyImport(person, source, insulins, now_ms), progress)
            return await move.run(dry_run=options.dry_run)
    finally:
        if log is not None:
            await log.close()


async def _refuse_unknown(history: LegacyHistory, insulins: Insulins) -> None:
    """Nothing is appended while a name is unknown: half a history would look like a whole one."""
    unknown = {name for name in await history.insulin_names() if insulins.dose(name, 1) is None}
    if unknown:
        raise Misconfigured(f"Nothing was imported. {_sentence(sorted(unknown))}")


def _sentence(names: Sequence[str]) -> str:
    maps = " ".join(f'--map "{name}=..."' for name in names)
    return (
        f"The configuration does not know {', '.join(names)} as rapid or long-acting. Either it stands "
        "under another name below insulin: "
        f"then add {maps}; or add it there with its period_type. It is never guessed."
    )


def _unknown(report: LegacyReport) -> str:
    return _sentence(sorted(report.unknown))


def _print(report: LegacyReport) -> None:
    table = Table("bucket", "month", "found", "new", "known", "left out", "unknown")
    for bucket, months in report.months.items():
        for month, of in sorted(months.items()):
            table.add_row(
                bucket, month, *(f"{of[what]:,}" for what in ("found", "new", "known", "left out", "unknown"))
            )
    Console().print(table)
    for name in report.missing:
        sys.stdout.write(f"There is no bucket {name}.\n")
    for row in report.left_out[:_MOST_PRINTED]:
        when = f"{at_ms(row.time_ms):%Y-%m-%d %H:%M:%S}Z"
        sys.stdout.write(f"Left out of {row.bucket}: {when}, {row.why}.\n")
    more = report.total("left out") - min(len(report.left_out), _MOST_PRINTED)
    if more:
        sys.stdout.write(f"{more:,} more were left out; --json names up to a thousand.\n")
    if report.told:
        sys.stdout.write(f"{report.told:,} alerts of the old program stay where they are: iv3 keeps its own.\n")
    new, known = report.total("new"), report.total("known")
    does = "would be imported" if report.dry_run else "imported"
    sys.stdout.write(f"{new:,} {does}, {known:,} were there already. The old program's buckets were only read.\n")
