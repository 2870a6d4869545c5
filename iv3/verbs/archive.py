"""`iv3 backup`, `iv3 verify`, `iv3 restore`, `iv3 archive merge`, `iv3 archive drill`, `iv3 archive prune`."""

import asyncio
import shutil
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from api.request.values import iso
from iv3 import config as configuration
from iv3.assembly.archive import archive_of, refuse_absent_folder
from iv3.assembly.log import LOG_FILE, LogPlace, new_log_file
from iv3.closing import closing
from iv3.operations.opened import with_log
from iv3.operations.progress import bar
from iv3.options import PruneOptions
from iv3.output import fail, say
from processors.archive.format import SegmentDamaged, head_key, read_head
from schemas.settings import Settings
from streams.archive import drill as drills
from streams.archive import merge as merging
from streams.archive.maintenance import host_ms
from streams.archive.restore import restore as make_anew
from streams.archive.retention import Earlier, RetentionPlan, plan, remove
from streams.archive.verify import VerifyReport, read_back, the_log_id
from streams.archive.writer import ArchiveWriter
from streams.clock import SystemClock
from streams.copies import copy_log
from streams.copies.repartition import refuse_other_than_multiple
from streams.errors import FailedPrecondition, Misconfigured
from streams.ports.archive import Archive
from streams.ports.log import Log
from streams.topics import JOURNAL, PARTITIONS


def _archive(settings: Settings, named: str | None, *, must_exist: bool = False) -> Archive:
    setting = named or settings.archive
    archive = archive_of(setting, settings.s3)
    if must_exist:
        refuse_absent_folder(setting)
    if archive is None:
        raise Misconfigured(
            "No archive is named: set `archive: folder:PATH` or `archive: s3` in config.yaml, or name it "
            "here as folder:PATH or s3."
        )
    return archive


def backup(data: Path, config: Path | None, to: str | None, *, as_json: bool) -> None:
    """Archive everything that is in the log now. May run beside `iv3 up`."""
    archive = _archive(configuration.load(config), to)

    async def work(log: Log) -> int:
        writer = ArchiveWriter(log, archive, SystemClock())
        with bar("Archiving", quiet=as_json) as progress:
            return await writer.catch_up(progress)

    done = with_log(data, work, config)
    words = f"{done:,} records archived in {archive!r}; it is up to date."
    say({"archived": done, "archive": repr(archive)}, words, as_json=as_json)


def verify(config: Path | None, named: str | None, *, as_json: bool) -> None:
    """Read everything back; exit 1 if anything is not as it should be."""
    archive = _archive(configuration.load(config), named, must_exist=True)

    async def work() -> VerifyReport:
        name = await the_log_id(archive, None)
        with bar("Verifying", quiet=as_json) as progress:
            return await read_back(archive, name, progress)

    report = asyncio.run(work())
    written = iso(report.written_ms) if report.written_ms else "never"
    words = [
        *(f"DAMAGED: {problem}" for problem in report.problems),
        f"{report.segments:,} segments, {report.records:,} records, {report.bytes:,} bytes; written {written}",
    ]
    if report.leftovers:
        words.append(
            f"{report.leftovers:,} objects are left over from a merge that was stopped: they do no "
            "harm, and the next merge removes them."
        )
    say(asdict(report), *words, as_json=as_json)
    if report.problems:
        fail(f"{len(report.problems)} objects are not as they should be.")


def restore(data: Path, config: Path | None, named: str | None, *, as_json: bool) -> None:
    """Make a new log from the archive."""
    settings = configuration.load(config)
    archive = _archive(settings, named, must_exist=True)

    async def work() -> dict[str, object]:
        if LogPlace(settings, data).on_kafka:
            return await _restore_to_kafka(settings, archive, data, as_json=as_json)
        with bar("Restoring", quiet=as_json) as progress:
            report = await make_anew(archive, new_log_file, data, progress)
        return asdict(report)

    report = asyncio.run(work())
    words = (
        f"{report['records']:,} records restored in {data}, under the new log id {report['log_id']}. `iv3 "
        "replay` or `iv3 up` comes next."
    )
    say(report, words, as_json=as_json)


async def _restore_to_kafka(settings: Settings, archive: Archive, data: Path, *, as_json: bool) -> dict[str, object]:
    """Restore into a file first, which is whole or not there; then copy it, comparing, into topics that must be
    empty.
    """
    split = await _split_of(archive)
    # Of topics that are to be made: the log comes back as it was.
    kafka = settings.kafka.model_copy(update={"partitions": split})
    scratch = data / ".restoring-to-kafka"
    async with LogPlace(settings.model_copy(update={"kafka": kafka}), data).opened() as log:
        try:
            await copy_log.refuse_used(log)
            refuse_other_than_multiple(split, log.partitions[JOURNAL])
            shutil.rmtree(scratch, ignore_errors=True)
            with bar("Restoring", quiet=as_json) as progress:
                report = await make_anew(archive, new_log_file, scratch, progress)
            if report.demo:
                raise FailedPrecondition("The archive is a demo's; a demo is never restored to Kafka.")
            async with closing(new_log_file(scratch / LOG_FILE)) as file:
                with bar("Copying to Kafka", quiet=as_json) as progress:
                    copied = await copy_log.copy(file, log, progress)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return {**asdict(report), "log_id": copied.to_log, "records": copied.records, "partitions": copied.partitions}


