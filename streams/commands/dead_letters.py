"""Dead letters: given-up records are handed in again, byte for byte."""

from collections.abc import Sequence

from schemas.bookkeeping import RecordDeadLettered
from schemas.envelope import Author, Garbage, NewerVersion, decode
from schemas.identity import derived_id
from streams.ports.log import Log, Record, append_events
from streams.topics import DEAD_LETTERS

_AUTHOR = Author("iv3/dead-letters")


def place_of(letter: RecordDeadLettered) -> str:
    """The position of the record that a letter names, as people type it: topic/partition/offset."""
    return f"{letter.topic}/{letter.partition}/{letter.offset}"


async def all_dead_letters(log: Log) -> list[RecordDeadLettered]:
    """Every dead letter of the log, oldest first; the note of a retry is one more, and replaces the first. Raises
    LogUnavailable.
    """
    found: list[RecordDeadLettered] = []

    def step(record: Record) -> None:
        try:
            letter = decode(record.value).data
        except (Garbage, NewerVersion):
            return  # nothing that could be handed in again is named in it
        if isinstance(letter, RecordDeadLettered):
            found.append(letter)

    for partition in range(log.partitions[DEAD_LETTERS]):
        await log.fold(DEAD_LETTERS, partition, 0, None, step)
    return found


async def retry_record(log: Log, letters: Sequence[RecordDeadLettered], now_ms: int) -> None:
    """Append the record that these letters name again, at the end of its own partition, and note that it was. The ids
    in it drop whatever was handled before. Raises as `Log.append`.
    """
    lies = letters[0]
    (record,) = await log.read(lies.topic, lies.partition, lies.offset, lies.offset + 1)
    await log.append(lies.topic, (record.key or b"").decode(), [record.value or b""], partition=lies.partition)
    for letter in letters:
        name = derived_id("retried", log.log_id, place_of(letter), letter.role, now_ms)
        told = letter.model_copy(update={"retried": True})
        await append_events(log, DEAD_LETTERS, [_AUTHOR.say(told, name, letter.role, now_ms)])
