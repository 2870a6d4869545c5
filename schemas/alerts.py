"""Alerts: what the alerter decided, and what became of each attempt to tell somebody."""

from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from schemas.model import Fact, Moment, Name, Value
from schemas.units import Unit

AlertKind = Literal["urgent_low", "low", "predicted_low", "high", "stale", "no_long_acting", "system"]
URGENCY: dict[AlertKind, int] = {
    # Order in which the notifier sends and a page shows: a smaller number goes first.
    "urgent_low": 0,
    "low": 2,
    "predicted_low": 3,
    "stale": 4,
    "system": 5,
    "high": 6,
    "no_long_acting": 7,
}
STALE_AFTER_LOW_URGENCY = 1


class DecisionPosition(NamedTuple):
    """The position in the input at which a decision was taken. Positions are ordered, and nothing is decided twice at
    one: a redelivered input lies at or before what was already decided.
    """

    offset: int  # of the journal
    stage: int  # 0 before the forecast of that reading, 1 from it on
    tick_ms: int  # time of the tick; 0 where the input is a record


class Evidence(Value):
    """The evidence of a decision, fixed at its moment; ages are worked out when it is sent."""

    glucose_mgdl: float | None = None
    delta_mgdl: float | None = None
    trend: str | None = None
    reading_time: Moment | None = None
    chance: float | None = None
    lowest_mgdl: float | None = None
    insulin: str | None = None
    last_logged: Moment | None = None
    reason: Annotated[str, Field(max_length=300)] = ""
    limit_mgdl: float | None = None  # the limit that the sentence speaks of
    name: str = ""
    unit: Unit = "mmol/L"
    zone: str | None = None


class AlertEvent(Value):
    """One step in the life of an episode: open -> escalated (step n) -> acknowledged -> resolved or expired.

    `step` counts the times it is meant to ring, from 1 (0 is the all-clear); `priority` is ntfy's (5 rings through, 1
    is silent).
    """

    change: Literal["opened", "escalated", "acknowledged", "resolved", "expired"]
    episode: Name
    kind: AlertKind
    step: Annotated[int, Field(ge=0)]
    priority: Annotated[int, Field(ge=1, le=5)]
    urgency: Annotated[int, Field(ge=0, le=9)]
    at: Moment
    evidence: Evidence
    by: str = ""  # who acknowledged it; in an escalation who had, before it rang again all the same
    quiet: bool = False  # another episode takes over: clear what is shown, say nothing


class AlertsDecided(Fact):
    """A decision: everything that one input led to, in one record, so that it is there whole or not at all."""

    TYPE = "iv3.alerts-decided.v1"
    pos: DecisionPosition
    events: Annotated[tuple[AlertEvent, ...], Field(min_length=1, max_length=50)]


class _MessageFact(Fact):
    episode: Name
    step: int
    target: Name
    sequence_id: Name


class DeliveryAttempted(_MessageFact):
    """A message is about to be sent. Written before the send: whoever finds it without an outcome must ask before
    sending again.
    """

    TYPE = "iv3.delivery-attempted.v1"


class Delivered(_MessageFact):
    """The target accepted the message."""

    TYPE = "iv3.delivered.v1"


class Undeliverable(_MessageFact):
    """The target refused the message. Not `final`: it refused the account, and takes the message once that is put
    right.
    """

    TYPE = "iv3.undeliverable.v1"
    reason: Annotated[str, Field(max_length=300)]
    final: bool = True


class TargetAdded(Fact):
    """A target is told from here on. Written to every partition: what was decided before it never rings there."""

    TYPE = "iv3.target-added.v1"
    target: Name


class TargetRemoved(Fact):
    """A target is told no more: alarms went into shadow. What was still due to it, and what is decided until it is
    added again, never rings there.
    """

    TYPE = "iv3.target-removed.v1"
    target: Name


class PersonTold(Fact):
    """The targets of the subject from here on: phones of their own, or, where none is named, the house's. What is due
    and not yet sent goes along.
    """

    TYPE = "iv3.person-told.v1"
    targets: Annotated[tuple[Name, ...], Field(max_length=10)] = ()


ALERT_FACTS: tuple[type[Fact], ...] = (
    AlertsDecided,
    DeliveryAttempted,
    Delivered,
    Undeliverable,
    TargetAdded,
    TargetRemoved,
    PersonTold,
)
