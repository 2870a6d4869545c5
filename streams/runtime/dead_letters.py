"""Dead letters: what a role gave up, which every fold of it leaves out."""

from contextlib import suppress

from schemas.bookkeeping import RecordDeadLettered
from schemas.envelope import Garbage, NewerVersion, decode
from streams.ports.log import AppendableLog, Position, Record
from streams.topics import DEAD_LETTERS, partition_of


async def given_up(log: AppendableLog, role: str) -> set[Position]:
    """What a role gave up, and every fold of it leaves out."""
    found: set[Position] = set()

    def step(record: Record) -> None:
        with suppress(Garbage, NewerVersion):  # nothing that could be given up is named in it
            letter = decode(record.value).data
            if isinstance(letter, RecordDeadLettered) and letter.role == role:
                found.add(Position(letter.topic, letter.partition, letter.offset))

    partition = partition_of(role, log.partitions[DEAD_LETTERS])
    await log.fold(DEAD_LETTERS, partition, 0, None, step)
    return found
