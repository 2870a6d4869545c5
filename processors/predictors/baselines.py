"""The two simplest predictors: no change, and the straight line of the Go iv3. Shadows: they show what the live one is
worth.
"""

from collections.abc import Mapping
from typing import Any

from processors.predictors.protocol import HORIZONS_MIN, STEP_20_MIN, Prediction
from processors.readings import Reading
from schemas.envelope import Event
from schemas.forecasts import STEPS

_FORGET_S = 1800


class Persistence:
    """Persistence: glucose stays as it is."""

    name = "persistence"
    calibrated = False

    def take(self, happened: Reading | Event) -> Prediction | None:
        """See `Predictor.take`."""
        return None if isinstance(happened, Event) else Prediction((happened.glucose_mgdl,) * STEPS)

    def calls_low(self, reading: Reading, prediction: Prediction, limit_mgdl: float) -> bool:
        """No: it foresees nothing."""
        del reading, prediction, limit_mgdl
        return False

    def dump(self) -> dict[str, Any]:
        """Nothing to keep."""
        return {}

    def load(self, state: Mapping[str, Any]) -> None:
        """Nothing to take up."""


class Linear:
    """The Go iv3's straight line: half the change over the last three readings, per reading, straight on. It knows no
    times, as that program did not.
    """

    name = "linear"
    calibrated = False

    def __init__(self) -> None:
        self._last: list[tuple[float, float]] = []

    def take(self, happened: Reading | Event) -> Prediction | None:
        """See `Predictor.take`."""
        if isinstance(happened, Event):
            return None
        seconds = happened.time_ms / 1000
        recent = [pair for pair in self._last if seconds - pair[0] <= _FORGET_S][-2:]
        self._last = [*recent, (seconds, happened.glucose_mgdl)]
        if len(self._last) < 3:
            return None
        slope = (self._last[2][1] - self._last[0][1]) / 2
        return Prediction(tuple(happened.glucose_mgdl + slope * minutes / 5 for minutes in HORIZONS_MIN))

    def calls_low(self, reading: Reading, prediction: Prediction, limit_mgdl: float) -> bool:
        """See `Predictor.calls_low`."""
        return prediction.mean_mgdl[STEP_20_MIN] < limit_mgdl <= reading.glucose_mgdl

    def dump(self) -> dict[str, Any]:
        """See `Predictor.dump`."""
        return {"last": self._last}

    def load(self, state: Mapping[str, Any]) -> None:
        """See `Predictor.load`."""
        self._last = [(seconds, glucose) for seconds, glucose in state["last"]]