async def _split_of(archive: Archive) -> int:
    """How many partitions the log had. What is wrong with its head the restore itself names."""
    data = await archive.get(head_key(await the_log_id(archive, None)))
    with suppress(SegmentDamaged):
        return read_head(data or b"").partitions
    return PARTITIONS


def merge(config: Path | None, named: str | None, *, as_json: bool) -> None:
    """Merge what is over; exit 1 if a partition is damaged."""
    archive = _archive(configuration.load(config), named, must_exist=True)

    async def work() -> merging.MergeReport:
        name = await the_log_id(archive, None)
        with bar("Merging", quiet=as_json) as progress:
            return await merging.merge(archive, name, host_ms(), progress)

    report = asyncio.run(work())
    left = [f"LEFT AS IT IS: {problem}" for problem in report.problems]
    done = f"{report.merged:,} segments became {report.days:,}; {report.deleted:,} objects were deleted."
    say(asdict(report), *left, done, as_json=as_json)
    if report.problems:
        fail("What is damaged is not merged; `iv3 verify` names all of it.")


def drill(data: Path, config: Path | None, named: str | None, scratch: Path | None, *, as_json: bool) -> None:
    """Restore and compare; exit 1 if anything came back otherwise than the log has it."""
    archive = _archive(configuration.load(config), named, must_exist=True)
    place = (scratch or data) / drills.SCRATCH
    if scratch is not None:
        scratch.mkdir(mode=0o700, parents=True, exist_ok=True)

    async def work(log: Log) -> drills.DrillOutcome:
        with bar("Restoring and comparing", quiet=as_json) as progress:
            return await drills.drill(log, archive, new_log_file, place, host_ms(), progress)

    outcome = with_log(data, work, config)
    drills.keep_outcome(data, outcome)
    younger = f"; {outcome.not_archived:,} are younger than the archive" if outcome.not_archived else ""
    words = (
        f"{outcome.records:,} records restored in {outcome.seconds:.0f} s, each as the log has "
        f"it{younger}. The copy was removed again."
    )
    say(asdict(outcome), *([words] if outcome.ok else []), as_json=as_json)
    if not outcome.ok:
        fail(f"the archive could not be restored as it should: {outcome.problem}")


def prune(options: PruneOptions) -> None:
    """Remove earlier logs, or say which would go."""
    settings = configuration.load(options.config)
    archive = _archive(settings, options.archive, must_exist=True)
    keep_days = options.keep_days if options.keep_days is not None else settings.archive_keep_days
    if keep_days is None:
        raise FailedPrecondition(
            "Everything in the archive is kept for ever: archive_keep_days is not set. Try another "
            "answer with --keep-days N --dry-run."
        )
    in_use = with_log(options.data, _its_id, options.config) if LogPlace(settings, options.data).exists() else None

    async def work() -> tuple[RetentionPlan, int]:
        name = in_use or await the_log_id(archive, None)
        made = await plan(archive, name, keep_days, host_ms(), options.lose or ())
        return made, 0 if options.dry_run else await remove(archive, made)

    made, removed = asyncio.run(work())
    words = [line for earlier in made.earlier for line in _in_words(earlier, dry_run=options.dry_run)]
    words = words or ["The archive holds no log but the one in use; nothing is to be removed."]
    say({**asdict(made), "removed_objects": removed, "dry_run": options.dry_run}, *words, as_json=options.as_json)


async def _its_id(log: Log) -> str:
    return log.log_id


def _in_words(earlier: Earlier, *, dry_run: bool) -> list[str]:
    written = iso(earlier.written_ms) if earlier.written_ms else "never finished"
    lines = [f"log {earlier.log_id}: {earlier.records:,} records, {earlier.bytes:,} bytes, last written {written}"]
    lines += [f"  WOULD BE LOST: {what}" for what in earlier.lost]
    if earlier.kept_because:
        lines.append(f"  stays: {earlier.kept_because}")
        if earlier.lost:
            lines.append(f"  to remove it all the same: iv3 archive prune --lose {earlier.log_id}")
        return lines
    lines.append(f"  {'would be removed' if dry_run else 'removed'}: {len(earlier.keys):,} objects")
    if earlier.foreign:
        lines.append(f"  {earlier.foreign:,} objects in its folder are named by no manifest, and stay")
    return lines
