"""Copying a log into another, which has its own id: from SQLite to Kafka, and back. Where both have as many partitions,
the same records lie at the same offsets; where the other has a multiple, they are dealt out
(`streams.copies.repartition`). Either way every record is read back and compared.
"""

from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest

from processors.archive.format import ArchivedRecord
from schemas.model import Partition
from streams.copies.repartition import Repartition
from streams.copies.whole_partition import Batch, carry_over, heads_of, records_of
from streams.errors import AlreadyExists, CopyFailed
from streams.ports.log import Log, Progress, read_archived, unwatched
from streams.runtime.heartbeats import carry_switch
from streams.topics import JOURNAL


@dataclass(frozen=True, slots=True)
class CopyReport:
    """What was copied. `records` lie in the copy."""

    from_log: str
    to_log: str
    records: int
    partitions: int


async def copy(source: Log, target: Log, progress: Progress = unwatched) -> CopyReport:
    """Copy journal, forecasts, alerts and dead letters up to the heads of now, then read every record back and compare
    it.

    Snapshots and heartbeats are made anew, but for when the dead-man's switch was put off. Raises AlreadyExists where
    the target holds records already or its number of partitions is no multiple, CopyFailed also where somebody wrote to
    either meanwhile, and as the logs do. A copy that was interrupted leaves a target that is refused the next time: it
    must be deleted first.
    """
    await refuse_used(target)
    heads = await heads_of(source)
    deal = _dealer(source, target, heads)
    wanted = await carry_over(deal, target, _compare, 2 * sum(heads.values()), progress)
    if await heads_of(target) != wanted:
        raise CopyFailed(
            "The copy does not end where it should; somebody else wrote to it. Copy again into an empty one."
        )
    if await heads_of(source) != heads:
        raise CopyFailed(
            "Somebody wrote to the log while it was copied, and the copy lacks it. Stop iv3 everywhere, "
            "delete the copy, and copy again."
        )
    await carry_switch(source, target)
    return CopyReport(source.log_id, target.log_id, wanted.total(), target.partitions[JOURNAL])


def _dealer(source: Log, target: Log, heads: Mapping[Partition, int]) -> Callable[[], AsyncGenerator[Batch, None]]:
    if source.partitions[JOURNAL] == target.partitions[JOURNAL]:
        return partial(_as_it_is, source, heads)
    return Repartition(source, target, heads).batches


async def refuse_used(target: Log) -> None:
    """Raise AlreadyExists unless the log is empty: two histories in one cannot be told apart again."""
    used = await heads_of(target)
    if used:
        (topic, partition), head = next(iter(used.items()))
        raise AlreadyExists(
            f"The log to be filled is not empty: {topic}/{partition} holds {head:,} records. Nothing was written. "
            "Take an empty data folder, or delete the topics iv3.* (they are made again)."
        )


async def _as_it_is(source: Log, heads: Mapping[Partition, int]) -> AsyncGenerator[Batch, None]:
    for place in heads:
        async for records in records_of(source, place, heads):
            yield place, [record.archived for record in records]


async def _compare(target: Log, place: Partition, wanted: list[ArchivedRecord]) -> None:
    for record, found in zip_longest(wanted, await read_archived(target, place, wanted[0].offset, len(wanted))):
        if found != record:
            raise CopyFailed(
                f"{place[0]}/{place[1]}/{record.offset} did not arrive as it is in the log: copy again "
                "into an empty one."
            )
