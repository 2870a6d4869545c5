"""Profiles: what an insulin's name means, and what the configuration file says of a person, as a profile."""

import difflib
from collections.abc import Iterable

from schemas.facts import Action, Insulin, InsulinTaken, ProfileChanged

DEFAULT = ProfileChanged()


def action_of(name: str, insulins: Iterable[Insulin]) -> Action | None:
    """The action of an insulin, rapid or long-acting; None for a name the profile does not know. Never guessed."""
    wanted = name.strip().casefold()
    for insulin in insulins:
        if insulin.name.strip().casefold() == wanted:
            return insulin.action
    return None


def action_of_dose(dose: InsulinTaken, insulins: Iterable[Insulin]) -> Action | None:
    """The action of a logged dose: as the profile has it now, or as it had it then; None where it never knew
    the name.
    """
    return action_of(dose.insulin, insulins) or dose.action


def nearest_name(name: str, insulins: Iterable[Insulin]) -> str | None:
    """The insulin of the profile that was probably meant."""
    names = {insulin.name.casefold(): insulin.name for insulin in insulins}
    found = difflib.get_close_matches(name.strip().casefold(), names, n=1, cutoff=0.6)
    return names[found[0]] if found else None


def proper_name(name: str, insulins: Iterable[Insulin]) -> str:
    """The insulin's name as the profile spells it."""
    wanted = name.strip().casefold()
    for insulin in insulins:
        if insulin.name.strip().casefold() == wanted:
            return insulin.name
    return name.strip()
