"""What must hold whatever was killed: every accepted entry once, forecasts as if nobody had interrupted, and exactly
what was decided has rung.
"""

import asyncio
import random
import threading
import time
from collections import Counter
from typing import Any

from processors.alerting.outbox import Outbox
from processors.predictors.forecasting import ForecastState
from schemas.envelope import Event
from schemas.forecasts import ForecastMade, ForecastWithheld
from streams.ports.log import Log
from streams.topics import FORECASTS, JOURNAL
from tests.standins.ntfy import NtfyStandIn


class Phone:
    """The ntfy stand-in in a thread of its own, failing now and then."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.server: NtfyStandIn = self._call(self._make())

    @staticmethod
    async def _make() -> NtfyStandIn:
        server = NtfyStandIn(burst=100_000)
        await server.start()
        return server

    def _call(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def misbehave(self, rnd: random.Random) -> None:
        what = rnd.choice(("500", "lost", "well"))
        if what == "500":
            self._loop.call_soon_threadsafe(lambda: self.server.fail(500, 2))
        elif what == "lost":
            self._loop.call_soon_threadsafe(lambda: self.server.lose_replies(1))

    def rang(self) -> list[str]:
        """Alarms by their ids; the dead-man's switch and the question whether the server knows ids are none."""
        messages = (r.message for r in self.server.received if r.message.get("event", "message") == "message")
        return [m["sequence_id"] for m in messages if not m["sequence_id"].startswith("iv3-")]

    def shown_at(self, title: str) -> list[float]:
        """When messages of this title came to the phone, epoch seconds."""
        rows = (
            row for row in self.server.rows if row.message["event"] == "message" and row.message.get("title") == title
        )
        return sorted(row.at_s for row in rows if row.at_s <= time.time())

    def shown(self, title: str, topic: str = "watch") -> list[Any]:
        """What lies on the phone now under this title."""
        return [message for message in self.server.shown(topic) if message.get("title") == title]

    def close(self) -> None:
        self._call(self.server.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()


async def all_records(log: Log, topic: str) -> list[Any]:
    found = []
    for partition in range(log.partitions[topic]):
        records = await log.read(topic, partition, 0, None, 1_000_000)
        assert [r.offset for r in records] == list(range(len(records))), f"{topic}/{partition} has a hole"
        found += records
    return found


def each_accepted_once(journal: list[tuple[Any, Event]], accepted: dict[str, str]) -> None:
    assert each_accepted(journal, accepted) == 0, "accepted entries are in the log more than once"


def each_accepted(journal: list[tuple[Any, Event]], accepted: dict[str, str]) -> int:
    """Nothing that was accepted is missing. Returns how many events stand in the raw log twice: Kafka cannot forbid it,
    and every fold drops them.
    """
    times = Counter(event.id for _, event in journal)
    lost = [name for name in accepted.values() if times[name] == 0]
    assert not lost, f"{len(lost)} of {len(accepted)} accepted entries are not in the log"
    return len([name for name, count in times.items() if count > 1])


def forecasts_as_uninterrupted(events: dict[str, list[tuple[Any, Event]]]) -> tuple[int, int]:
    """One record per reading once each partition's repeats are dropped by their place, each equal to what a fold that
    was never interrupted says.

    Returns how many, and how many were repeats.
    """
    people: dict[str, ForecastState] = {}
    expected = {}
    for record, event in events[JOURNAL]:
        said = people.setdefault(event.subject, ForecastState()).take(event, record.offset)
        if said is not None:
            expected[event.id] = said
    got, spoken, repeats = [], dict[int, int](), 0
    for record, event in events[FORECASTS]:
        if event.data.pos <= spoken.get(record.partition, -1):  # type: ignore[attr-defined]  # this topic holds one type of event
            repeats += 1
            continue
        spoken[record.partition] = event.data.pos  # type: ignore[attr-defined]  # this topic holds one type of event
        got.append(event.data)
    assert all(isinstance(data, ForecastMade | ForecastWithheld) for data in got)
    by_reading = Counter(data.based_on for data in got)  # type: ignore[attr-defined]  # this topic holds one type of event
    assert max(by_reading.values(), default=1) == 1, "a reading was forecast twice"
    assert {data.based_on: data for data in got} == expected  # type: ignore[attr-defined]  # this topic holds one type of event
    return len(got), repeats


def steps_as_due(alerts: list[tuple[Any, Event]], rang: list[str]) -> int:
    """What rang, collapsed by its id, is exactly what was decided."""
    due, open_still = _steps(alerts)
    assert due - set(rang) == set(), "a step was never sent"
    assert set(rang) - due == set(), "something rang that was never decided"
    assert not open_still, "a step has no outcome in the log"
    return len(due)


def steps_still_due(alerts: list[tuple[Any, Event]]) -> list[str]:
    """What was decided and has no outcome yet: at the last moment before a stop, or because it is never sent."""
    return _steps(alerts)[1]


def _steps(alerts: list[tuple[Any, Event]]) -> tuple[set[str], list[str]]:
    targets = tuple({event.data.target for _, event in alerts if event.type == "iv3.target-added.v1"})  # type: ignore[attr-defined]  # this topic holds one type of event
    due: set[str] = set()
    boxes: dict[int, Outbox] = {}
    for record, event in alerts:
        box = boxes.setdefault(record.partition, Outbox(targets))
        due |= {step.sequence_id for step in box.evolve(event)}
    return due, [step.sequence_id for box in boxes.values() for step in box.due]
