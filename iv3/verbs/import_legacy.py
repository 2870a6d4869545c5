"""`iv3 import seed-influx`: the history that the older Go program left in InfluxDB."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext

from rich.table import Table

from iv3 import config as configuration
from iv3.assembly.legacy import LegacyBuckets, LegacyMove, MoveReport, insulin_names, legacy_buckets, report_json
from iv3.assembly.log import LogPlace, holds_demo
from iv3.assembly.starting import with_data_folder
from iv3.operations.legacy_settings import insulins_of, source_of
from iv3.operations.progress import bar
from iv3.options import ImportOptions
from iv3.output import fail, say
from processors.legacy.moving import Insulins, LegacyImport
from schemas.household import household
from schemas.model import at_ms
from schemas.settings import Settings
from streams.clock import SystemClock
from streams.errors import FailedPrecondition, Misconfigured
from streams.ports.log import Log

_MOST_PRINTED = 20


def seed_influx(options: ImportOptions) -> None:
    """Read, and unless it is a dry run, append. Raises Misconfigured, SeriesUnavailable, and as `Log.append`."""
    settings = configuration.load(options.config)
    if not settings.influxdb.token.get_secret_value():
        raise Misconfigured(
            "influxdb.token is missing: the token of the old program's InfluxDB, in INFLUXDB_TOKEN (as "
            "its .env has it) or in config.yaml."
        )
    insulins = insulins_of(settings, options.names or ())
    source = source_of(settings)
    if holds_demo(options.data):
        raise FailedPrecondition(
            f"{options.data} is a demo's; nothing real is imported into it. Name another with --data."
        )

    async def work() -> MoveReport:
        async with legacy_buckets(settings.influxdb, options.url, options.org) as buckets:
            return await _move(buckets, settings, insulins, source, options)

    report = asyncio.run(work())
    say(report_json(report), _table(report), *_words(report), as_json=options.as_json)
    if len(report.missing) == 3:
        fail("There is nothing of the old program in this InfluxDB: is --url its address, and --org its organisation?")
    if report.unknown:
        fail(_sentence(sorted(report.unknown)), 2)


async def _move(
    buckets: LegacyBuckets, settings: Settings, insulins: Insulins, source: tuple[str, str], options: ImportOptions
) -> MoveReport:
    person, now_ms = household(settings)[0].id, SystemClock().now_ms()
    if not options.dry_run:
        await _refuse_unknown(buckets, insulins)
        with_data_folder(options.data)
    place = LogPlace(settings, options.data)
    there = place.exists() or not options.dry_run
    opening: AbstractAsyncContextManager[Log | None] = place.opened() if there else nullcontext()
    async with opening as log:
        with bar("Looking" if options.dry_run else "Importing", quiet=options.as_json) as progress:
            move = LegacyMove(buckets, log, person, LegacyImport(person, source, insulins, now_ms), progress)
            return await move.run(dry_run=options.dry_run)


async def _refuse_unknown(buckets: LegacyBuckets, insulins: Insulins) -> None:
    """Nothing is appended while a name is unknown: half a history would look like a whole one."""
    unknown = {name for name in await insulin_names(buckets) if insulins.dose(name, 1) is None}
    if unknown:
        raise FailedPrecondition(f"Nothing was imported. {_sentence(sorted(unknown))}")


def _sentence(names: Sequence[str]) -> str:
    maps = " ".join(f'--map "{name}=..."' for name in names)
    return (
        f"The configuration does not know {', '.join(names)} as rapid or long-acting. Either it stands under another "
        f"name below insulin: then add {maps}; or add it there with its period_type. It is never guessed."
    )


def _table(report: MoveReport) -> Table:
    counted = ("found", "new", "known", "left out", "unknown")
    table = Table("bucket", "month", *counted)
    for bucket, months in report.months.items():
        for month, of in sorted(months.items()):
            table.add_row(bucket, month, *(f"{of[what]:,}" for what in counted))
    return table


def _words(report: MoveReport) -> Iterator[str]:
    for name in report.missing:
        yield f"There is no bucket {name}."
    for row in report.left_out[:_MOST_PRINTED]:
        yield f"Left out of {row.bucket}: {at_ms(row.time_ms):%Y-%m-%d %H:%M:%S}Z, {row.why}."
    more = report.total("left out") - min(len(report.left_out), _MOST_PRINTED)
    if more:
        yield f"{more:,} more were left out; --json names up to a thousand."
    if report.told:
        yield f"{report.told:,} alerts of the old program stay where they are: iv3 keeps its own."
    new, known = report.total("new"), report.total("known")
    does = "would be imported" if report.dry_run else "imported"
    yield f"{new:,} {does}, {known:,} were there already. The old program's buckets were only read."
