"""Whether somebody can be told."""

import math
import re
from pathlib import Path

from iv3.assembly.channels import house_phone
from iv3.closing import closing
from iv3.doctor.findings import Finding, failed, noticed, passed
from schemas.household import people_without_phone
from schemas.settings import Settings
from streams.clock import SystemClock
from streams.errors import NotifierRefused, NotifierUnreachable

_GUESSABLE_BITS = 96


async def ntfy(settings: Settings, _data: Path) -> list[Finding]:
    """Whether somebody can be told."""
    topic = settings.topic
    untold = people_without_phone(settings)
    if untold:
        whose = f" for {', '.join(untold[:5])}" if settings.people else ""
        said = f"ALARMS ARE OFF{whose}: set ntfy.topic (iv3 init makes one) and subscribe to it in the ntfy app."
        return [failed("alarms-off", said)]
    if not topic:
        said = (
            "Everybody has a phone of their own; without ntfy.topic nobody is told when one of them "
            "fails, nor when iv3 is silent."
        )
        return [noticed("no-house-phone", said)]
    found = []
    if "ntfy.sh" in settings.ntfy.server and _bits(topic) < _GUESSABLE_BITS:
        said = (
            "The ntfy topic is short enough to be guessed, and whoever knows it reads the alarms: choose 24 random "
            "letters."
        )
        found.append(noticed("topic-guessable", said))
    try:
        async with closing(house_phone(settings, SystemClock())) as target:
            knows = await target.probe()
    except NotifierRefused as error:
        return [*found, failed("ntfy-refused", f"{error}")]
    except NotifierUnreachable as error:
        return [*found, failed("ntfy-unreachable", f"{error}")]
    if not knows:
        said = "The ntfy server is older than 2.16: notifications pile up instead of replacing each other. Update it."
        found.append(noticed("ntfy-old", said))
    return [*found, passed("alarms-off", f"{settings.ntfy.server} accepts messages.")]


def _bits(topic: str) -> float:
    """An upper bound of what the topic's letters can hold."""
    alphabet = 16 if re.fullmatch(r"[0-9a-f-]+", topic) else 36 if re.fullmatch(r"[a-z0-9-]+", topic) else 64
    return len(topic) * math.log2(alphabet)
