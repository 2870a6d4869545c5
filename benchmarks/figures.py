"""What a benchmark returns, and how quantiles are taken."""

import os
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Figure:
    """One row of the table. `load` is the machine's when it was measured."""

    name: str
    value: str
    reach: str
    met: bool
    load: float = field(default_factory=lambda: os.getloadavg()[0])


def ms(seconds: float) -> str:
    """Milliseconds, two significant decimals."""
    return f"{seconds * 1000:.2f} ms"
