"""Verbs that look at the log: replay, digest, topics, dead letters."""

import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path

from rich.table import Table

from iv3.closing import closing
from iv3.operations.opened import opened_series, store_of, with_log
from iv3.operations.progress import bar
from iv3.output import fail, say
from streams.clock import SystemClock
from streams.commands.dead_letters import all_dead_letters, place_of, retry_record
from streams.ports.log import Log
from streams.ports.series import DigestRow
from streams.topics import TOPICS
from streams.views.replay import ReplayReport
from streams.views.replay import replay as rebuild


def digest(data: Path, config: Path | None, *, as_json: bool) -> None:
    """The fingerprints of the Series."""

    async def work(log: Log) -> list[DigestRow]:
        async with opened_series(data, config, log) as (series, behind):
            rows = await series.digest()
            if behind and not rows:
                fail("There is nothing to compare yet.")
            return rows

    rows = with_log(data, work, config)
    words = (f"{row.person} {row.day} {row.kind:9} {row.rows:6} {row.sha256}" for row in rows)
    say([row._asdict() for row in rows], *words, as_json=as_json)


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
    table = Table("topic", "holds", "kept", "appended")
    table.columns[0].no_wrap = True
    for row in rows:
        holds, appended = f"{row['holds']}, by {row['keyed_by']}", f"{row['appended']:,}"
        table.add_row(str(row["topic"]), holds, str(row["kept"]), appended)
    say(rows, table, as_json=as_json)


def replay(data: Path, config: Path | None, *, as_json: bool) -> None:
    """Rebuild, verify, switch."""

    async def work(log: Log) -> ReplayReport:
        async with closing(store_of(data, config, log)) as store:
            with bar("Replaying the log", quiet=as_json) as progress:
                return await rebuild(log, data, store, progress)

    report = with_log(data, work, config)
    done = (
        f"{report.records:,} records replayed in {report.seconds} s: {report.readings:,} readings, "
        f"{report.entries:,} entries, {report.forecasts:,} forecasts, {report.alerts:,} rows of alerts. They agree "
        "with the log and serve from now on."
    )
    left_out = (
        f"{report.left_out} records are left out, because nothing can be made of them; `iv3 dead-letters list` "
        "shows them."
    )
    changed = [f"The old series had something else at {place}." for place in report.changed]
    say(asdict(report), done, *([left_out] if report.left_out else []), *changed, as_json=as_json)


def dead_letters(data: Path, config: Path | None, *, as_json: bool) -> None:
    """Records that were given up."""
    # The note of a retry replaces the first.
    newest = {(place_of(letter), letter.role): letter for letter in with_log(data, all_dead_letters, config)}
    rows = [
        {"place": place, "role": role, "reason": letter.reason, "retried": letter.retried}
        for (place, role), letter in newest.items()
    ]
    table = Table("place", "role", "reason", "")
    for (place, role), letter in newest.items():
        table.add_row(place, role, letter.reason, "retried" if letter.retried else "")
    say(rows, table if rows else "There are no dead letters.", as_json=as_json)


def retry(data: Path, config: Path | None, place: str) -> None:
    """Append a given-up record again, byte for byte, at the end of its own partition. The ids in it drop whatever was
    handled before.
    """
    letters = [letter for letter in with_log(data, all_dead_letters, config) if place_of(letter) == place]
    if not letters:
        fail(f"There is no dead letter at {place}; `iv3 dead-letters list` shows them.", 2)
    with_log(data, partial(retry_record, letters=letters, now_ms=SystemClock().now_ms()), config)
    sys.stdout.write(f"The record of {place} was appended again.\n")
