"""The world outside iv3 for tests that start the real command: a fake Dexcom Share and a phone's ntfy, in a thread of
their own.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from processors.simulated_person import SimulatedEvent, simulate
from streams.adapters.simulation.share_server import ShareServer
from tests.standins.ntfy import NtfyStandIn


def host_ms() -> int:
    """What the host's clock says."""
    return int(time.time() * 1000)


class Outside:
    """`now_ms` is Dexcom's time; without `events` somebody invented has a day behind them."""

    def __init__(
        self,
        events: Iterable[SimulatedEvent] | None = None,
        now_ms: Callable[[], int] = host_ms,
        *,
        slow_s: float = 15.0,
    ) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        lived = simulate(1, now_ms() - 86_400_000, now_ms()) if events is None else events
        self.share = ShareServer(lived, now_ms=now_ms, username="demo", password="demo", slow_s=slow_s)
        self.phone: NtfyStandIn = self.call(self._phone())
        self.call(self.share.start())

    @staticmethod
    async def _phone() -> NtfyStandIn:
        phone = NtfyStandIn()
        await phone.start()
        return phone

    def call(self, work: Any) -> Any:
        """Run a coroutine out there."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def rang(self) -> list[str]:
        """Titles of the alarms that reached the phone; the dead-man's switch, which lies there for later, is none."""
        messages = (r.message for r in self.phone.received if r.message["event"] == "message")
        return [m["title"] for m in messages if not m.get("sequence_id", "").startswith("iv3-")]

    def close(self) -> None:
        """Everybody goes home."""
        self.call(self.share.stop())
        self.call(self.phone.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()
