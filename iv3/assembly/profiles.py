"""Profiles of the configuration, put into the journal when they changed."""

import json
import logging
from typing import Any

from iv3.assembly.plan import StartPlan
from schemas.envelope import Author
from schemas.facts import ProfileChanged
from schemas.household import household, profile_of
from schemas.identity import digest
from schemas.settings import WatchedSettings
from streams.commands.door import Door
from streams.commands.profile import declare_profile
from streams.errors import Transient
from streams.ports.log import Log
from streams.views.catalog import Catalog

logger = logging.getLogger("iv3.profiles")


async def declare_profiles(plan: StartPlan, log: Log, catalog: Catalog) -> None:
    """Declare each configured profile that changed since it was declared last."""
    await catalog.catch_up()
    for person in household(plan.settings):
        door = Door(log, catalog, plan.clock, Author("config"), person.id)
        try:
            await declare_profile(door, _profile(plan, person))
        except Transient as error:
            # Alarms with the old one are better than none.
            logger.warning("the profile of the configuration is not in the log yet: %s", error)
    await catalog.catch_up()


def _profile(plan: StartPlan, person: WatchedSettings) -> ProfileChanged:
    """What the configuration states of a person, with a digest that changes when that does."""
    settings = plan.settings
    stated: dict[str, Any] = {
        "person": settings.person.model_dump(mode="json"),
        "iv3": settings.iv3.model_dump(mode="json"),
        "insulin": [insulin.model_dump(mode="json") for insulin in settings.insulin],
    }
    if any(person.id == other.id for other in settings.people):
        stated = person.model_dump(mode="json", exclude={"dexcom", "ntfy"})
    told = digest(json.dumps(stated, sort_keys=True).encode())[:16]
    profile = plan.demo_plan.profile if plan.demo_plan is not None else profile_of(person, told)
    # Where there are several, an alarm calls somebody without a name by the id.
    name = profile.name or (person.id if settings.people else "")
    return profile.model_copy(update={"config_digest": told, "name": name})
