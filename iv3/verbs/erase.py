"""`iv3 person erase`: everything of one person out of log, archive and series, and what is left of them elsewhere,
said.
"""

import asyncio
import os
import sys
import time
from dataclasses import asdict
from functools import partial
from typing import Any

import typer

from iv3 import config as configuration
from iv3.assembly.archive import archive_of, refuse_absent_folder
from iv3.assembly.log import LogPlace
from iv3.operations.erasure import Done, Erasure, is_under_way, read_note
from iv3.operations.opened import log_settings
from iv3.operations.progress import bar
from iv3.options import EraseOptions
from iv3.output import say
from schemas.envelope import SYSTEM
from schemas.household import household
from streams.archive.maintenance import host_ms
from streams.copies.erase_archive import ArchiveTraces
from streams.copies.erase_person import LogTraces
from streams.errors import FailedPrecondition, InUse, Misconfigured, NotFound
from streams.ports.archive import Archive
from streams.storage.files import FileLock


def erase(options: EraseOptions) -> None:
    """Look, ask, erase, and say what remains elsewhere. Raises Misconfigured, and what log, archive and series
    raise.
    """
    person, data = options.person, options.data
    if not person.strip() or person == SYSTEM:
        raise Misconfigured("Name the person by their id, as `person.id` in config.yaml or the log has it.")
    settings = log_settings(data, options.config)
    configuration.refuse_unusable(settings)
    place = LogPlace(settings, data)
    demo = place.is_demo()
    archive = archive_of(settings.archive, settings.s3)
    refuse_absent_folder(settings.archive, " It is erased from too.")
    lock = FileLock(data / "up.lock")
    if not options.dry_run:
        os.umask(0o077)
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not lock.try_acquire():
            raise InUse(f"iv3 runs on {data}; stop it first (iv3 stop --data {data}).")
        # An exchange that was killed left it; nobody else exchanges while we hold the lock.
        place.take_sign_down()
    try:
        _erase(Erasure(data, settings, archive, person, partial(bar, quiet=options.as_json), demo=demo), options)
    finally:
        lock.release()


def _erase(erasure: Erasure, options: EraseOptions) -> None:
    person, began, note = options.person, time.monotonic(), read_note(options.data)
    earlier: list[str] = []
    if note is not None and is_under_way(erasure.place, note):
        if note.person != person:
            other = note.person
            raise InUse(f"The erasure of {other} was interrupted and must be ended first: iv3 person erase {other}")
        if options.dry_run:
            words = f"The erasure of {person} was begun and interrupted; run it again without --dry-run to end it."
            say({"person": person, "dry_run": True, "begun": True}, words, as_json=options.as_json)
            return
    else:
        found, finding = asyncio.run(erasure.find_traces(options.lose or ()))
        if not found.any and not finding.earlier and not finding.stays:
            raise NotFound(f"There is nothing of a person {person!r} in this log, nor in its archive. Is the id right?")
        remains = asyncio.run(_remains(erasure, found.mentions))
        if options.dry_run:
            document = _would(person, found, finding, remains)
            say(document, *_would_in_words(person, found, finding, remains), as_json=options.as_json)
        if finding.stays:
            raise FailedPrecondition("Nothing is erased before this is decided.\n  " + "\n  ".join(finding.stays))
        if options.dry_run:
            return
        _ask(options, found)
        earlier = finding.earlier
    done = asyncio.run(erasure.run(note, host_ms(), earlier))
    remains = [*_left_over(done), *asyncio.run(_remains(erasure, done.note.mentions))]
    seconds = round(time.monotonic() - began, 1)
    say(_did(done, remains, seconds), *_did_in_words(done, remains, seconds), as_json=options.as_json)


def _ask(options: EraseOptions, found: LogTraces) -> None:
    """A question that names the person. Raises Misconfigured where nobody can be asked, or the answer is no."""
    if options.yes:
        return
    called = f"{found.called} ({options.person})" if found.called else options.person
    if not sys.stdin.isatty():
        raise FailedPrecondition(
            f"Nobody can be asked here whether {called} is to be erased: say --yes. --dry-run shows what would go."
        )
    number = sum(found.theirs.values())
    sys.stderr.write(
        f"{number:,} records of {called} are erased for ever, in log, archive and charts. Nobody can bring them back.\n"
    )
    if not typer.confirm(f"Erase {called}?", default=False, err=True):
        raise FailedPrecondition("Nothing was erased.")


# -- what remains ----------------------------------------------------------------------------------


