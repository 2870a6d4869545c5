"""Profiles of the configuration, put into the journal when they changed."""

import json
import logging
from typing import Any

from iv3.assembly.plan import StartPlan
from schemas.envelope import make
from schemas.facts import PersonAdded
from schemas.household import household, profile_of
from schemas.identity import derived_id, digest
from schemas.model import at_ms
from schemas.settings import Settings, WatchedSettings
from streams.errors import Transient
from streams.ports.log import Log, append_events
from streams.topics import JOURNAL
from streams.views.catalog import Catalog

logger = logging.getLogger("iv3.profiles")


async def declare_profiles(plan: StartPlan, log: Log, catalog: Catalog) -> None:
    """Put each configured profile into the journal when the configuration changed since it was put there last."""
    await catalog.catch_up()
    for person in household(plan.settings):
        await _declare_profile(plan, log, catalog, person)
    await catalog.catch_up()


async def _declare_profile(plan: StartPlan, log: Log, catalog: Catalog, person: WatchedSettings) -> None:
    settings = plan.settings
    stated: dict[str, Any] = {"person": settings.person.model_dump(mode="json"), "iv3": settings.iv3.model_dump(mode="json"),
                              "insulin": [i.model_dump(mode="json") for i in settings.insulin]}  # fmt: skip
    if any(person.id == other.id for other in settings.people):
        stated = person.model_dump(mode="json", exclude={"dexcom", "ntfy"})
    told = digest(json.dumps(stated, sort_keys=True).encode())[:16]
    if catalog.store.profile(person.id).config_digest == told:
        return
    profile = plan.demo_plan.profile if plan.demo_plan is not None else profile_of(person, told)
    profile = profile.model_copy(update={"config_digest": told, "name": profile.name or _name_among(settings, person)})
    now = at_ms(plan.clock.now_ms())
    events = [
        make(
            profile, id=derived_id("profile", person.id, told, plan.clock.now_ms()), source="config", subject=person.id, time=now, recordedtime=now
        )
    ]  # fmt: skip
    if catalog.store.newest(person.id, "person") is None:
        added = PersonAdded(name=profile.name)
        events.insert(0, make(added, id=derived_id("person-added", person.id), source="config", subject=person.id, time=now, recordedtime=now))  # fmt: skip
    try:
        await append_events(log, JOURNAL, events)
    except Transient as error:
        # Alarms with the old one are better than none.
        logger.warning("the profile of the configuration is not in the log yet: %s", error)


def _name_among(settings: Settings, person: WatchedSettings) -> str:
    """What an alarm calls somebody without a name: nothing where there is only one person."""
    return person.id if len(settings.people) > 0 else ""
