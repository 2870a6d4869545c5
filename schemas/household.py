"""The household: everybody whom the configuration names, and the profile that it states of each.

The first is whom a request means that names nobody: `person` with the top-level `dexcom`, `insulin` and `iv3`, as the
Go iv3 had them. Where a configuration has only `people`, it is the first of those.
"""

from schemas.facts import Insulin, Limits, ProfileChanged
from schemas.settings import (
    DexcomSettings,
    InsulinSettings,
    OwnNtfySettings,
    Setting,
    Settings,
    ThresholdSettings,
    WatchedSettings,
)


def household(settings: Settings) -> tuple[WatchedSettings, ...]:
    """Everybody, the default person first; never empty. Raises ValueError for two of one id, or two with one Dexcom
    account.
    """
    first = _first(settings)
    people = ((first,) if first is not None else ()) + settings.people
    ids: set[str] = set()
    accounts: dict[tuple[str, str], str] = {}
    for person in people:
        if person.id in ids:
            raise ValueError(f"people: there are two with the id {person.id}; each needs one of their own")
        ids.add(person.id)
        if not person.dexcom.account:
            continue
        other = accounts.setdefault((person.dexcom.region, person.dexcom.account.lower()), person.id)
        if other != person.id:
            raise ValueError(
                f"people: {other} and {person.id} have the same Dexcom account; its readings can be only one person's"
            )
    return people


def people_without_phone(settings: Settings) -> list[str]:
    """Ids of those for whom the configuration names no phone, neither the house's nor their own."""
    return [] if settings.topic else [person.id for person in household(settings) if not person.ntfy.topic]


def _first(settings: Settings) -> WatchedSettings | None:
    if settings.people and not settings.dexcom.account and "person" not in settings.model_fields_set:
        return None
    thresholds = {name: getattr(settings.iv3, name) for name in ThresholdSettings.model_fields}
    return WatchedSettings.model_construct(
        **dict(settings.person), **thresholds, insulin=settings.insulin, dexcom=settings.dexcom, ntfy=OwnNtfySettings()
    )


def profile_of(person: WatchedSettings, digest: str) -> ProfileChanged:
    """The profile that the configuration states. An insulin without `period_type` is left out: nobody may guess that it
    is rapid.
    """
    return ProfileChanged(
        name=person.name,
        unit=person.unit,
        zone=person.zone,
        birth_year=person.birth_year,
        limits=Limits(predicted_low_mgdl=person.low_threshold or 70.0, high_alarm_mgdl=person.high_threshold or 240.0),
        insulins=tuple(_insulin(insulin) for insulin in person.insulin if insulin.period_type),
        no_long_acting_h=person.missing_long_threshold,
        max_rapid_units=person.max_rapid_units,
        config_digest=digest,
    )


def _insulin(insulin: InsulinSettings) -> Insulin:
    return Insulin(
        name=insulin.name,
        action="long" if insulin.period_type == "long" else "rapid",
        duration_min=insulin.duration,
        peak_min=insulin.peak,
        every_h=insulin.every_h if insulin.period_type == "long" else None,
    )


class Credentials(Setting):
    """The account at a source and the phone of one person, as the configuration or the file of accounts has them. Each
    field is one of `WatchedSettings` too.
    """

    dexcom: DexcomSettings = DexcomSettings()
    ntfy: OwnNtfySettings = OwnNtfySettings()

    def or_else(self, kept: "Credentials") -> "Credentials":
        """What is said here, and where nothing is said of account or phone, what was kept."""
        account, phone = self if self.dexcom.account else kept, self if self.ntfy.topic else kept
        return Credentials(dexcom=account.dexcom, ntfy=phone.ntfy)


def credentials_in(person: WatchedSettings) -> Credentials:
    """The credentials that the configuration has of a person."""
    return Credentials(**{name: getattr(person, name) for name in Credentials.model_fields})
