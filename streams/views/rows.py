"""Records as rows: what a batch of the log changes in a Series."""

from collections.abc import MutableMapping, Sequence

from processors.alerting.episodes import Through, admit_decision
from processors.entries import EntryVersion, entry_id_of, is_entry_event
from processors.projection import Change, project
from schemas.envelope import Event
from schemas.model import Partition
from streams.ports.log import Record
from streams.ports.series import Series


async def apply_records(
    series: Series, records: Sequence[tuple[Record, Event]], through: Through | None = None
) -> None:
    """Project records into a Series, in order, together with the position behind them. `through` knows the decisions
    before them.
    """
    touched = touched_by(records)
    entries = await series.entries_by_id(touched) if touched else {}
    changes, reached = rows_of(records, entries, {} if through is None else through)
    await series.apply(changes, reached)


def touched_by(records: Sequence[tuple[Record, Event]]) -> set[str]:
    """The entries that the records make or change."""
    return {entry_id_of(event) for _, event in records if is_entry_event(event)}


def rows_of(
    records: Sequence[tuple[Record, Event]], entries: MutableMapping[str, EntryVersion], through: Through
) -> tuple[list[Change], dict[Partition, int]]:
    """What the records change, in order, and where that leads."""
    changes: list[Change] = []
    reached: dict[Partition, int] = {}
    for record, event in records:
        if admit_decision(event, through):
            changes += project(event, entries, record.value or b"")
        reached[record.topic, record.partition] = record.offset + 1
    return changes, reached
