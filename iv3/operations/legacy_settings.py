"""What the configuration says of the Go iv3's rows: the insulins by name, and the source of readings."""

from collections.abc import Sequence
from pathlib import Path

from iv3.assembly.people import source_of as source_of_person
from processors.legacy.moving import Insulins
from schemas.household import credentials_in, household, profile_of
from schemas.settings import Settings
from streams.clock import SystemClock
from streams.errors import Misconfigured


def insulins_of(settings: Settings, names: Sequence[str]) -> Insulins:
    """The configured insulins, and what `--map` says of others. Raises Misconfigured."""
    known = profile_of(household(settings)[0], "").insulins
    mapped: dict[str, str] = {}
    for said in names:
        old, sign, new = (part.strip() for part in said.partition("="))
        if not (old and sign and new):
            raise Misconfigured(f'--map {said!r} must be like --map "lantus=Lantus": the old name, then the new one.')
        if new.casefold() not in {insulin.name.strip().casefold() for insulin in known}:
            listed = ", ".join(insulin.name for insulin in known) or "none with a period_type"
            raise Misconfigured(f"--map {said!r}: there is no {new} among the configured insulins ({listed}).")
        mapped[old] = new
    return Insulins(known, mapped)


def source_of(settings: Settings) -> tuple[str, str]:
    """Name and account of the live source: imported readings have the ids of its own."""
    person = household(settings)[0]
    source = source_of_person(settings, Path("data"), SystemClock(), person.id, credentials_in(person))
    if source is None:
        raise Misconfigured(
            "dexcom.account is missing: with it, imported readings are the same as those that iv3 asks "
            "Dexcom for, and none counts twice."
        )
    return source.name, source.account
