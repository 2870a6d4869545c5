"""Clocks: real time, put right where a source says that the host's clock is wrong; and time that starts elsewhere and
runs faster.
"""

import time
from collections.abc import Callable

MOST_SKEW_S = 60.0  # the answers of a source are whole seconds and take some to arrive; a minute is no such thing


def _running_ns() -> int:
    """Time that no setting of the clock moves; where the system offers one, it counts while the machine sleeps too."""
    return time.clock_gettime_ns(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def running_s() -> float:
    """The same in seconds."""
    return _running_ns() / 1e9


class SystemClock:
    """The host's clock, as long as nobody knows better. `wall_ns` and `running_ns` exist so that tests can set it
    wrong.
    """

    speed = 1.0

    def __init__(self, wall_ns: Callable[[], int] = time.time_ns, running_ns: Callable[[], int] = _running_ns) -> None:
        self._wall_ns, self._running_ns = wall_ns, running_ns
        self._anchor: tuple[int, int] | None = None  # (true time, running time) of the moment it was put right, ns

    def now_ms(self) -> int:
        """See `Clock`."""
        if self._anchor is None:
            return self._wall_ns() // 1_000_000
        true_ns, then_ns = self._anchor
        return (true_ns + self._running_ns() - then_ns) // 1_000_000

    def correct_from(self, true_ms: int) -> float | None:
        """See `Clock`."""
        found = ahead_s(self._wall_ns() // 1_000_000, true_ms)
        self._anchor = None if found is None else (true_ms * 1_000_000, self._running_ns())
        return found


class ScaledClock:
    """Starts at `origin_ms` when it is made and runs `speed` times as fast as real time."""

    def __init__(self, origin_ms: int, speed: float) -> None:
        self.speed = speed
        self._origin_ms = origin_ms
        self._started = time.monotonic()

    def now_ms(self) -> int:
        """See `Clock`."""
        return self._origin_ms + int(self._real_s() * self.speed * 1000)

    def correct_from(self, true_ms: int) -> float | None:
        """See `Clock`. Its time is made up; nobody knows it better."""
        return ahead_s(self.now_ms(), true_ms)

    def _real_s(self) -> float:
        return time.monotonic() - self._started


class SharedClock(ScaledClock):
    """A simulation's time, the same in every process that is told the same three numbers: at real time `real_ms` it is
    `origin_ms`, and it runs `speed` times as fast.
    """

    def __init__(self, origin_ms: int, real_ms: int, speed: float) -> None:
        super().__init__(origin_ms, speed)
        self._real_ms = real_ms

    def _real_s(self) -> float:
        return time.time() - self._real_ms / 1000


def ahead_s(now_ms: int, true_ms: int) -> float | None:
    """How far a clock is ahead of the truth, seconds; None where that is no more than answers take."""
    ahead_s = (now_ms - true_ms) / 1000
    return round(ahead_s, 1) if abs(ahead_s) > MOST_SKEW_S else None
