"""The history of an episode in words: what was decided, who was told, and when."""

from processors.alerting.wording import clock_words, title, value_words
from schemas.alerts import AlertEvent
from schemas.model import at_ms


def change_words(change: AlertEvent, zone: str | None) -> str:
    """What was decided, and from which reading."""
    value, read_at = value_words(change.evidence), change.evidence.reading_time
    read = f" (reading of {clock_words(read_at, zone)})" if read_at else ""
    match change.change:
        case "opened":
            return f"{title(change)}{read}"
        case "escalated":
            why = f"{change.by} had answered, and it was still so" if change.by else "nobody had answered"
            return f"{why}: rang again, step {change.step}{read}"
        case "acknowledged":
            return f"acknowledged by {change.by or 'somebody'}"
        case "resolved":
            return "another alarm took over" if change.quiet else f"over: {value}{read}".rstrip(": ")
        case _:
            return "it did not come; over without a message"


def delivery_words(step: int, refused: str | None) -> str:
    """What became of a message; step 0 is the all-clear, `refused` why it never went out."""
    what = f"step {step}" if step else "the all-clear"
    return f"ntfy accepted {what}" if refused is None else f"{what} could not be delivered: {refused}"


def told_words(at: int, refused: str | None, zone: str | None) -> str:
    """Whether somebody was told, by the last message that was meant to ring; `at` in epoch milliseconds."""
    moment = clock_words(at_ms(at), zone)
    return f"Told at {moment}." if refused is None else f"NOT DELIVERED at {moment}: {refused}"


def snooze_words(said_ms: int, until_ms: int, actor: str | None, zone: str | None) -> str:
    """A snooze of the episode's kind, or its end."""
    lifted = until_ms <= said_ms
    text = "its snooze was lifted" if lifted else f"snoozed until {clock_words(at_ms(until_ms), zone)}"
    return f"{text} by {actor or 'somebody'}"
