"""When to ask Dexcom Share, for how much, and when another log-in is allowed.

The etiquette is that of nightscout-connect: one request per reading, shortly after it is due. Too many refused log-ins
lock the account, and with it the Dexcom app's followers; so the log-in policy is a fold that is kept in the journal and
survives a restart.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

MINUTE_MS: Final = 60_000
CADENCE_MS: Final = 5 * MINUTE_MS
_UPLOAD_MS = 18_000  # a reading is on the server this long after it was taken, most often
_SPREAD_MS = 18_000  # so that not all of us ask in the same second
_AGAIN_MS = (20_000, 40_000, 80_000, 150_000)

_OVERLAP_MIN = 30  # late and revised readings are seen this long
_HOLE_MS = 2 * CADENCE_MS + MINUTE_MS  # two readings were missed
# How long after its end a hole is asked for again; what comes later is rare, and lost to us.
_HOLES_FOR_MS = 3 * 60 * MINUTE_MS
_DAY_MIN, _DAY_COUNT = 1440, 288  # the most Share gives

_REJECTED_MS = (10 * MINUTE_MS, 30 * MINUTE_MS, 60 * MINUTE_MS)
_LOCKED_OUT_MS = 60 * MINUTE_MS
_HOPELESS_MS = 6 * 60 * MINUTE_MS


def next_poll_at_ms(
    last_reading_ms: int | None, now_ms: int, misses: int, jitter: float, *, cadence_ms: int = CADENCE_MS
) -> int:
    """The time of the next poll, epoch milliseconds, never before now.

    `misses` counts the polls in a row that brought nothing new, failed ones included: after 1, 2, 3, more of them the
    next is 20, 40, 80, 150 s from now. With none it is just after the next reading is due; `jitter` (0 to 1) spreads it
    over 18 s.
    """
    if misses > 0:
        return now_ms + _AGAIN_MS[min(misses, len(_AGAIN_MS)) - 1]
    if last_reading_ms is None:
        return now_ms
    wait_ms = cadence_ms + _UPLOAD_MS + round(_SPREAD_MS * jitter)
    # A reading from the future (one of two clocks is wrong) must not stop the polling.
    return min(max(last_reading_ms + wait_ms, now_ms), now_ms + wait_ms)


def ask_back_to(times_ms: Iterable[int], now_ms: int) -> int | None:
    """The reading to ask back to: the newest, or the last one before a hole of the last hours, for a phone that comes
    back sends first what is new and then, minutes later, what it kept. None where there is no reading yet.
    """
    times = sorted(times_ms)
    if not times:
        return None
    for before, after in pairwise(times):
        if after - before > _HOLE_MS and after >= now_ms - _HOLES_FOR_MS:
            return before
    return times[-1]


def window(last_reading_ms: int | None, now_ms: int) -> tuple[int, int]:
    """The window to ask for as (minutes, max_count), back to `last_reading_ms` with at least 30 min of overlap; None: a
    whole day.

    Where an older hole may still be filled by a phone that comes back, give the last reading before that hole instead.
    `max_count` is one a minute, the quickest sensor there is, as far as Share allows.
    """
    if last_reading_ms is None:
        return _DAY_MIN, _DAY_COUNT
    gap_min = max(0, -((last_reading_ms - now_ms) // MINUTE_MS))  # rounded up
    minutes = min(-(-(gap_min + _OVERLAP_MIN) // 5) * 5, _DAY_MIN)
    return minutes, min(minutes, _DAY_COUNT)


@dataclass(frozen=True, slots=True)
class LoginPolicy:
    """The log-in back-off: refusals in a row, and until when none may be tried (epoch milliseconds, 0: at once)."""

    refusals: int = 0
    no_login_before_ms: int = 0

    def may_log_in(self, now_ms: int) -> bool:
        """Whether a log-in may be tried now.

        A deadline further off than any this policy sets was written by a clock that was wrong; it binds nobody.
        """
        return not 0 < self.no_login_before_ms - now_ms <= _HOPELESS_MS

    def after_refusal(self, kind: str, now_ms: int) -> "LoginPolicy":
        """The policy after a SourceRefused of this kind: locked_out, misconfigured or (any other) rejected."""
        refusals = self.refusals + 1
        wait_ms = _REJECTED_MS[refusals - 1] if refusals <= len(_REJECTED_MS) else _HOPELESS_MS
        if kind == "locked_out":
            wait_ms = max(wait_ms, _LOCKED_OUT_MS)
        elif kind == "misconfigured":
            wait_ms = _HOPELESS_MS
        return LoginPolicy(refusals, now_ms + wait_ms)

    def after_success(self) -> "LoginPolicy":
        """The policy after a log-in or an answer: nothing is held against the account any more."""
        return LoginPolicy()
