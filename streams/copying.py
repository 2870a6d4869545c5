"""Copying a log: the same records at the same offsets in another log, which has its own id. From SQLite to Kafka, and back."""

from collections.abc import Callable
from dataclasses import dataclass

from processors.segments import ArchivedRecord
from streams.backup import ARCHIVED
from streams.errors import Misconfigured, StreamError
from streams.ports import Log, Partition, Record

_BATCH = 1_000

Progress = Callable[[int, int], None]


class CopyFailed(StreamError):
    """The copy does not agree with the log it was made of."""


@dataclass(frozen=True, slots=True)
class CopyReport:
    """What was copied."""

    from_log: str
    to_log: str
    records: int


async def copy(source: Log, target: Log, progress: Progress | None = None) -> CopyReport:
    """Copy journal, forecasts, alerts and dead letters up to the heads of now, then read every record back and compare it.

    Snapshots and heartbeats are made anew. Raises Misconfigured where the target holds records already or is split otherwise, CopyFailed,
    and as the logs do. A copy that was interrupted leaves a target that is refused the next time: it must be deleted first.
    """
    await refuse_used(target)
    if any(source.partitions[topic] != target.partitions[topic] for topic in ARCHIVED):
        raise Misconfigured(
            f"The two logs are split otherwise ({source.partitions[ARCHIVED[0]]} and {target.partitions[ARCHIVED[0]]} partitions): "
            f"set kafka.partitions: {source.partitions[ARCHIVED[0]]} before the topics are made."
        )
    heads = {place: head for place, head in (await source.latest(ARCHIVED)).items() if head}
    total, done = 2 * sum(heads.values()), 0
    for compare in (False, True):
        for place, head in heads.items():
            at = 0
            while at < head:
                records = await source.read(*place, at, head, _BATCH)
                if not records or records[0].offset != at:
                    raise CopyFailed(
                        f"{place[0]}/{place[1]}: record {at} is missing in the log that is copied; iv3 verify its archive."
                    )
                if compare:
                    await _compare(place, records, await target.read(*place, at, at + len(records), len(records)))
                else:
                    await target.append_as_was(*place, [_kept(record) for record in records])
                at = records[-1].offset + 1
                done += len(records)
                if progress is not None:
                    progress(done, total)
    return CopyReport(source.log_id, target.log_id, sum(heads.values()))


async def refuse_used(target: Log) -> None:
    """Raise Misconfigured unless the log is empty: two histories in one cannot be told apart again."""
    used = {place: head for place, head in (await target.latest(ARCHIVED)).items() if head}
    if used:
        (topic, partition), head = next(iter(used.items()))
        raise Misconfigured(
            f"The log to be filled is not empty: {topic}/{partition} holds {head:,} records. Nothing was written. "
            "Take an empty data folder, or delete the topics iv3.* (they are made again)."
        )


def _kept(record: Record) -> ArchivedRecord:
    return ArchivedRecord(record.offset, record.timestamp_ms, record.key, record.value, record.headers)


async def _compare(place: Partition, wanted: list[Record], found: list[Record]) -> None:
    for number, record in enumerate(wanted):
        if number >= len(found) or _kept(found[number]) != _kept(record):
            raise CopyFailed(
                f"{place[0]}/{place[1]}/{record.offset} did not arrive as it is in the log: copy again into an empty one."
            )
