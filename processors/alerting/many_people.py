"""What many people share: one message to whoever runs the house, beside each person's own."""

from collections.abc import Iterable

from processors.alerting.episodes import Episodes
from processors.alerting.person_state import PersonState

LEAST_PEOPLE = 5  # fewer may fall silent together by chance: a family on one aeroplane
_SHARE = 1 / 3
_AWAY_FOR_MS = 5 * 60_000  # a source that does not answer for a moment is no news
MANY_SILENT = "readings of many people have stopped coming at once, so the cause is likely one that they share"


def watched_and_silent(people: Iterable[PersonState], episodes: Episodes, now_ms: int) -> tuple[int, int]:
    """Counts of a partition: (people who are watched and ever had a reading, those of them who are stale)."""
    watched = silent = 0
    for state in people:
        if state.suspended_ms or state.canonical.newest is None:
            continue
        watched += 1
        source = state.source
        away = source is not None and source.state == "unreachable" and now_ms - state.source_since_ms >= _AWAY_FOR_MS
        silent += away or (state.person, "stale") in episodes.open
    return watched, silent


def shared_troubles(watched: int, silent: int) -> tuple[str, ...]:
    """Troubles shared by the people of all partitions, as sentences that stay the same for as long as the trouble
    lasts.
    """
    return (MANY_SILENT,) if silent >= LEAST_PEOPLE and silent > watched * _SHARE else ()
