"""What a fake Share server can do wrong: every fault that was seen in the wild, by name."""

import difflib
from typing import Final

FAULTS: Final[dict[str, str]] = {
    "expired-session": "all sessions end now, and every third read finds its session gone again",
    "no-session-holds": "every read finds its session gone",
    "spurious-password-error": "the next log-in is told that its good password is wrong, once",
    "wrong-password": "the password was changed: no log-in is accepted, all sessions end",
    "lock-out": "the account is locked after too many log-ins",
    "zero-uuid": "log-ins answer the uuid of zeros",
    "empty-list": "no readings, as when sharing is off or nobody follows",
    "empty-body": "200 with nothing in it",
    "html-403": "a page of the content delivery network instead of an answer",
    "429": "too many requests, with Retry-After",
    "jitter": "readings are up to 40 s early or late",
    "duplicate-wt": "every reading comes twice",
    "out-of-order-backfill": "some readings arrive 20 min late, and the list is in no order",
    "gap-then-backfill": "nothing new for an hour from now, then all of it at once",
    "1-minute": "a reading every minute",
    "int-trends": "trends as numbers and dates with slashes, as years ago",
    "low-high-codes": "LOW, HIGH, sensor codes and damaged items among the readings",
    "slow": "every answer takes `slow_s`",
    "half-closed": "the connection ends in the middle of the answer",
    "clock-skew": "the Date header is `skew_ms` off",
}


def parse_faults(text: str) -> frozenset[str]:
    """The faults of a comma-separated list; "ok" and nothing are none.

    Raises ValueError naming the nearest that exists.
    """
    names = {name.strip() for name in text.split(",")} - {"", "ok"}
    for name in sorted(names - FAULTS.keys()):
        near = difflib.get_close_matches(name, FAULTS, n=1, cutoff=0.3)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(FAULTS)}."
        raise ValueError(f"The fake Share server knows no fault {name!r}; {hint}")
    return frozenset(names)
