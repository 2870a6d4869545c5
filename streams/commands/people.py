"""People: who comes, who is suspended, who is taken up again."""

from schemas.envelope import Event, make
from schemas.identity import derived_id
from schemas.model import Fact, at_ms


def coming_and_going(person: str, now_ms: int, source: str, actor: str | None, *facts: Fact) -> list[Event]:
    """Facts of a person's coming or going as events, in order."""
    now = at_ms(now_ms)
    return [
        make(
            fact, id=derived_id(type(fact).__name__, person, now_ms), source=source, subject=person, time=now, recordedtime=now, actor=actor
        )
        for fact in facts
    ]  # fmt: skip
