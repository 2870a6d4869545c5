"""A step of an episode, with everything that a sentence may speak of."""

from typing import Any

from schemas.alerts import AlertEvent, Evidence
from schemas.model import at_ms

T0 = 1_795_500_000_000


def event(kind: str, change: str = "opened", step: int = 1, **more: Any) -> AlertEvent:
    evidence = Evidence(
        glucose_mgdl=62.0,
        delta_mgdl=-6.0,
        trend="SingleDown",
        reading_time=at_ms(T0 - 240_000),
        chance=0.33,
        insulin="Tresiba",
        last_logged=at_ms(T0 - 26 * 3_600_000),
        reason="Dexcom: no data",
        name="Maya",
        unit=more.pop("unit", "mmol/L"),
        zone="Europe/Berlin",
    )
    fields = {
        "change": change,
        "kind": kind,
        "step": step,
        "episode": f"{kind}-1",
        "priority": 4,
        "urgency": 2,
        "at": at_ms(T0),
        "evidence": evidence,
    }
    return AlertEvent.model_validate(fields | more)