async def _remains(erasure: Erasure, mentions: int) -> list[str]:
    """One sentence for each place that iv3 cannot reach."""
    settings, person = erasure.settings, erasure.person
    said = []
    if any(configured.id == person for configured in settings.people):
        said.append(
            f"config.yaml still describes them: take {person} out of `people` before the next start, or "
            "iv3 asks for their readings again"
        )
    elif household(settings)[0].id == person and not erasure.demo:
        said.append(
            "config.yaml (and .env) still describe them: take person, dexcom and insulin out before the "
            "next start, or iv3 watches them again"
        )
    said += [
        "notifications that phones have shown, in the ntfy app's history",
        "what the ntfy server keeps: 12 hours, unless it is configured otherwise",
        "what Dexcom itself has",
        (
            "exports, backups and copies of the data folder that somebody made by hand, and snapshots of the "
            "file system or the machine"
        ),
        "sectors of the disk until they are written again: files were deleted, not overwritten",
    ]
    if mentions:
        records = "one record" if mentions == 1 else f"{mentions:,} records"
        said.append(f"{records} of other people, in which {person} is named: what others wrote is theirs, and stays")
    earlier = "an InfluxDB, if one was used before `series: sqlite`: delete its buckets by hand"
    said.append("backups of InfluxDB" if settings.series == "influxdb" else earlier)
    if erasure.place.on_kafka:
        said.append(
            "segments of deleted topics on the brokers' disks until file.delete.delay.ms is over (a "
            "minute, unless configured), longer on a broker that is down"
        )
        said.append(
            "data folders of other machines: catalog-*.db, to be deleted there while iv3 is stopped (it "
            "is made anew), and copies of credentials.enc"
        )
    return said + await _of_the_bucket(erasure.archive)


async def _of_the_bucket(archive: Archive | None) -> list[str]:
    seen = await archive.exposure() if archive is not None else None
    if seen is None:
        return []
    if seen.versioning:
        return [f"earlier versions of objects in {archive!r}: the bucket keeps versions, so delete them there"]
    if seen.versioning is None:
        return [f"{archive!r} does not say whether it keeps earlier versions of objects: look there"]
    return [f"versions in {archive!r} of a time when versioning was on: it is off now"]


def _left_over(done: Done) -> list[str]:
    said = [f"the archive's object {key}, which no manifest describes" for key in done.objects_left]
    strange = "which was made from a log that this one does not know: delete it if nobody needs it"
    return said + [f"the bucket {name} of InfluxDB, {strange}" for name in done.buckets_left]


# -- saying ----------------------------------------------------------------------------------------


def _would(person: str, found: LogTraces, finding: ArchiveTraces, remains: list[str]) -> dict[str, Any]:
    return {
        "person": person,
        "dry_run": True,
        "records": {topic: {"all": number, "theirs": found.theirs[topic]} for topic, number in found.records.items()},
        "tokens_that_end": found.tokens,
        "records_of_others_that_name_them": found.mentions,
        "archive": {
            "segments_to_be_rewritten": finding.segments,
            "earlier_logs_to_be_deleted": finding.earlier,
            "stays": finding.stays,
        },
        "remains": remains,
    }


def _would_in_words(person: str, found: LogTraces, finding: ArchiveTraces, remains: list[str]) -> list[str]:
    lines = [f"{person} would be erased{f' ({found.called})' if found.called else ''}. Nothing was changed."]
    lines += [f"  {topic}: {found.theirs[topic]:,} of {number:,} records" for topic, number in found.records.items()]
    lines.append(f"  archive: {finding.segments:,} segments would be written anew")
    lines += [f"  archive: the earlier log {name} would be deleted" for name in finding.earlier]
    return [*lines, *_tokens(found.tokens, "would end"), *_list(remains)]


def _did(done: Done, remains: list[str], seconds: float) -> dict[str, Any]:
    note, replayed = done.note, done.replayed
    return {
        "person": note.person,
        "dry_run": False,
        "from_log": note.old_log,
        "log_id": note.new_log,
        "erased": note.theirs,
        "tokens_ended": note.tokens,
        "archive": {"deleted_objects": done.objects, "deleted_logs": [note.old_log, *note.earlier]},
        "deleted_buckets": done.buckets,
        "replayed": asdict(replayed) if replayed is not None else None,
        "remains": remains,
        "seconds": seconds,
    }


def _did_in_words(done: Done, remains: list[str], seconds: float) -> list[str]:
    note, records = done.note, sum(done.note.theirs.values())
    lines = [f"{note.person} is erased: {records:,} records, in {seconds:.0f} s. The log's id is {note.new_log} now."]
    if done.objects:
        lines.append(f"  {done.objects:,} objects of the archive were deleted; the new ones were compared with the log")
    lines += [f"  InfluxDB's bucket {name} was deleted" for name in done.buckets]
    return [*lines, *_tokens(note.tokens, "ended"), *_list(remains)]


def _tokens(tokens: dict[str, str], what: str) -> list[str]:
    more = "make another if it also served other people"
    return [f"  the token {number} ({name}) {what}: {more}" for number, name in tokens.items()]


def _list(remains: list[str]) -> list[str]:
    return ["What remains elsewhere:", *(f"  - {what}" for what in remains)]
