"""What goes to a phone: a due step as a message, worded at the moment of sending."""

from processors.alerting import wording as words
from processors.alerting.outbox import ALL_CLEAR, Due, Step
from streams.ports.notifier import Message

_EARLIER_PRIORITY = 3  # what is over by the time it can be sent does not ring through
_ALL_CLEAR_PRIORITY = 2


def message_of(step: Step, due: Due, now_ms: int, *, label: str = "", click: str | None = None) -> Message:
    """The message as it reads at `now_ms`; `label` goes before its title."""
    event = due.event
    if step.step == ALL_CLEAR:
        title, body = words.clear_title(event), words.clear_body(event, due.opened_ms, now_ms)
        return Message(step.sequence_id, f"{label}{title}", body, _ALL_CLEAR_PRIORITY, ("white_check_mark",), click)
    title, priority = words.title(event), event.priority
    if due.closed:
        title, priority = f"Earlier: {title}", min(priority, _EARLIER_PRIORITY)
    return Message(
        step.sequence_id, f"{label}{title}", words.body(event, now_ms), priority, words.TAGS[event.kind], click
    )
