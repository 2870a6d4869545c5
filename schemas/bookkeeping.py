"""Bookkeeping: what iv3 writes for itself, so that a role finds its place again."""

from typing import Annotated

from pydantic import Field

from schemas.model import Fact, Moment, Name


class SnapshotTaken(Fact):
    """The state of one person's fold, exactly as it was before journal offset `offset` of its partition was folded.

    Used only if log id, role and both versions match the running code; otherwise the fold starts from nothing. `person`
    is None for the floor: below `offset` every person of the partition is covered by a snapshot. It is None as well
    where `role` names a fold of the alerts: then `state` is that of the whole partition, before offset `offset` of the
    alerts.
    """

    TYPE = "iv3.snapshot.v1"
    role: Name
    person: Name | None = None
    log_id: Name
    offset: Annotated[int, Field(ge=0)]
    version: Name
    state: str = ""


class PartitionEvaluated(Fact):
    """Every alarm of the partition that was due up to `through` has been decided. Of the people `watched`, so many are
    `silent`: no readings come.
    """

    TYPE = "iv3.partition-evaluated.v1"
    partition: Annotated[int, Field(ge=0)]
    through: Moment
    watched: Annotated[int, Field(ge=0)] = 0
    silent: Annotated[int, Field(ge=0)] = 0


class PartitionDelivered(Fact):
    """Every message of the partition that was due up to `through` has been accepted, or is over; `trouble` says why
    not, while that is so.
    """

    TYPE = "iv3.partition-delivered.v1"
    partition: Annotated[int, Field(ge=0)]
    through: Moment
    trouble: Annotated[str, Field(max_length=300)] = ""


class ProcessTroubled(Fact):
    """What of one process of iv3 does not work, said again every minute while it lasts, and once more, without any,
    when it is over.
    """

    TYPE = "iv3.process-troubled.v1"
    process: Name
    troubles: Annotated[tuple[Annotated[str, Field(max_length=300)], ...], Field(max_length=20)] = ()


class DeadManArmed(Fact):
    """The dead-man's switch was put off: its message goes out at `fires` unless it is put off again."""

    TYPE = "iv3.dead-man-armed.v1"
    sequence_id: Name
    fires: Moment


class RecordDeadLettered(Fact):
    """A record that can never be handled: where it is, which role gave it up, why. Its bytes stay where they are."""

    TYPE = "iv3.dead-letter.v1"
    role: Name
    topic: Name
    partition: Annotated[int, Field(ge=0)]
    offset: Annotated[int, Field(ge=0)]
    reason: Annotated[str, Field(max_length=1000)]
    retried: bool = False


class RecordErased(Fact):
    """A record of somebody who was erased lay here. Nothing of it is left but its place, by which others know theirs;
    every fold passes over it.
    """

    TYPE = "iv3.erased.v1"


BOOKKEEPING_FACTS: tuple[type[Fact], ...] = (
    SnapshotTaken,
    PartitionEvaluated,
    PartitionDelivered,
    ProcessTroubled,
    DeadManArmed,
    RecordDeadLettered,
    RecordErased,
)
