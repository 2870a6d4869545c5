"""mg/dL and mmol/L. Inside iv3 glucose is always mg/dL; mmol/L exists at the edges only."""

from decimal import ROUND_HALF_UP, Decimal
from typing import Literal

MGDL_PER_MMOL = 18.01559  # molar mass of glucose 180.1559 g/mol; the factor Nightscout displays with

LOW_MARK_MGDL = 39.0  # Dexcom sends LOW (below 40) as 39
HIGH_MARK_MGDL = 401.0  # and HIGH (above 400) as 401

Unit = Literal["mg/dL", "mmol/L"]


def mmol(glucose_mgdl: float) -> float:
    """Glucose in mmol/L to one decimal, half up, as meters show it: 70 mg/dL is 3.9."""
    exact = Decimal(repr(glucose_mgdl)) / Decimal(repr(MGDL_PER_MMOL))
    return float(exact.quantize(Decimal("0.1"), rounding=ROUND_HALF_UP))


def mgdl(glucose_mmol: float) -> float:
    """Glucose in mg/dL to one decimal. `mmol(mgdl(x)) == x` for every x with one decimal."""
    return round(glucose_mmol * MGDL_PER_MMOL, 1)


def spoken(glucose_mgdl: float, unit: Unit) -> str:
    """A glucose value as a person reads it, without its unit; LOW and HIGH are words, never 39 or 401."""
    if glucose_mgdl <= LOW_MARK_MGDL:
        return "LOW"
    if glucose_mgdl >= HIGH_MARK_MGDL:
        return "HIGH"
    return f"{mmol(glucose_mgdl):.1f}" if unit == "mmol/L" else f"{glucose_mgdl:.0f}"
