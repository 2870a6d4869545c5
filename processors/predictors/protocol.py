"""The protocol of a predictor, and the prediction it makes."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from processors.readings import Reading
from schemas.envelope import Event
from schemas.forecasts import STEP_MIN, STEPS

LEAST_MGDL, MOST_MGDL = 36.0, 400.0
HORIZONS_MIN = tuple(STEP_MIN * (n + 1) for n in range(STEPS))
STEP_20_MIN = 3  # the step of a curve that speaks of 20 minutes from now
CHANCE_STEPS = 6  # chances speak of the next 30 minutes
LIKELIER_THAN_NOT = 0.5  # the chance of a low that calls for an alarm where a predictor has no rule of its own


class ForecastLimits(NamedTuple):
    """The limits whose crossing is foretold, mg/dL."""

    low: float = 70
    urgent: float = 55
    high: float = 180
    predicted_low: float = 70  # the limit below which somebody wants to be told in advance


class Prediction(NamedTuple):
    """A prediction: curves of one value per 5 min, mg/dL, and chances for the next 30 min. `sd_log` is the spread of
    ln(glucose) at each step.
    """

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
    """A fold of one person's readings and entries. The same inputs in the same order give the same state, bit
    for bit.
    """

    name: str
    calibrated: bool  # whether its chances come true as often as they say

    def take(self, happened: Reading | Event) -> Prediction | None:
        """Take in what happened. From a reading, which is the newest of the canonical line, look ahead; None where
        there is nothing honest to say.

        An event of an entry (a dose, a meal, a correction, a deletion) is only taken in, and answered with None.
        """

    def calls_low(self, reading: Reading, prediction: Prediction, limit_mgdl: float) -> bool | None:
        """Whether the predictor's own rule calls for a predicted-low alarm below this limit; None: it has none, and its
        chance is judged.
        """

    def dump(self) -> dict[str, Any]:
        """The state as JSON values, for a snapshot."""

    def load(self, state: Mapping[str, Any]) -> None:
        """Take up a dumped state."""
