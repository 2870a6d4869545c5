"""A clock that a test sets."""

from streams.clock import ahead_s


class SetClock:
    """Stands still until it is set: for tests that live through a night in a second."""

    speed = 1.0

    def __init__(self, now_ms: int) -> None:
        self._now_ms = now_ms

    def now_ms(self) -> int:
        """See `Clock`."""
        return self._now_ms

    def correct_from(self, true_ms: int) -> float | None:
        """See `Clock`."""
        return ahead_s(self._now_ms, true_ms)

    def set(self, now_ms: int) -> None:
        """It is now this late."""
        self._now_ms = now_ms

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._now_ms += int(seconds * 1000)
