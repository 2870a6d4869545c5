"""One log, one ntfy, and notifiers that come and go; decisions for them to send."""

import itertools
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from pydantic import SecretStr

from schemas.alerts import (
    URGENCY,
    AlertEvent,
    AlertKind,
    AlertsDecided,
    Evidence,
)
from schemas.envelope import Event, decode, make
from schemas.model import at_ms
from streams.adapters.logs.sqlite.log import SqliteLog
from streams.adapters.notifiers.ntfy import Ntfy
from streams.delivery.channels import Channels
from streams.ports.log import append_events
from streams.roles.notifier import AlarmNotifier
from streams.topics import ALERTS, partition_of
from tests.standins.ntfy import NtfyStandIn
from tests.support.clock import SetClock
from tests.support.running import app_maker, running, until

T0 = 1_795_500_000_000


TOKEN = "tk_" + "a" * 29


numbers = itertools.count(1)


def said(
    kind: AlertKind, step: int = 1, change: Any = "opened", *, episode: str | None = None, priority: int = 5
) -> Event:
    """A decision with one event in it."""
    at = at_ms(T0)
    event = AlertEvent(
        change=change,
        episode=episode or f"{kind}-1",
        kind=kind,
        step=step,
        priority=priority,
        urgency=URGENCY[kind],
        at=at,
        evidence=Evidence(glucose_mgdl=54, reading_time=at),
    )
    n = next(numbers)
    return make(
        AlertsDecided(pos=(n, 0, 0), events=(event,)), id=f"d{n}", source="t", subject="me", time=at, recordedtime=at
    )


class World:
    """One log, one ntfy, and notifiers that come and go."""

    def __init__(self, log: SqliteLog, server: NtfyStandIn) -> None:
        self.log, self.server, self.clock = log, server, SetClock(T0)

    @asynccontextmanager
    async def notifying(self, *more: NtfyStandIn) -> AsyncIterator[AlarmNotifier]:
        targets = [
            Ntfy(server=server.url, topic="iv3-phone", clock=self.clock, token=SecretStr(TOKEN), timeout_s=1.0)
            for server in (self.server, *more)
        ]
        notifier = AlarmNotifier(self.log, self.clock, app_maker(self.log), Channels(targets))
        try:
            async with running(notifier):
                await until(lambda: all(set(notifier.roster.house) <= box.armed for box in notifier.outboxes.values()))
                yield notifier
        finally:
            for target in targets:
                await target.close()

    async def decide(self, *events: Event) -> None:
        for event in events:
            await append_events(self.log, ALERTS, [event])

    def rang(self) -> list[str]:
        """Sequence ids of the messages the server took, in order."""
        return [r.message["sequence_id"] for r in self.server.received if r.message["event"] == "message"]

    async def outcomes(self, kind: type[Any]) -> Counter[str]:
        records = await self.log.read(ALERTS, partition_of("me"), 0, None, 10_000)
        return Counter(e.data.sequence_id for e in (decode(r.value) for r in records) if isinstance(e.data, kind))  # type: ignore[attr-defined]  # this topic holds one type of event
