"""What a log says of each person, wherever its records lie."""

import json
from collections import defaultdict
from typing import Any

from schemas.alerts import AlertsDecided
from schemas.bookkeeping import RecordDeadLettered
from schemas.envelope import Event, decode
from schemas.forecasts import ForecastMade, ForecastWithheld
from streams.ports.log import Log, Record
from streams.topics import ARCHIVED, JOURNAL, partition_of


async def everything(log: Log) -> list[Record]:
    return [
        record for place in sorted(await log.latest(ARCHIVED)) for record in await log.read(*place, 0, None, 100_000)
    ]


def without_places(record: Record) -> Any:
    """What must be the same wherever it lies."""
    try:
        found = json.loads(record.value or b"")
    except ValueError:
        found = repr(record.value)
    if isinstance(found, dict):
        found.get("data", {}).pop("pos", None)
        if found.get("type") == RecordDeadLettered.TYPE:
            found = {name: found["data"][name] for name in ("role", "topic", "reason")}
    return json.dumps(found), record.timestamp_ms, record.headers


async def histories(log: Log) -> dict[tuple[str, bytes | None], list[Any]]:
    """Topic and key -> what was written under it, in order. What is said of partitions is no history."""
    found = defaultdict(list)
    for record in await everything(log):
        if b"iv3.target-" not in (record.value or b""):
            found[record.topic, record.key].append(without_places(record))
    return found


async def places_are_true(log: Log, of_decisions: dict[str, str] | None = None) -> dict[str, str]:
    """Every forecast lies at its reading, every decision at its person's record, every dead letter at what nobody can
    read. Decision -> what it lies at.
    """
    found = {}
    journal = {(r.partition, r.offset): r for r in await everything(log) if r.topic == JOURNAL}
    newest: dict[int, int] = {}
    for record in await everything(log):
        chosen = any(word in (record.value or b"") for word in (b"iv3.target-", b"iv3.erased"))
        assert chosen or record.partition == partition_of(record.key or b"", log.partitions[JOURNAL])
        event = readable(record)
        match event.data if event is not None else None:
            case ForecastMade(pos=pos, based_on=name) | ForecastWithheld(pos=pos, based_on=name):
                assert decode(journal[record.partition, pos].value).id == name
                assert pos > newest.get(record.partition, -1), "every fold of a partition takes it"
                newest[record.partition] = pos
            case AlertsDecided(pos=(offset, _, _)) if event is not None:
                at = journal[record.partition, offset]
                assert at.key == record.key
                found[event.id] = repr(at.value)
            case RecordDeadLettered(topic=topic, partition=partition, offset=offset):
                (spoken_of,) = await log.read(topic, partition, offset, offset + 1)
                assert readable(spoken_of) is None
    assert of_decisions is None or found == of_decisions
    return found


def readable(record: Record) -> Event | None:
    try:
        return decode(record.value)
    except ValueError:
        return None
