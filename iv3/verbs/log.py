"""Verbs that look at the log: replay, digest, topics, dead letters."""

import json
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from iv3.operations.opened import log_settings, with_log
from iv3.output import fail
from schemas.bookkeeping import RecordDeadLettered
from schemas.envelope import decode, make
from schemas.identity import derived_id
from schemas.model import at_ms
from streams.ports.log import Log, append_events
from streams.ports.series import SeriesStore
from streams.roles.projector import Projector
from streams.topics import DEAD_LETTERS, TOPICS


def digest(data: Path, config: Path | None, *, as_json: bool) -> None:
    """The fingerprints of the Series."""

    async def work(log: Log) -> list[dict[str, object]]:
        store = _store(data, config, log)
        try:
            series = await store.open(await store.serving())
            reached = await series.position()
            behind = sum(
                max(0, head - reached.get(at, 0)) for at, head in log.heads.items() if at[0] in Projector.topics
            )
            if behind:
                sys.stderr.write(
                    f"iv3: the series lacks {behind:,} records of the log; run `iv3 replay` (or `iv3 up`) first.\n"
                )
            rows = [row._asdict() for row in await series.digest()]
            await series.close()
            if behind and not rows:
                fail("There is nothing to compare yet.")
            return rows
        finally:
            await store.close()

    rows = with_log(data, work, config)
    if as_json:
        sys.stdout.write(json.dumps(rows) + "\n")
        return
    for row in rows:
        sys.stdout.write(f"{row['person']} {row['day']} {row['kind']:9} {row['rows']:6} {row['sha256']}\n")


def _store(data: Path, config: Path | None, log: Log) -> SeriesStore:
    """The Series' versions, as the configuration names them; a demo's are always in its folder. Raises
    Misconfigured.
    """
    from iv3 import config as configuration
    from iv3.assembly.series import series_store

    settings = log_settings(data, config)
    configuration.refuse_unusable(settings)
    return series_store(settings, data, log.log_id)


def topics(data: Path, config: Path | None, *, as_json: bool) -> None:
    """What each topic holds."""

    async def work(log: Log) -> list[dict[str, object]]:
        return [
            {
                "topic": topic.name,
                "holds": topic.holds,
                "keyed_by": topic.keyed_by,
                "kept": "newest per key" if topic.compacted else "1 day" if topic.retention_s else "for ever",
                "partitions": log.partitions[topic.name],
                "appended": sum(head for (name, _), head in log.heads.items() if name == topic.name),
            }
            for topic in TOPICS.values()
        ]

    rows = with_log(data, work, config)
    if as_json:
        sys.stdout.write(json.dumps(rows) + "\n")
        return
    table = Table("topic", "holds", "kept", "appended")
    table.columns[0].no_wrap = True
    for row in rows:
        table.add_row(
            str(row["topic"]), f"{row['holds']}, by {row['keyed_by']}", str(row["kept"]), f"{row['appended']:,}"
        )
    Console().print(table)


def replay(data: Path, config: Path | None, *, as_json: bool) -> None:
    """Rebuild, verify, switch."""
    from dataclasses import asdict

    from iv3.operations.progress import bar
    from streams.views.replay import replay as rebuild

    async def work(log: Log) -> dict[str, object]:
        store = _store(data, config, log)
        try:
            with bar("Replaying the log", quiet=as_json) as progress:
                return asdict(await rebuild(log, data, store, progress))
        finally:
            await store.close()

    report = with_log(data, work, config)
    if as_json:
        sys.stdout.write(json.dumps(report, default=str) + "\n")
        return
    sys.stdout.write(
        f"{report['records']:,} records replayed in {report['seconds']} s: {report['readings']:,} "
        f"readings, {report['entries']:,} entries, "
        f"{report['forecasts']:,} forecasts, {report['alerts']:,} rows of alerts. They agree with the log "
        "and serve from now on.\n"
    )
    if report["left_out"]:
        sys.stdout.write(
            f"{report['left_out']} records are left out, because nothing can be made of them; `iv3 "
            "dead-letters list` shows them.\n"
        )
    for place in report["changed"]:  # type: ignore[attr-defined] # a tuple, made a field of a dict
        sys.stdout.write(f"The old series had something else at {place}.\n")


def _letters(data: Path, config: Path | None) -> list[RecordDeadLettered]:
    async def work(log: Log) -> list[RecordDeadLettered]:
        found: list[RecordDeadLettered] = []
        for partition in range(log.partitions[DEAD_LETTERS]):
            for record in await log.read(DEAD_LETTERS, partition, 0, None, 100_000):
                letter = decode(record.value).data
                if isinstance(letter, RecordDeadLettered):
                    found.append(letter)
        return found

    return with_log(data, work, config)


def dead_letters(data: Path, config: Path | None, *, as_json: bool) -> None:
    """Records that were given up."""
    newest = {
        (x.topic, x.partition, x.offset, x.role): x for x in _letters(data, config)
    }  # the note of a retry replaces the first
    rows = [
        {"place": f"{x.topic}/{x.partition}/{x.offset}", "role": x.role, "reason": x.reason, "retried": x.retried}
        for x in newest.values()
    ]
    if as_json:
        sys.stdout.write(json.dumps(rows) + "\n")
        return
    if not rows:
        sys.stdout.write("There are no dead letters.\n")
        return
    table = Table("place", "role", "reason", "")
    for row in rows:
        table.add_row(str(row["place"]), str(row["role"]), str(row["reason"]), "retried" if row["retried"] else "")
    Console().print(table)


def retry(data: Path, config: Path | None, place: str) -> None:
    """Append a given-up record again, byte for byte, at the end of its own partition. The ids in it drop whatever was
    handled before.
    """
    topic, _, rest = place.rpartition("/")
    topic, _, partition = topic.rpartition("/")
    known = {f"{x.topic}/{x.partition}/{x.offset}" for x in _letters(data, config)}
    if place not in known or not rest.isdigit() or not partition.isdigit():
        fail(f"There is no dead letter at {place}; `iv3 dead-letters list` shows them.", 2)

    letters = [x for x in _letters(data, config) if f"{x.topic}/{x.partition}/{x.offset}" == place]

    async def work(log: Log) -> None:
        (record,) = await log.read(topic, int(partition), int(rest), int(rest) + 1)
        await log.append(topic, (record.key or b"").decode(), [record.value or b""], partition=int(partition))
        now = at_ms(int(time.time() * 1000))
        for letter in letters:
            told = letter.model_copy(update={"retried": True})
            event = make(
                told,
                id=derived_id("retried", log.log_id, place, letter.role, now),
                source="iv3/dead-letters",
                subject=letter.role,
                time=now,
                recordedtime=now,
            )
            await append_events(log, DEAD_LETTERS, [event])

    with_log(data, work, config)
    sys.stdout.write(f"The record of {place} was appended again.\n")
