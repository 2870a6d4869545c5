"""People: who comes, who is suspended, who is taken up again."""

from schemas.envelope import Author, Event
from schemas.facts import PersonAdded, PersonSuspended, ProfileChanged
from schemas.identity import derived_id
from schemas.model import Fact
from streams.commands.door import Door
from streams.commands.refusals import Conflict, NotFound


def coming_and_going(author: Author, person: str, now_ms: int, *facts: Fact) -> list[Event]:
    """Facts of a person's coming or going as events, in order."""
    return [author.say(fact, derived_id(type(fact).__name__, person, now_ms), person, now_ms) for fact in facts]


async def add_person(door: Door, name: str, profile: ProfileChanged) -> None:
    """Watch the door's person from now on. Raises Conflict where there is one of this id, and as `Log.append`."""
    await door.catalog.caught_up()
    if door.catalog.people().get(door.person) is not None:
        raise Conflict("There is a person with this id already.", field="id")
    await watch_person(door, name, profile)


async def watch_person(door: Door, name: str | None, profile: ProfileChanged | None) -> None:
    """Say that the door's person is watched, under this name (None: that was said already), and what their profile is
    (None: as it was).

    Raises as `Log.append`.
    """
    said = [PersonAdded(name=name)] if name is not None else []
    facts: list[Fact] = [*said, *([profile] if profile is not None else [])]
    if facts:
        await _say(door, *facts)


async def suspend_person(door: Door) -> None:
    """Neither ask for readings nor alarm any more; the history stays. Raises NotFound, and as `Log.append`."""
    _refuse_unknown(door)
    await _say(door, PersonSuspended())


async def resume_person(door: Door) -> None:
    """Watch a person again. Raises NotFound, and as `Log.append`."""
    _refuse_unknown(door)
    await _say(door, PersonAdded(name=door.catalog.profile(door.person).name))


def _refuse_unknown(door: Door) -> None:
    if not door.catalog.knows(door.person):
        raise NotFound("iv3 knows no person with this id.", field="id")


async def _say(door: Door, *facts: Fact) -> None:
    await door.append(coming_and_going(door.author, door.person, door.clock.now_ms(), *facts))
    await door.catalog.caught_up()
