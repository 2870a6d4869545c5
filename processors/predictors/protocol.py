"""What a predictor must promise."""

import math
from typing import NamedTuple, Protocol

from processors.readings import Reading
from schemas.forecasts import STEP_MIN, STEPS

LEAST_MGDL, MOST_MGDL = 36.0, 400.0
HORIZONS_MIN = tuple(STEP_MIN * (n + 1) for n in range(STEPS))
AT_20_MIN = 3  # the place of "in 20 minutes" in a curve
CHANCE_STEPS = 6  # chances speak of the next 30 minutes


class Marks(NamedTuple):
    """The limits whose crossing is foretold, mg/dL."""

    low: float = 70
    urgent: float = 55
    high: float = 180


class Prediction(NamedTuple):
    """Curves of one value per 5 min, mg/dL, and chances for the next 30 min. `sd_log` is the spread of ln(glucose) at each step."""

    mean_mgdl: tuple[float, ...]
    sd_log: tuple[float, ...] | None = None

    def quantile(self, z: float) -> tuple[float, ...]:
        """The curve that lies `z` standard deviations from the mean. Without a spread it is the mean itself."""
        if self.sd_log is None:
            return self.mean_mgdl
        return tuple(
            min(MOST_MGDL, max(LEAST_MGDL, mean * math.exp(z * sd)))
            for mean, sd in zip(self.mean_mgdl, self.sd_log, strict=True)
        )

    def chance_below(self, limit_mgdl: float) -> float:
        """The chance that some reading of the next 30 min is below the limit: the largest of the steps' own."""
        return max(self._below(step, limit_mgdl) for step in range(CHANCE_STEPS))

    def chance_above(self, limit_mgdl: float) -> float:
        """The chance that some reading of the next 30 min is above the limit."""
        return max(1 - self._below(step, limit_mgdl) for step in range(CHANCE_STEPS))

    def _below(self, step: int, limit_mgdl: float) -> float:
        mean = self.mean_mgdl[step]
        if self.sd_log is None:
            return float(mean < limit_mgdl)
        return 0.5 * math.erfc(-(math.log(limit_mgdl / mean) / self.sd_log[step]) / math.sqrt(2))


class Predictor(Protocol):
    """A fold of one person. The same inputs in the same order give the same state, bit for bit."""

    name: str

    def read(self, reading: Reading) -> Prediction | None:
        """Take a reading in and look ahead from it; None where there is nothing honest to say."""
        ...

    def alert_low(self, reading: Reading, prediction: Prediction, limit_mgdl: float) -> bool:
        """Whether the predictor's own rule calls for a predicted-low alarm."""
        ...

    def dump(self) -> list[float]:
        """The state, for a snapshot."""
        ...

    def load(self, state: list[float]) -> None:
        """Take up a dumped state."""
        ...
