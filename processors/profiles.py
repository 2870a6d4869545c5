"""Profiles: what an insulin's name means, and what the configuration file says of a person, as a profile."""

from collections.abc import Iterable

from schemas.facts import Action, Insulin, Limits, ProfileChanged

DEFAULT = ProfileChanged()


def action_of(name: str, insulins: Iterable[Insulin]) -> Action | None:
    """Whether an insulin is rapid or long-acting; None for a name the profile does not know. Never guessed."""
    wanted = name.strip().casefold()
    for insulin in insulins:
        if insulin.name.strip().casefold() == wanted:
            return insulin.action
    return None


def proper_name(name: str, insulins: Iterable[Insulin]) -> str:
    """The insulin's name as the profile spells it."""
    wanted = name.strip().casefold()
    for insulin in insulins:
        if insulin.name.strip().casefold() == wanted:
            return insulin.name
    return name.strip()


__all__ = ["DEFAULT", "Limits", "action_of", "proper_name"]
