"""The profile: replaced as a whole, effective from now. Reports of the past keep the profile of the past."""

from schemas.facts import PersonAdded, ProfileChanged
from schemas.identity import derived_id
from streams.commands.door import Door
from streams.ports.log import Position


async def replace_profile(door: Door, profile: ProfileChanged) -> tuple[str, Position]:
    """Replace the profile; it holds until it is replaced again or the configuration changes. The event's id, and where
    it lies. Raises as `Log.append`.
    """
    kept = door.catalog.profile(door.person).config_digest
    now_ms = door.clock.now_ms()
    replaced = profile.model_copy(update={"config_digest": kept})
    event = door.author.say(replaced, derived_id("profile", door.person, now_ms), door.person, now_ms)
    (position,) = await door.append([event])
    return event.id, position


async def declare_profile(door: Door, profile: ProfileChanged) -> None:
    """Put a profile of the configuration into the journal, unless its digest says that it is there; a person of whom
    nothing was said is added with it.

    Raises as `Log.append`.
    """
    if door.catalog.profile(door.person).config_digest == profile.config_digest:
        return
    now_ms = door.clock.now_ms()
    name = derived_id("profile", door.person, profile.config_digest or "", now_ms)
    events = [door.author.say(profile, name, door.person, now_ms)]
    if not door.catalog.was_added(door.person):
        added = PersonAdded(name=profile.name)
        events.insert(0, door.author.say(added, derived_id("person-added", door.person), door.person, now_ms))
    await door.append(events)
