"""The clock port: the time of facts, decisions, poll schedule and repeats."""

from typing import Protocol


class Clock(Protocol):
    """The time of facts, decisions, poll schedule and repeats. Timeouts and backoff use the loop's own clock
    instead.
    """

    @property
    def speed(self) -> float:
        """Seconds of this clock per real second."""

    def now_ms(self) -> int:
        """Epoch milliseconds, UTC."""

    def correct_from(self, true_ms: int) -> float | None:
        """A source that is trusted says what time it is. Where the host's clock is more than a minute off, the source's
        counts from now on, and the answer is how many seconds the host's is ahead; otherwise None.
        """
