"""What a moment must be to be taken for one: the rule that entries, uploads and the rows of the Go iv3 share."""

EARLIEST_MS = 946_684_800_000  # the year 2000: before it a clock was never set, and there was no such sensor
MOST_AHEAD_MS = 600_000  # further ahead is a mistake of typing


def odd_time(time_ms: int, now_ms: int) -> str:
    """The reason to refuse a moment, in a few words; empty where a person can have meant it. Both are epoch
    milliseconds.
    """
    if time_ms < EARLIEST_MS:
        return "lies before the year 2000"
    if time_ms > now_ms + MOST_AHEAD_MS:
        return "lies more than ten minutes ahead"
    return ""
