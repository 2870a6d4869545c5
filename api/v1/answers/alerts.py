"""Open alerts, episodes of the past, answers and snoozes."""

from api.v1.answers.parts import Answer, At, Listed


class OpenAlert(Answer):
    """An open episode as a page shows it: what is so now, since when, who was told, when it rings again."""

    id: str
    kind: str
    priority: int
    urgency: int
    title: str
    text: str
    opened_ms: int
    lowest_mgdl: float | None
    step: int
    told: str
    acknowledged_ms: int | None
    acknowledged_by: str | None
    rings_again_ms: int | None
    treatable: bool
    snoozed_until_ms: int | None
    snooze_choices_min: list[int]


class AlertStep(Answer):
    """A step of an episode, and when a phone had it."""

    step: int
    time_ms: int
    delivered_ms: int | None


class AlertReason(Answer):
    """Why something happened, in words."""

    time_ms: int
    text: str


class EpisodeShown(Answer):
    """An episode with what was decided, who was told and when."""

    id: str
    kind: str
    title: str
    opened: str
    opened_ms: int
    resolved_ms: int | None
    outcome: str | None
    steps: list[AlertStep]
    why: list[AlertReason]


class Alerts(Listed):
    """Episodes, newest first."""

    items: list[EpisodeShown]


class Acknowledged(Answer):
    """An answer that is in the log."""

    id: str
    position: At


class Snoozed(Answer):
    """Until when a kind is quiet."""

    kind: str
    until: str
    until_ms: int
    position: At


class SnoozeLifted(Answer):
    """A kind that rings again."""

    kind: str
    position: At
