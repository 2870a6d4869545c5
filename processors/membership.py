"""Whether anybody watches a person: one rule for every fold, because the last word in the log counts, whatever the
clocks of those who said it.
"""

from schemas.envelope import Event
from schemas.facts import PersonAdded, PersonSuspended


def suspended_ms(event: Event, known_ms: int) -> int:
    """The time of a person's suspension after this event, epoch milliseconds, 0 while they are watched; `known_ms`
    before it. Epoch milliseconds.
    """
    match event.data:
        case PersonSuspended():
            return event.recorded_ms
        case PersonAdded():
            return 0
        case _:
            return known_ms
