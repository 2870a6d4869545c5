"""The two simplest predictors: no change, and the straight line of the seed. Shadows: they show what the live one is worth."""

from processors.predictors.protocol import AT_20_MIN, HORIZONS_MIN, Prediction
from processors.readings import Reading
from schemas.forecasts import STEPS

_FORGET_S = 1800


class Persistence:
    """It stays as it is."""

    name = "persistence"

    def read(self, reading: Reading) -> Prediction | None:
        """See `Predictor.read`."""
        return Prediction((reading.glucose_mgdl,) * STEPS)

    def alert_low(self, reading: Reading, prediction: Prediction, limit_mgdl: float) -> bool:
        """Never: it foresees nothing."""
        del reading, prediction, limit_mgdl
        return False

    def dump(self) -> list[float]:
        """Nothing to keep."""
        return []

    def load(self, state: list[float]) -> None:
        """Nothing to take up."""


class Linear:
    """The seed's rule: half the change over the last three readings, per reading, straight on. It knows no times, as the seed did not."""

    name = "linear"

    def __init__(self) -> None:
        self._last: list[tuple[float, float]] = []

    def read(self, reading: Reading) -> Prediction | None:
        """See `Predictor.read`."""
        seconds = reading.time_ms / 1000
        recent = [pair for pair in self._last if seconds - pair[0] <= _FORGET_S][-2:]
        self._last = [*recent, (seconds, reading.glucose_mgdl)]
        if len(self._last) < 3:
            return None
        slope = (self._last[2][1] - self._last[0][1]) / 2
        return Prediction(tuple(reading.glucose_mgdl + slope * minutes / 5 for minutes in HORIZONS_MIN))

    def alert_low(self, reading: Reading, prediction: Prediction, limit_mgdl: float) -> bool:
        """See `Predictor.alert_low`."""
        return prediction.mean_mgdl[AT_20_MIN] < limit_mgdl <= reading.glucose_mgdl

    def dump(self) -> list[float]:
        """See `Predictor.dump`."""
        return [number for pair in self._last for number in pair]

    def load(self, state: list[float]) -> None:
        """See `Predictor.load`."""
        self._last = list(zip(state[::2], state[1::2], strict=True))
