"""Profiles of the configuration, put into the journal when they changed."""

import json
import logging
from typing import Any

from pydantic import BaseModel

from iv3.assembly.plan import StartPlan
from schemas.envelope import Author
from schemas.facts import ProfileChanged
from schemas.household import household, profile_of
from schemas.identity import digest
from schemas.settings import Settings, WatchedSettings
from streams.commands.door import Door
from streams.commands.profile import declare_profile
from streams.errors import Transient
from streams.ports.log import Log
from streams.views.catalog import Catalog

logger = logging.getLogger("iv3.profiles")

_PERSON = dict.fromkeys(("id", "name", "birth_year", "zone", "max_rapid_units"), True)
_THRESHOLDS = dict.fromkeys(("unit", "low_threshold", "high_threshold", "missing_long_threshold"), True)
_EACH_INSULIN = {"__all__": {"name", "duration", "peak", "period_type", "every_h"}}


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
    """The profile that the configuration states of a person, with the digest of what it states."""
    settings = plan.settings
    told = stated_digest(settings, person)
    profile = plan.demo_plan.profile if plan.demo_plan is not None else profile_of(person, told)
    # Where there are several, an alarm calls somebody without a name by the id.
    name = profile.name or (person.id if settings.people else "")
    return profile.model_copy(update={"config_digest": told, "name": name})


def stated_digest(settings: Settings, person: WatchedSettings) -> str:
    """The digest of what the configuration states of a profile: where it changes, the profile is declared again.

    Only these settings count. One that comes to the configuration later must change no digest: the next start would
    declare the profile anew, over the one that was set on the page.
    """
    if any(person.id == other.id for other in settings.people):
        stated: Any = _dump(person, _PERSON | _THRESHOLDS | {"insulin": _EACH_INSULIN})
    else:
        stated = {
            "person": _dump(settings.person, _PERSON),
            "iv3": _dump(settings.iv3, _THRESHOLDS | {"endpoint": True}),
            "insulin": _dump(settings, {"insulin": _EACH_INSULIN})["insulin"],
        }
    return digest(json.dumps(stated, sort_keys=True).encode())[:16]


def _dump(model: BaseModel, names: dict[str, Any]) -> dict[str, Any]:
    return model.model_dump(mode="json", include=names)
