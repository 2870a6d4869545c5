"""Insulin on board (IOB), from logged doses. Long-acting insulin is never part of it."""

import math
from collections.abc import Iterable
from typing import NamedTuple

from schemas.facts import Insulin

DEFAULT_DURATION_MIN = 300.0
DEFAULT_PEAK_MIN = 75.0


class Dose(NamedTuple):
    """A rapid dose."""

    time_ms: int
    units: float
    insulin: str


def iob_fraction(minutes: float, duration_min: float, peak_min: float) -> float:
    """The fraction of a rapid dose still to act after `minutes`: the exponential model of the Loop project (peak and
    duration).

    With tau = p(1 - p/d)/(1 - 2p/d), a = 2 tau/d and S = 1/(1 - a + (1 + a)e^(-d/tau)):
    IOB(t) = 1 - S(1 - a)((t^2/(tau d (1 - a)) - t/tau - 1)e^(-t/tau) + 1).
    """
    if minutes <= 0:
        return 1.0
    if minutes >= duration_min:
        return 0.0
    tau = peak_min * (1 - peak_min / duration_min) / (1 - 2 * peak_min / duration_min)
    a = 2 * tau / duration_min
    scale = 1 / (1 - a + (1 + a) * math.exp(-duration_min / tau))
    shape = (minutes**2 / (tau * duration_min * (1 - a)) - minutes / tau - 1) * math.exp(-minutes / tau) + 1
    return min(1.0, max(0.0, 1 - scale * (1 - a) * shape))


def iob_units(doses: Iterable[Dose], insulins: Iterable[Insulin], now_ms: int) -> float:
    """Rapid insulin on board, units. Give rapid doses only; one whose name has left the profile since acts like the
    default curve.

    Names are compared as `profiles.action_of` compares them.
    """
    curves = {insulin.name.strip().casefold(): insulin for insulin in insulins}
    total = 0.0
    for dose in doses:
        curve = curves.get(dose.insulin.strip().casefold())
        if curve is not None and curve.action == "long":
            continue
        minutes = (now_ms - dose.time_ms) / 60_000
        if minutes < 0:
            continue
        duration, peak = (curve.duration_min, curve.peak_min) if curve else (DEFAULT_DURATION_MIN, DEFAULT_PEAK_MIN)
        if not 0 < peak < duration / 2:  # outside this the model is not defined
            peak = min(DEFAULT_PEAK_MIN, duration / 4)
        total += dose.units * iob_fraction(minutes, duration, peak)
    return total
