"""A partition read whole, for whoever makes another log of it: a record that is missing ends it, for all behind would
move up unnoticed. And how what was read comes into another log: put there, read back and compared.
"""

from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing

from processors.archive.format import ArchivedRecord
from schemas.model import Partition
from streams.errors import CopyFailed
from streams.ports.log import Log, Progress, Record, unwatched
from streams.topics import ARCHIVED

AT_ONCE = 1_000  # records

Batch = tuple[Partition, list[ArchivedRecord]]
Compare = Callable[[Log, Partition, list[ArchivedRecord]], Awaitable[None]]


async def heads_of(log: Log) -> dict[Partition, int]:
    """Where the partitions end that are kept for ever and hold anything, asked of the log itself. Raises
    LogUnavailable.
    """
    return {place: head for place, head in (await log.latest(ARCHIVED)).items() if head}


async def records_of(log: Log, place: Partition, heads: Mapping[Partition, int]) -> AsyncGenerator[list[Record], None]:
    """All records of a partition up to its head, in batches. Raises CopyFailed where one is missing, LogUnavailable."""
    at, head = 0, heads.get(place, 0)
    while at < head:
        records = await log.read(*place, at, head, AT_ONCE)
        if [record.offset for record in records] != list(range(at, at + len(records))) or not records:
            raise CopyFailed(
                f"{place[0]}/{place[1]}: a record behind {at - 1} is missing in the log; iv3 verify its "
                "archive. The log was not changed."
            )
        yield records
        at += len(records)


async def carry_over(
    batches: Callable[[], AsyncGenerator[Batch, None]],
    target: Log,
    compare: Compare,
    total: int,
    progress: Progress = unwatched,
) -> Counter[Partition]:
    """Put every batch into an empty log; then make all of them once more, and compare each with what lies there. How
    many records lie in each partition then. `total` is of both rounds. Raises as `batches`, `compare` and the log.
    """
    put: Counter[Partition] = Counter()
    done = 0
    for again in (False, True):
        async with aclosing(batches()) as dealt:
            async for place, records in dealt:
                if again:
                    await compare(target, place, records)
                else:
                    await target.append_as_was(*place, records)
                    put[place] += len(records)
                done += len(records)
                progress(min(done, total), total)
    return put
