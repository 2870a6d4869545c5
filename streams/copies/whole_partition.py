"""A partition read whole, for whoever makes another log of it: a record that is missing ends it, for all behind would
move up unnoticed.
"""

from collections.abc import AsyncGenerator, Mapping

from schemas.model import Partition
from streams.errors import CopyFailed
from streams.ports.log import Log, Record

_AT_ONCE = 1_000  # records


async def records_of(log: Log, place: Partition, heads: Mapping[Partition, int]) -> AsyncGenerator[list[Record], None]:
    """All records of a partition up to its head, in batches. Raises CopyFailed where one is missing, LogUnavailable."""
    at, head = 0, heads.get(place, 0)
    while at < head:
        records = await log.read(*place, at, head, _AT_ONCE)
        if [record.offset for record in records] != list(range(at, at + len(records))) or not records:
            raise CopyFailed(
                f"{place[0]}/{place[1]}: a record behind {at - 1} is missing in the log; iv3 verify its "
                "archive. The log was not changed."
            )
        yield records
        at += len(records)
