"""Clocks: real time, and time that starts elsewhere and runs faster (the demo, the tests)."""

import time


class SystemClock:
    """The host's clock."""

    speed = 1.0

    def now_ms(self) -> int:
        """See `Clock`."""
        return time.time_ns() // 1_000_000


class ScaledClock:
    """Starts at `origin_ms` when it is made and runs `speed` times as fast as real time."""

    def __init__(self, origin_ms: int, speed: float) -> None:
        self.speed = speed
        self._origin_ms = origin_ms
        self._started = time.monotonic()

    def now_ms(self) -> int:
        """See `Clock`."""
        return self._origin_ms + int((time.monotonic() - self._started) * self.speed * 1000)


class SetClock:
    """Stands still until it is set: for tests that live through a night in a second."""

    speed = 1.0

    def __init__(self, now_ms: int) -> None:
        self._now_ms = now_ms

    def now_ms(self) -> int:
        """See `Clock`."""
        return self._now_ms

    def set(self, now_ms: int) -> None:
        """It is now this late."""
        self._now_ms = now_ms

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._now_ms += int(seconds * 1000)
