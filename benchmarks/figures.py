"""What a benchmark returns, and how quantiles are taken."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One row of the table."""

    name: str
    value: str
    reach: str
    met: bool


def ms(seconds: float) -> str:
    """Milliseconds, two significant decimals."""
    return f"{seconds * 1000:.2f} ms"
