"""A copy of a log without one person: each record of theirs replaced at its offset, for forecasts and decisions name
journal offsets; all others byte for byte. Every record is read back and compared before anybody may use the copy.
"""

from collections import Counter
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from processors.archive.format import ArchivedRecord
from processors.copies.erasing import Ownership, Traces, dead_lettered_position, is_placeholder, placeholder
from schemas.envelope import SYSTEM
from schemas.model import Partition
from streams.copies.whole_partition import AT_ONCE, Batch, carry_over, heads_of, records_of
from streams.errors import CopyFailed
from streams.ports.log import Log, Progress, Record, read_archived, unwatched
from streams.topics import ARCHIVED, DEAD_LETTERS, JOURNAL, partition_of


@dataclass
class LogTraces:
    """What a log has of a person."""

    records: dict[str, int] = field(default_factory=dict)  # topic -> all of it
    theirs: Counter[str] = field(default_factory=Counter)  # topic -> replaced
    mentions: int = 0  # records of other people that name them, and stay
    tokens: dict[str, str] = field(default_factory=dict)  # id -> name of those that end
    called: str = ""  # as their last profile has it

    @property
    def any(self) -> bool:
        """Whether there is anything of them."""
        return sum(self.theirs.values()) > 0


class Erasing:
    """One person and the log they are to be taken out of; `heads` is as far as it goes."""

    def __init__(self, log: Log, person: str) -> None:
        self.log, self.traces = log, Traces(person)
        self.heads: dict[Partition, int] = {}

    async def open(self) -> None:
        """Learn the heads, and which tokens are bound to the person. Raises LogUnavailable."""
        self.heads = await heads_of(self.log)
        place = (JOURNAL, partition_of(SYSTEM, self.log.partitions[JOURNAL]))
        await self.log.fold(*place, 0, self.heads.get(place, 0), lambda record: self.traces.note_token(record.value))

    async def ownership(self, record: Record) -> Ownership:
        """Whose a record is; a dead letter is whose the record is that it speaks of."""
        found = self.traces.ownership(record.key, record.value)
        if found is Ownership.THEIRS or record.topic != DEAD_LETTERS:
            return found
        place = dead_lettered_position(record.value)
        if place is None or place[0] not in self.log.partitions or place[1] >= self.log.partitions[place[0]]:
            return found
        spoken_of = await self.log.read(place[0], place[1], place[2], place[2] + 1, 1)
        if spoken_of and self.traces.ownership(spoken_of[0].key, spoken_of[0].value) is Ownership.THEIRS:
            return Ownership.THEIRS
        return found

    async def find_traces(self, progress: Progress = unwatched) -> LogTraces:
        """Count what there is. Raises LogUnavailable."""
        found, done = self._nothing_yet(), 0
        async for _, judged in self._walk(found):
            done += len(judged)
            progress(done, sum(self.heads.values()))
        return found

    async def _walk(self, found: LogTraces) -> AsyncGenerator[tuple[Partition, list[tuple[Record, Ownership]]], None]:
        """Every record and whose it is, counted in `found`."""
        for place in self.heads:
            async for records in records_of(self.log, place, self.heads):
                judged = [(record, await self.ownership(record)) for record in records]
                for record, whose in judged:
                    self._count(found, record, whose)
                yield place, judged

    async def write(self, target: Log, name: str, erased_ms: int, progress: Progress = unwatched) -> LogTraces:
        """Write the copy into an empty log, then read every record back and compare. `name` is what placeholders' ids
        are made of.

        Raises CopyFailed, and as the logs do.
        """
        found = self._nothing_yet()

        async def batches() -> AsyncGenerator[Batch, None]:
            nonlocal found
            found = self._nothing_yet()  # the second round counts anew
            async for place, judged in self._walk(found):
                yield place, [self._kept(record, whose, name, erased_ms) for record, whose in judged]

        await carry_over(batches, target, self._compare, 2 * sum(self.heads.values()), progress)
        if await heads_of(target) != self.heads:
            raise CopyFailed("The copy without the person does not end where the log does. Run the same command again.")
        return found

    async def has_grown(self) -> bool:
        """Whether somebody wrote to the log since it was opened."""
        return await heads_of(self.log) != self.heads

    def _nothing_yet(self) -> LogTraces:
        records = {topic: sum(head for place, head in self.heads.items() if place[0] == topic) for topic in ARCHIVED}
        return LogTraces(records, tokens=dict(self.traces.tokens))

    def _count(self, found: LogTraces, record: Record, whose: Ownership) -> None:
        found.theirs[record.topic] += whose is Ownership.THEIRS
        found.mentions += whose is Ownership.MENTIONS
        found.called = (self.traces.name_in(record.value) if whose is Ownership.THEIRS else "") or found.called

    def _kept(self, record: Record, whose: Ownership, name: str, erased_ms: int) -> ArchivedRecord:
        if whose is not Ownership.THEIRS:
            return record.archived
        value = placeholder(name, record.topic, record.partition, record.offset, erased_ms)
        return ArchivedRecord(record.offset, erased_ms, SYSTEM.encode(), value)

    async def _compare(self, target: Log, place: Partition, wanted: list[ArchivedRecord]) -> None:
        found = await read_archived(target, place, wanted[0].offset, len(wanted))
        if found != wanted:
            raise CopyFailed(
                f"{place[0]}/{place[1]}, from offset {wanted[0].offset}: the copy is not what it should be. Run the "
                "same command again."
            )
        for record in found:  # by another rule than the one that made it
            if record.key == self.traces.person.encode() and not is_placeholder(record.value):
                raise CopyFailed(f"{place[0]}/{place[1]}/{record.offset} is still the person's. Nothing was changed.")


async def fill(source: Log, target: Log, progress: Progress = unwatched) -> None:
    """Bring `target` up to `source`, whose records it may hold in part; then compare every record. What lies behind is
    somebody's newer work.

    So an interrupted copy goes on where it was. Raises CopyFailed where the target holds anything else, and as the logs
    do.
    """
    heads = await heads_of(source)
    there = await target.latest(ARCHIVED)
    had = {place: min(head, there[place]) for place, head in heads.items()}
    done, total = 0, 2 * sum(heads.values()) - sum(had.values())
    # What is there is compared before anything is put behind it.
    parts = [(False, {place: (0, had[place]) for place in heads})]
    parts += [(write, {place: (had[place], head) for place, head in heads.items()}) for write in (True, False)]
    for write, ranges in parts:
        for place, (start, to) in ranges.items():
            at = start
            while at < to:
                kept = await read_archived(source, place, at, min(AT_ONCE, to - at))
                await (target.append_as_was(*place, kept) if write else _same(target, place, kept))
                at = kept[-1].offset + 1
                done += len(kept)
                progress(done, total)


async def _same(target: Log, place: Partition, wanted: list[ArchivedRecord]) -> None:
    if await read_archived(target, place, wanted[0].offset, len(wanted)) != wanted:
        raise CopyFailed(
            f"{place[0]}/{place[1]}, from offset {wanted[0].offset}: the new topics hold something else, so another "
            "iv3 wrote to them. Stop every worker and "
            "API, delete the topics iv3.*, and run the same command again: the copy in the data folder is whole."
        )
