"""What a benchmark returns, and how quantiles are taken."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One row of the table."""

    name: str
    value: str
    reach: str
    met: bool


def quantile(values: list[float], q: float) -> float:
    """The q-quantile by nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


def ms(seconds: float) -> str:
    """Milliseconds, two significant decimals."""
    return f"{seconds * 1000:.2f} ms"
